"""Checkpoints of LUMIA-Group/PonderLM-2: an ordinary model, and three keys."""

from pathlib import Path

from .common import Made, make_backbone, make_tokenizer, write


def make_ponderlm(directory: Path) -> Made:
    return write(
        directory,
        make_backbone("llama"),
        {},
        keys={"num_latent_thoughts": 2, "scale_embeds": True, "interpolation": False},
        architecture="LlamaForCausalLM",
        tokenizer=make_tokenizer(with_delimiters=False),
    )
