"""Tokens by difficulty, with numbers one can add up by hand."""

import numpy as np

from qstar_eval.bootstrap import Bootstrap
from qstar_eval.held_out import difficulty_groups, group_numbers
from qstar_eval.task import Record


def record(token_ids: list[int], base: list[float], mixed: list[float]) -> Record:
    return {"token_ids": token_ids, "base_losses": base, "mixed_losses": mixed}


def test_groups_are_equal_and_in_order() -> None:
    difficulties = np.arange(25.0)[::-1]
    sizes = np.bincount(group_numbers(difficulties))[1:]
    assert sizes.tolist() == [3, 2, 3, 2, 3, 2, 3, 2, 3, 2]
    assert group_numbers(difficulties)[0] == 10
    assert group_numbers(np.zeros(10)).tolist() == list(range(1, 11))


def test_twenty_tokens_make_ten_pairs() -> None:
    """Document 0 has base losses 0..9, document 1 0.5..9.5: a group has one token of each."""
    first = record([0] * 11, [float(i) for i in range(10)], [0.0] * 10)
    second = record([1] * 11, [i + 0.5 for i in range(10)], [i - 0.5 for i in range(10)])
    groups, is_referenced = difficulty_groups([first, second], [first, second], Bootstrap())
    assert is_referenced
    assert [group.number for group in groups] == list(range(1, 11))
    hard = groups[9]
    assert (hard.num_tokens, hard.difficulty_low, hard.difficulty_high) == (2, 9.0, 9.5)
    assert (hard.loss_base.value, hard.loss_mixed.value) == (9.25, 4.25)
    # Gains 9 and 1; a resample of two documents may hold either one twice.
    assert (hard.gain.value, hard.gain.low, hard.gain.high) == (5.0, 1.0, 9.0)


def test_the_judges_decide_which_tokens_are_hard() -> None:
    mine = record([0] * 11, [5.0] * 10, [5.0 - i for i in range(10)])
    judge = record([0] * 11, [float(9 - i) for i in range(10)], [0.0] * 10)
    groups, is_referenced = difficulty_groups([mine], [judge], Bootstrap())
    assert is_referenced
    assert [group.gain.value for group in groups] == [float(9 - i) for i in range(10)]
    assert [group.difficulty_low for group in groups] == [float(i) for i in range(10)]


def test_other_tokens_are_judged_by_their_own_loss() -> None:
    mine = record([0] * 3, [3.0, 1.0], [0.0, 1.0])
    judge = record([1] * 3, [1.0, 3.0], [0.0, 0.0])
    groups, is_referenced = difficulty_groups([mine], [judge], Bootstrap())
    assert not is_referenced
    assert [group.gain.value for group in groups] == [0.0, 3.0]


def test_intervals_resample_every_document() -> None:
    """Documents 4 and 5 have no hard token; resamples hold them all the same."""
    hard = [[9.0 + i, 1.0 + i * i] for i in range(4)]
    records = [record([0] * 2, [base], [mixed]) for base, mixed in hard]
    records += [record([0] * 19, [0.5] * 18, [0.5] * 18) for _ in range(2)]
    groups, _ = difficulty_groups(records, records, Bootstrap())
    losses = [base for base, _ in hard]
    assert groups[9].num_tokens == 4
    assert groups[9].loss_base == Bootstrap().ratio([*losses, 0, 0], [1, 1, 1, 1, 0, 0])
    assert groups[9].loss_base != Bootstrap().mean(losses)
