"""Collects the facts about a tokenizer that clients need to prepare prompts themselves."""

from typing import TYPE_CHECKING

from qstar_infer.engine.protocol import TokenizerInfo

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tokenizer_info(tokenizer: "PreTrainedTokenizerBase") -> TokenizerInfo:
    """The `TokenizerInfo` of a tokenizer."""
    return TokenizerInfo(
        tokenizer_class=type(tokenizer).__name__,
        num_tokens=len(tokenizer),
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        pad_token=tokenizer.pad_token,
        unk_token=tokenizer.unk_token,
    )
