"""The stopwatch of `qstar bench`, with decoders that compute nothing."""

import pytest

from qstar_infer.bench.measure import measure, share_equal


def test_decoders_take_turns_on_each_prompt() -> None:
    turns: list[tuple[str, list[int]]] = []

    def recorder(name: str, num_tokens: int) -> object:
        def decode(prompt: list[int]) -> list[int]:
            turns.append((name, prompt))
            return [0] * num_tokens

        return decode

    calls: list[int] = []
    timings = measure(
        {"a": recorder("a", 2), "b": recorder("b", 3)},  # type: ignore[dict-item]
        [[1], [2]],
        repeats=2,
        on_call=calls.append,
    )
    one_round = [("a", [1]), ("b", [1]), ("a", [2]), ("b", [2])]
    assert turns == one_round * 2
    assert calls == list(range(1, 9))
    assert [len(timing.tok_s) for timing in timings.values()] == [2, 2]
    assert timings["b"].outputs == [[0, 0, 0], [0, 0, 0]]


def test_a_rate_is_all_tokens_over_all_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only the decoders move: 2 tokens in 1 s, then 4 tokens in 5 s."""
    now = [0.0]

    def decode(prompt: list[int]) -> list[int]:
        now[0] += prompt[0]
        return [0] * prompt[1]

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    timings = measure({"a": decode}, [[1, 2], [5, 4]], repeats=3)
    assert timings["a"].tok_s == [1.0, 1.0, 1.0]
    assert timings["a"].median_tok_s == 1.0


def test_share_equal_counts_whole_outputs() -> None:
    assert share_equal([[1, 2], [3, 4]], [[1, 2], [3, 5]]) == 0.5
