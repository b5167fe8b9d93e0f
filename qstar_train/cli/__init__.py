"""Commands that train, evaluate and prepare data."""
