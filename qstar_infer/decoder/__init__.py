"""The transformer layers of a model, as the engine runs them."""
