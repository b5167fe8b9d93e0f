"""Which piece of a text belongs to which token."""

import pytest

from qstar_infer.cli.reading.pieces import pieces_of, visible
from qstar_infer.cli.segments import SegmentStream
from qstar_infer.llm import LLM
from qstar_infer.sampling_params import SamplingParams

from ...parity.toy import EOS, make_toy


@pytest.mark.parametrize(
    ("text", "tokens", "pieces"),
    [
        ("The cat", ["The", " cat"], ["The", " cat"]),
        ("é!", ["\ufffd", "\ufffd", "!"], ["é", "", "!"]),
        ("aé日b", ["a", "\ufffd", "\ufffd\ufffd", "\ufffd", "b"], ["a", "é日", "", "", "b"]),
        ("a👍", ["a", "\ufffd", "\ufffd"], ["a", "👍", ""]),
        ("a\ufffdb", ["a", "\ufffd", "b"], ["a", "\ufffd", "b"]),
        ("Hi", ["Hi", "<eos>"], ["Hi", "<eos>"]),
        ("one", ["one", " two three"], ["one", " two three"]),
        ("", [], []),
    ],
)
def test_pieces(text: str, tokens: list[str], pieces: list[str]) -> None:
    assert pieces_of(text, tokens) == pieces


def test_a_file_of_broken_tokens_takes_no_longer_than_others() -> None:
    """A saved run may come from anyone. Each token once looked at all others."""
    tokens = ["\ufffd"] * 300_000
    assert pieces_of("é", tokens) == ["é", *[""] * 299_999]
    assert pieces_of("é" * 300_000, [*tokens, "x"])[:2] == ["é" * 300_000, ""]


@pytest.mark.parametrize("seed", range(4))
def test_pieces_are_those_of_the_engines_offsets(seed: int) -> None:
    """Random bytes give whole and broken characters. The engine knows where each token begins."""
    params = SamplingParams(max_tokens=40, seed=seed, temperature=2.0, logit_bias={EOS: -100})
    answer = LLM(model=make_toy().model).generate("Pâté de ", params)[0].outputs[0]
    pieces = pieces_of(answer.text, [thought.token for thought in answer.thoughts])
    assert "".join(pieces) == answer.text
    stream = SegmentStream()
    segments = [*stream.push(answer), *stream.finish()]
    begin = num_whole = 0
    for segment in segments:
        end = begin + len(segment.thoughts)
        if segment.text and "\ufffd" not in "".join(each.token for each in segment.thoughts):
            assert "".join(pieces[begin:end]) == segment.text
            num_whole += 1
        begin = end
    assert num_whole > 5


@pytest.mark.parametrize(
    ("piece", "shown"),
    [("a\n", "a↵\n"), ("\t", "⇥"), ("", "∅"), ("\x1b[2J", "␛[2J"), ("\r\n", "␍↵\n"), (" ", " ")],
)
def test_signs(piece: str, shown: str) -> None:
    assert visible(piece) == shown
