"""The GPU draws the noise of the CPU, and samples the same tokens from the same logits."""

import random
from dataclasses import replace

import torch

from qstar_infer.sampling.logits_processing import process_logits
from qstar_infer.sampling.noise import gumbel_noise, row_keys

from ..device import DEVICE
from ..sampling.picks import draw_logits, draw_pick, sample_visible


def test_the_noise_is_that_of_the_cpu() -> None:
    draw = random.Random(0)
    seeds = torch.tensor([draw.randrange(-(2**63), 2**63) for _ in range(64)])
    positions = torch.arange(64) * 997
    streams = torch.arange(64) % 5
    keys = row_keys(seeds, positions, streams)
    on_gpu = row_keys(seeds.to(DEVICE), positions.to(DEVICE), streams.to(DEVICE))
    assert torch.equal(on_gpu.cpu(), keys)
    # Two logarithms, each rounded to a unit or two in the last place.
    got, want = gumbel_noise(on_gpu, 49152).cpu(), gumbel_noise(keys, 49152)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


def test_the_tokens_are_those_of_the_cpu() -> None:
    """Also with penalties, biases and filters; logits are far enough apart to have no near ties."""
    num_equal = num_rows = 0
    for seed in range(20):
        draw = random.Random(seed)
        picks = [draw_pick(draw, row=row, vocab_size=49152) for row in range(12)]
        picks = [replace(pick, may_decide=True) for pick in picks]
        logits = draw_logits(12, 49152, seed=seed)
        on_gpu = logits.to(DEVICE)
        kept = process_logits(logits, picks).isneginf()
        kept_on_gpu = process_logits(on_gpu, picks).isneginf().cpu()
        assert float((kept == kept_on_gpu).all(-1).float().mean()) > 0.9
        want = sample_visible(logits, picks, base_logits=logits[:0], mixing_weights=[])
        got = sample_visible(on_gpu, picks, base_logits=on_gpu[:0], mixing_weights=[])
        for ours, theirs in zip(got, want, strict=True):
            num_rows += 1
            num_equal += ours.token_id == theirs.token_id
            if ours.token_id == theirs.token_id and theirs.logprob > -1e30:
                assert abs(ours.logprob - theirs.logprob) < 1e-4
    assert num_equal >= 0.97 * num_rows, "a near tie may part a few"
