"""Adapters that were trained with added tokens bring the rows of both embeddings along."""

from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_infer.checkpoint import load_model, save_model

from .toys import QV, Workshop, edit_tensors, our_logits, peft_logits, refused

ROWS = 520
BASE_ROWS = 512
MODES: dict[str, dict[str, Any]] = {
    "layers": QV,
    "adapted embeddings": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
    "saved embeddings": QV | {"modules_to_save": ["embed_tokens", "lm_head"]},
    "tokens": QV | {"trainable_token_indices": [513, 519]},
}


@torch.no_grad()
def _enlarge(model: Any) -> None:
    model.resize_token_embeddings(ROWS)
    model.get_input_embeddings().weight[BASE_ROWS:] = 0.1
    model.get_output_embeddings().weight[BASE_ROWS:] = 0.1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("base", ["llama", "tied"])
def test_a_larger_vocabulary(workshop: Workshop, tmp_path: Path, base: str, mode: str) -> None:
    path = workshop.base(base)
    adapter = workshop.adapter(f"{base} {mode} larger", path, change=_enlarge, **MODES[mode])
    wanted = peft_logits(adapter, path, rows=ROWS)
    model = load_model(adapter, dtype="float32", device="cpu")
    assert model.vocab_size == ROWS
    torch.testing.assert_close(our_logits(model), wanted, rtol=1e-4, atol=1e-4)
    save_model(model, tmp_path / "saved")
    saved = load_model(tmp_path / "saved", dtype="float32", device="cpu")
    torch.testing.assert_close(our_logits(saved), wanted, rtol=1e-4, atol=1e-4)


def test_rows_of_one_embedding_alone(workshop: Workshop) -> None:
    """The rows that the other one lacks would be random."""
    adapter = workshop.adapter("half", workshop.base("llama"), change=_enlarge, **QV)
    edit_tensors(adapter, lambda tensors: tensors.pop("base_model.model.lm_head.weight"))
    refused(adapter, r"embeddings of \[520\] rows, and its base model has 512; model\.embed_tokens")


def test_an_adapted_embedding_without_its_rows(workshop: Workshop) -> None:
    mode = MODES["adapted embeddings"]
    adapter = workshop.adapter("rowless", workshop.base("llama"), change=_enlarge, **mode)
    edit_tensors(
        adapter,
        lambda tensors: [tensors.pop(name) for name in list(tensors) if "base_layer" in name],
    )
    refused(adapter, r"size mismatch for .*lora_embedding_A")
