"""`GET /metrics`: what the server and its engine have counted, for Prometheus."""
