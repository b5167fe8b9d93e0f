"""Thought tokens for training: the right distribution, and a function of seed, anchor and role."""

import pytest
import torch

from qstar_infer.sampling_params import MIN_TEMPERATURE
from qstar_train.sampling import (
    ordinary_ids,
    partly_true_thoughts,
    random_thoughts,
    sampled_thoughts,
    uniform_numbers,
)

from ..parity.toy import END_ID, EOS, START_ID, make_toy


def anchors_of(rows: int, count: int) -> torch.Tensor:
    return torch.arange(count).expand(rows, count)


def test_tokens_come_with_their_probability() -> None:
    logits = torch.tensor([0.0, 1.0, float("-inf"), 2.0, -1.0])
    rows, count = 40, 500
    pick = sampled_thoughts(torch.arange(rows), temperature=1.0)
    ids = pick(logits.expand(rows, count, -1), 1, anchors_of(rows, count))
    shares = torch.bincount(ids.flatten(), minlength=5) / ids.numel()
    # 20,000 draws: a share's standard deviation is at most 0.0035.
    torch.testing.assert_close(shares, logits.softmax(-1), rtol=0, atol=0.015)
    assert shares[2] == 0


def test_the_ends_of_the_distribution_can_be_drawn_and_nothing_beyond() -> None:
    keys = torch.tensor([0, 0x7FFFFF])
    lowest, highest = uniform_numbers(keys).tolist()
    assert 0 < lowest < 1e-6
    assert 1 - 1e-6 < highest < 1


def test_a_token_does_not_depend_on_its_mates() -> None:
    seeds = torch.tensor([5, 6, 7])
    logits = torch.randn(3, 4, 20, generator=torch.Generator().manual_seed(0))
    anchors = anchors_of(3, 4)
    together = sampled_thoughts(seeds, temperature=0.7)(logits, 2, anchors)
    alone = sampled_thoughts(seeds[1:2], temperature=0.7)(logits[1:2, 2:], 2, anchors[1:2, 2:])
    assert together[1, 2:].tolist() == alone[0].tolist()


def test_seed_anchor_and_role_all_matter() -> None:
    allowed = torch.arange(1000)

    def draw(seed: int, anchor: int, role: int) -> int:
        pick = random_thoughts(torch.tensor([seed]), allowed)
        return int(pick(torch.zeros(1, 1, 1), role, torch.tensor([[anchor]])))

    first = draw(1, 2, 3)
    assert first == draw(1, 2, 3)
    assert len({first, draw(2, 2, 3), draw(1, 3, 3), draw(1, 2, 4)}) == 4


@pytest.mark.parametrize("temperature", [0.0, 1e-300, MIN_TEMPERATURE / 2, MIN_TEMPERATURE])
def test_temperature_zero_takes_the_most_likely(temperature: float) -> None:
    """1e-300 made the logits infinite, and took the last token of the vocabulary."""
    logits = torch.randn(2, 3, 9, generator=torch.Generator().manual_seed(0))
    pick = sampled_thoughts(torch.tensor([1, 2]), temperature=temperature)
    assert torch.equal(pick(logits, 1, anchors_of(2, 3)), logits.argmax(-1))


def test_a_share_of_the_thoughts_is_the_true_text_whole_thoughts_at_a_time() -> None:
    rows, count = 20, 300
    input_ids = torch.arange(rows * count).view(rows, count)
    seeds = torch.arange(rows)

    def never(_: torch.Tensor, role: int, anchors: torch.Tensor) -> torch.Tensor:
        return torch.full_like(anchors, -role)

    pick = partly_true_thoughts(never, input_ids, seeds, share=0.3)
    anchors = anchors_of(rows, count)
    first, second = (pick(torch.zeros(1), role, anchors) for role in (1, 2))
    is_true = first != -1
    # 6,000 draws: a standard deviation of 0.006.
    assert abs(float(is_true.float().mean()) - 0.3) < 0.03
    assert torch.equal(first[is_true], (input_ids + 1)[is_true])
    # A thought is true in all its tokens or in none; past the row's end it is the model's own.
    assert torch.equal(second[:, :-2] != -2, is_true[:, :-2])
    assert torch.equal(second[:, :-2][is_true[:, :-2]], (input_ids + 2)[:, :-2][is_true[:, :-2]])
    assert (second[:, -2:] == -2).all()
    # A few anchors at a time give the same as all at once.
    assert torch.equal(pick(torch.zeros(1), 1, anchors[:, 100:150]), first[:, 100:150])


def test_ordinary_ids_leave_out_what_is_no_text() -> None:
    ids = set(ordinary_ids(make_toy().model).tolist())
    assert not ids & {EOS, START_ID, END_ID}
    assert len(ids) == 256
