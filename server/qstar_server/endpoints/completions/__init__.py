"""`POST /v1/completions`: continue texts."""
