"""Builds and tries the image of `docker/Dockerfile` on a machine without a container engine."""
