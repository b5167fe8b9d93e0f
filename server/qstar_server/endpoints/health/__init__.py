"""`GET /health`: whether the server takes requests; `/health_generate`: whether it makes tokens."""
