"""One server in front of several that hold the same model. Knows nothing of what starts them."""
