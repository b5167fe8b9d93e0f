"""Thoughts of a training step, as text."""

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from qstar_train.trainer.method import ThoughtSample

NUM_SAMPLES = 3
CONTEXT_TOKENS = 16


def thought_samples(
    tokenizer: PreTrainedTokenizerBase, input_ids: Tensor, output: dict[str, Tensor], step: int
) -> list[ThoughtSample]:
    """A few of the thoughts that the module returned, drawn by the step; none without thoughts.

    Args:
        input_ids: `[windows, seq]`, int64.
        output: of `ObjectiveModule`.
    """
    if "thought_ids" not in output:
        return []
    generator = torch.Generator().manual_seed(step)
    chosen = torch.randperm(len(output["gains"]), generator=generator)[:NUM_SAMPLES]

    def text(ids: Tensor) -> str:
        return str(tokenizer.decode(ids.tolist()))

    samples = []
    for number in sorted(chosen.tolist()):
        ids = input_ids[output["sample_windows"][number]]
        anchor = int(output["sample_anchors"][number])
        samples.append(
            ThoughtSample(
                context=text(ids[max(0, anchor - CONTEXT_TOKENS + 1) : anchor + 1]),
                thought=text(output["thought_ids"][number]),
                next_token=text(ids[anchor + 1 : anchor + 2]),
                gain=round(float(output["gains"][number]), 4),
                mixing_weight=round(float(output["mixing_weights"][number]), 4),
            )
        )
    return samples
