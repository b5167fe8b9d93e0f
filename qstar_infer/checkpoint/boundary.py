"""Where third-party loaders are called: their noise is kept down, their errors become ours."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers.utils import logging as transformers_logging

from qstar_infer.errors import CheckpointError, QStarError


class _LoadReportFilter(logging.Filter):
    """Drops the table of unexpected and missing tensors; we judge those ourselves."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR


@contextmanager
def third_party(what: str, advice: str) -> Iterator[None]:
    """Run third-party loading code quietly, and turn any error of it into a CheckpointError.

    Args:
        what: what is being loaded, for the message.
        advice: what to do when it fails.

    Raises:
        CheckpointError: the code raised. It parses foreign files, so it may raise anything.
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
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise CheckpointError(
            f"{what} does not fit into memory. Use a smaller dtype (bfloat16), quantization "
            "(int8, nf4) or another device."
        ) from error
    except Exception as error:
        text = " ".join(str(error).split())
        raise CheckpointError(
            f"{what} could not be loaded: {type(error).__name__}: {text[:600]}. {advice}"
        ) from error
    finally:
        logger.removeFilter(report_filter)
        if had_bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]
