"""The stopwatch of `qstar bench`, with ways that compute nothing."""

import pytest

from qstar_infer.bench.measure import Prompts, Sample, Way, fastest, share_equal, take_turns, timed


def test_ways_take_turns_on_each_batch() -> None:
    turns: list[tuple[str, Prompts]] = []

    def recorder(name: str, num_tokens: int) -> Way:
        def call(prompts: Prompts) -> Sample:
            turns.append((name, prompts))
            return Sample(num_tokens=num_tokens, seconds=1.0, outputs=[[0] * num_tokens])

        return call

    calls: list[None] = []
    timings = take_turns(
        {"a": recorder("a", 2), "b": recorder("b", 3)},
        [[[1]], [[2]]],
        repeats=2,
        on_call=lambda: calls.append(None),
    )
    one_round = [("a", [[1]]), ("b", [[1]]), ("a", [[2]]), ("b", [[2]])]
    assert turns == one_round * 2
    assert len(calls) == 8
    assert [len(timing.tok_s) for timing in timings.values()] == [2, 2]
    assert timings["b"].outputs == [[0, 0, 0], [0, 0, 0]]


def test_a_rate_is_all_tokens_over_all_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only the decoders move: 2 tokens in 1 s, then 4 tokens in 5 s."""
    now = [0.0]

    def decode(prompts: Prompts) -> list[list[int]]:
        now[0] += prompts[0][0]
        return [[0] * prompts[0][1]]

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    timings = take_turns({"a": timed(decode)}, [[[1, 2]], [[5, 4]]], repeats=3)
    assert timings["a"].tok_s == [1.0, 1.0, 1.0]


def test_a_slow_round_does_not_change_the_median() -> None:
    seconds = iter([1.0, 9.0, 2.0])

    def call(prompts: Prompts) -> Sample:
        return Sample(num_tokens=len(prompts), seconds=next(seconds))

    timings = take_turns({"a": call}, [[[1], [2]]], repeats=3)
    assert timings["a"].tok_s == [2.0, 2 / 9, 1.0]
    assert timings["a"].median_tok_s == 1.0


def test_the_fastest_comes_first() -> None:
    def taking(seconds: float) -> Way:
        return lambda _: Sample(num_tokens=1, seconds=seconds)

    rates = fastest({"slow": taking(4.0), "quick": taking(0.5)}, [[1]])
    assert list(rates.items()) == [("quick", 2.0), ("slow", 0.25)]


def test_share_equal_counts_whole_outputs() -> None:
    assert share_equal([[1, 2], [3, 4]], [[1, 2], [3, 5]]) == 0.5
