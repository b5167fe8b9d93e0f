"""`GET /health`: whether a request would be served."""
