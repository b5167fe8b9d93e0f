"""Text to windows of token ids, deterministic by seed. Knows neither models nor training."""
