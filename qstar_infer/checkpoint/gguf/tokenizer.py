"""Reads the tokenizer inside a GGUF file."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from qstar_infer.checkpoint.reading import alone, third_party


def load_gguf_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer inside a GGUF file. Other files in its directory are ignored.

    Raises:
        CheckpointError: transformers cannot read it.
    """
    with (
        third_party(f"The tokenizer in {path}", "Fetch its files again."),
        alone(path) as directory,
    ):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, gguf_file=path.name, local_files_only=True, trust_remote_code=False
        )
    return tokenizer
