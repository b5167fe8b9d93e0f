"""A config of a small model from scratch, as a YAML file holds it."""

from typing import Any

TOKENS = ["<eos>", "<unk>", *"0123456", "+1", "*2", ".", "?", ">", "="]


def values(**changes: Any) -> dict[str, Any]:
    """The config with changes: `values(llama__tied=True)`; the value `...` removes a key."""
    made: dict[str, Any] = {
        "vocabulary": {
            "tokens": list(TOKENS),
            "pattern": r"[+*]\d|.",
            "eos_token": "<eos>",
            "unk_token": "<unk>",
        },
        "llama": {
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_layers": 2,
            "num_heads": 4,
            "max_positions": 64,
            "initializer_range": 0.05,
        },
        "seed": 3,
    }
    for name, value in changes.items():
        *sections, key = name.split("__")
        place = made[sections[0]] if sections else made
        if value is ...:
            del place[key]
        else:
            place[key] = value
    return made
