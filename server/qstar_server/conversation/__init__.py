"""Messages and tools, and their way through the model's chat template."""
