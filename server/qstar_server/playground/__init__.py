"""The page at `/`, on which a person watches the model think. Built from `server/playground/`."""
