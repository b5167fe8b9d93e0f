"""`GET /version`: which release serves."""
