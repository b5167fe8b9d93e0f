"""`GET /health`: whether the server can take requests."""
