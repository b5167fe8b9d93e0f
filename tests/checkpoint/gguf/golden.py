"""llama.cpp's numbers for the toy files, recorded by `make_golden`."""

import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tests.checkpoint.gguf.cases import IDS, WATCHED

_DIRECTORY = Path(__file__).parents[2] / "golden" / "gguf"
NUMBERS, TOKENS, TYPES = (_DIRECTORY / f"{name}.json" for name in ("numbers", "tokens", "types"))


def read(path: Path) -> dict[str, Any]:
    """The content of a file of recorded numbers."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def excerpt(log_probs: NDArray[Any]) -> list[float]:
    """Log-probabilities of the prompt's own tokens, and of a few after it.

    Args:
        log_probs: `[len(IDS), vocabulary]`.
    """
    own = [log_probs[index, token] for index, token in enumerate(IDS[1:])]
    return [round(float(each), 7) for each in [*own, *log_probs[-1, WATCHED]]]
