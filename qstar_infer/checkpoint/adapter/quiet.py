"""Silences what peft warns about: what matters of it is checked here, and ends in an error."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Run code of peft without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
