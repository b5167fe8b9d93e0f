"""The HTTP endpoints, a folder for each."""
