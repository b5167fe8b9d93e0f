"""Reading a checkpoint's JSON files, with errors a person can act on."""

import json
from pathlib import Path
from typing import Any

from qstar_infer.errors import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        CheckpointError: the file is missing, is not JSON, or holds something other than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist. The checkpoint is incomplete: fetch or save it again."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{path} is not valid JSON ({error.msg} at line {error.lineno}, column {error.colno}). "
            "Fetch or save the checkpoint again."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} must hold a JSON object, not {type(content).__name__}. "
            "Fetch or save the checkpoint again."
        )
    return content


def read_json_if_present(path: Path) -> dict[str, Any] | None:
    """As `read_json`, or None where the file does not exist."""
    return read_json(path) if path.exists() else None
