"""Where to think: which positions are chosen, and how many numbers each mean is over."""

import torch

from qstar_train.objective.places import Counts, PlaceRule, Places, choose_places

IDS = torch.tensor([[5, 9, 5, 7, 9], [9, 1, 2, 9, 0], [1, 2, 3, 0, 0]])
IS_REAL = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0], [1, 1, 1, 0, 0]]).bool()
NUMBERS = torch.tensor([7, 8, 9])


def chosen(rule: PlaceRule | None, *, seed: int = 0) -> Places:
    return choose_places(rule, IDS, IS_REAL, NUMBERS, seed=seed)


def positions(places: Places) -> list[list[int]]:
    return [
        anchors[is_place].tolist()
        for anchors, is_place in zip(places.anchors, places.is_place, strict=True)
    ]


def test_a_marker_is_a_place_if_a_token_follows_it() -> None:
    """The first window ends in the marker, and the second has padding behind its last one."""
    places = chosen(PlaceRule(behind_ids=(9,), elsewhere=0))
    assert positions(places) == [[1], [0], []]
    assert torch.equal(places.is_marked, places.is_place)
    assert places.anchors[~places.is_place].tolist() == [0]


def test_other_places_are_drawn_by_seed_and_window_among_the_rest() -> None:
    rule = PlaceRule(behind_ids=(9,), elsewhere=1)
    free = [{0, 2, 3}, {1, 2}, {0, 1}]
    seen: list[set[int]] = [set(), set(), set()]
    for seed in range(40):
        places = chosen(rule, seed=seed)
        alone = [
            choose_places(rule, IDS[n : n + 1], IS_REAL[n : n + 1], NUMBERS[n : n + 1], seed=seed)
            for n in range(3)
        ]
        for number, own in enumerate(positions(places)):
            assert own == sorted(own)
            assert own == positions(alone[number])[0]
            marked = places.anchors[number][places.is_marked[number]].tolist()
            (other,) = set(own) - set(marked)
            seen[number].add(other)
    assert seen == free  # each of them at some seed, and nothing else at any


def test_no_more_places_are_drawn_than_there_are() -> None:
    places = chosen(PlaceRule(behind_ids=(9,), elsewhere=9))
    assert positions(places) == positions(chosen(None)) == [[0, 1, 2, 3], [0, 1, 2], [0, 1]]


def test_places_without_a_marker_are_all_marked() -> None:
    places = chosen(PlaceRule(behind_ids=(), elsewhere=2))
    assert torch.equal(places.is_marked, places.is_place)
    assert places.is_place.sum(1).tolist() == [2, 2, 2]


def test_some_windows_keep_only_the_columns_they_need() -> None:
    places = chosen(None)
    part = places.of_windows(slice(1, 3))
    assert part.anchors.shape == (2, 3)
    assert positions(part) == positions(places)[1:]
    assert chosen(PlaceRule(behind_ids=(77,), elsewhere=0)).anchors.shape == (3, 1)


def test_counts_are_those_of_a_loop() -> None:
    places = chosen(PlaceRule(behind_ids=(9,), elsewhere=2))
    got = Counts.of(IS_REAL, places, num_ahead=3, num_parts=2)
    lengths = [5, 4, 3]
    ahead = [
        [length - 1 - anchor for anchor in own]
        for length, own in zip(lengths, positions(places), strict=True)
    ]
    flat = [each for window in ahead for each in window]
    assert got.places == tuple(sum(each >= k for each in flat) / 2 for k in (1, 2, 3))
    assert got.marked == ((1 + 1) / 2, (1 + 1) / 2, (1 + 1) / 2)  # anchors 1 of 5 and 0 of 4
    assert (got.tokens, got.predicted) == (12 / 2, 9 / 2)
