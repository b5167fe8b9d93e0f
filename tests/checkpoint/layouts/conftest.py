"""What the tests of layouts share."""

from pathlib import Path

import pytest

from .makers.common import make_tokenizer


@pytest.fixture
def base_tokenizer(tmp_path: Path) -> Path:
    """The directory of a base model's tokenizer, without the delimiters."""
    make_tokenizer(with_delimiters=False).save_pretrained(tmp_path / "base")
    return tmp_path / "base"
