"""Reads files of checkpoints, directly or by third-party loaders, with clear errors."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from qstar_infer.errors import CheckpointError, QStarError


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
    except (ValueError, RecursionError) as error:  # malformed, a number too long, nested too deep
        raise CheckpointError(
            f"{path} is not valid JSON ({error}). Fetch or save the checkpoint again."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} must hold a JSON object, not {type(content).__name__}. "
            "Fetch or save the checkpoint again."
        )
    return content


def read_json_if_present(path: Path) -> dict[str, Any] | None:
    """As `read_json`; None if the file does not exist."""
    return read_json(path) if path.exists() else None


@contextmanager
def alone(path: Path) -> Iterator[Path]:
    """A temporary directory that holds only a link to the file.

    Loaders that take a directory prefer its other files to the content of this one.
    """
    with TemporaryDirectory(prefix="qstar-") as directory:
        (Path(directory) / path.name).symlink_to(path.absolute())
        yield Path(directory)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out. On a CPU torch has no class for it."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator: can't allocate" in str(error)
    )


class _LoadReportFilter(logging.Filter):
    """Drops the table of unexpected and missing tensors, which are checked here."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR


@contextmanager
def third_party(what: str, advice: str, *, done: str = "loaded") -> Iterator[None]:
    """Run third-party loading code without its output, and make its errors CheckpointErrors.

    Args:
        what: what is being loaded, for the message.
        advice: what to do when it fails.
        done: "written" if it is saved.

    Raises:
        CheckpointError: the code raised any exception.
    """
    logger = logging.getLogger("transformers.modeling_utils")
    report_filter = _LoadReportFilter()
    logger.addFilter(report_filter)
    had_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    except QStarError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise CheckpointError(
                f"{what} does not fit into memory. Use a smaller dtype (bfloat16), quantization "
                "(int8, nf4) or another device."
            ) from error
        text = " ".join(str(error).split())
        raise CheckpointError(
            f"{what} could not be {done}: {type(error).__name__}: {text[:600]}. {advice}"
        ) from error
    finally:
        logger.removeFilter(report_filter)
        if had_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
