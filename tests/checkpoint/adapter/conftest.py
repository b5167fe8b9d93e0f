"""One workshop for all tests of a run: base models are made once."""

import pytest
from transformers import PreTrainedTokenizerBase

from .toys import Workshop


@pytest.fixture(scope="session")
def workshop(
    tmp_path_factory: pytest.TempPathFactory, plain_tokenizer: PreTrainedTokenizerBase
) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("adapters"), plain_tokenizer)
