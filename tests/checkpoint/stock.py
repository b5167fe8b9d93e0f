"""Holds a checkpoint to transformers' own reading of it."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from qstar_infer.checkpoint import load_model

from ..tolerances import float32_tolerance


def check_equals_transformers(directory: Path) -> None:
    """Compare the next-token logits of a toy of hidden size 32 with those of transformers."""
    ids = torch.tensor([[1, 40, 300, 7, 99, 12, 5]])
    stock = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = stock(ids).logits
    ours = load_model(directory, dtype="float32", device="cpu")
    found = ours.think(ids, num_thought_tokens=0).base_logits
    # Two layers of eight sums of up to 48 terms; values with these weights stay below 100.
    tolerance = float32_tolerance(num_terms=2 * 8 * 48 + 32, size=100)
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
