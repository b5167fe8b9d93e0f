"""`GET /v1/models`: what is served."""
