"""Chunks out of bytes, and the whole out of chunks."""

import pytest

from qstar_client import Completion, CompletionChunk, StreamError
from qstar_client._completions.stream_format import COMPLETION_STREAM, CompletionJoiner
from qstar_client._stream_reader import StreamReader

from .conftest import COMPLETION, event

DONE = b"data: [DONE]\n\n"


def thought(token: str) -> dict[str, object]:
    return {
        "token": token,
        "token_id": 5,
        "thought": "two and two",
        "thought_token_ids": [1, 2],
        "mixing_weight": 0.25,
        "logprob": -0.5,
        "base_logprob": -1.5,
    }


def logprobs(token: str, offset: int) -> dict[str, object]:
    return {
        "tokens": [token],
        "token_logprobs": [-0.5],
        "top_logprobs": [{token: -0.5}],
        "text_offset": [offset],
    }


def chunk(index: int, text: str, **fields: object) -> dict[str, object]:
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": None, **fields}
    return {**COMPLETION, "choices": [choice], "usage": None}


def read(*pieces: bytes, end: bool = True) -> list[CompletionChunk]:
    reader = StreamReader(COMPLETION_STREAM)
    for piece in pieces:
        reader.feed(piece)
    if end:
        reader.end()
    return list(iter(reader.pop, None))


def gather(*chunks: dict[str, object]) -> Completion:
    joiner = CompletionJoiner()
    for each in chunks:
        joiner.add(CompletionChunk.model_validate(each))
    return joiner.join()


def test_chunks_come_in_order_until_done() -> None:
    chunks = read(b": ping\n\n", event(chunk(0, "a")), event(chunk(0, "é")), DONE)
    assert [each.choices[0].text for each in chunks] == ["a", "é"]


def test_nothing_is_read_after_done() -> None:
    reader = StreamReader(COMPLETION_STREAM)
    reader.feed(DONE + event({"error": "late"}))
    assert reader.pop() is None
    assert reader.is_done
    assert reader.pop() is None


def test_done_needs_no_blank_line() -> None:
    assert len(read(event(chunk(0, "a")), b"data: [DONE]")) == 1


@pytest.mark.parametrize("tail", [b"", b": ping\n\n", event(chunk(0, "b"))])
def test_an_end_without_done_is_an_error(tail: bytes) -> None:
    with pytest.raises(StreamError, match=r"no \[DONE\]"):
        read(event(chunk(0, "a")), tail)


def test_no_end_yet_is_no_error() -> None:
    assert len(read(event(chunk(0, "a")), b"data: {", end=False)) == 1


def test_chunks_before_an_error_are_delivered_first() -> None:
    reader = StreamReader(COMPLETION_STREAM)
    body = {"error": {"message": "engine died", "param": None, "code": "engine_dead"}}
    reader.feed(event(chunk(0, "a")) + event(body) + DONE)
    assert reader.pop() is not None
    with pytest.raises(StreamError, match="engine died") as caught:
        reader.pop()
    assert (caught.value.code, caught.value.param, caught.value.body) == ("engine_dead", None, body)


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (event({"error": "plain"}), "plain"),
        (b"event: error\ndata: words\n\n", "words"),
        (b'event: error\ndata: {"message": "m"}\n\n', "m"),
        (event({"error": {"code": 500}}), "no error message"),
    ],
)
def test_every_shape_of_error_event_is_an_error(stream: bytes, message: str) -> None:
    with pytest.raises(StreamError, match=message):
        read(stream, DONE)


@pytest.mark.parametrize("data", ["{", "7", "null", "{}", '{"choices": [{"text": "secret"}]}'])
def test_an_event_that_is_no_chunk_is_an_error_and_not_quoted(data: str) -> None:
    with pytest.raises(StreamError, match="not a chunk") as caught:
        read(f"data: {data}\n\n".encode(), DONE)
    assert "secret" not in str(caught.value)


def test_interleaved_choices_are_joined_in_order() -> None:
    whole = gather(
        chunk(1, "b1", thoughts=[thought("b1")]),
        chunk(0, "a1", thoughts=[thought("a1")]),
        chunk(1, "b2", thoughts=[thought("b2")], finish_reason="length"),
        chunk(0, "", thoughts=[], finish_reason="stop"),
        {**COMPLETION, "choices": []},
    )
    assert [choice.index for choice in whole.choices] == [0, 1]
    assert [choice.text for choice in whole.choices] == ["a1", "b1b2"]
    assert [choice.finish_reason for choice in whole.choices] == ["stop", "length"]
    assert [[t.token for t in c.thoughts or ()] for c in whole.choices] == [["a1"], ["b1", "b2"]]
    assert whole.usage is not None
    assert whole.usage.total_tokens == 4
    assert type(whole) is Completion


def test_logprobs_are_joined() -> None:
    whole = gather(chunk(0, "a", logprobs=logprobs("a", 0)), chunk(0, "bc"))
    assert whole.choices[0].logprobs is not None
    assert whole.choices[0].logprobs.tokens == ["a"]
    whole = gather(
        chunk(0, "a", logprobs=logprobs("a", 0)), chunk(0, "b", logprobs=logprobs("b", 1))
    )
    joined = whole.choices[0].logprobs
    assert joined is not None
    assert joined.model_dump() == {
        "tokens": ["a", "b"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"a": -0.5}, {"b": -0.5}],
        "text_offset": [0, 1],
    }


def test_token_ids_are_joined_and_those_of_the_prompt_come_once() -> None:
    """The last chunk's ids were once all that the whole had."""
    choice = gather(
        chunk(0, "a", token_ids=[1], prompt_token_ids=[8, 9]),
        chunk(0, "b", token_ids=[2]),
        chunk(0, "", token_ids=[3], finish_reason="stop"),
    ).choices[0]
    assert (choice.token_ids, choice.prompt_token_ids) == ([1, 2, 3], [8, 9])


def test_what_was_not_asked_for_stays_none() -> None:
    choice = gather(chunk(0, "a"), chunk(0, "b")).choices[0]
    assert (choice.token_ids, choice.prompt_token_ids) == (None, None)
    assert (choice.text, choice.thoughts, choice.logprobs) == ("ab", None, None)


def test_unknown_fields_are_kept() -> None:
    whole = gather(
        chunk(0, "a", stop_reason=None), {**chunk(0, "b", stop_reason="\n"), "note": "x"}
    )
    assert whole.model_extra == {"note": "x"}
    assert whole.choices[0].model_extra == {"stop_reason": "\n"}


def test_gathering_leaves_the_chunks_alone() -> None:
    """A caller may keep the chunks and ask for the whole as well."""
    chunks = [
        CompletionChunk.model_validate(each)
        for each in (
            chunk(0, ""),
            chunk(0, "a", thoughts=[thought("a")], token_ids=[1], logprobs=logprobs("a", 0)),
            chunk(0, "b", thoughts=[thought("b")], token_ids=[2], logprobs=logprobs("b", 1)),
        )
    ]
    before = [each.model_dump() for each in chunks]
    joiner = CompletionJoiner()
    for each in chunks:
        joiner.add(each)
    assert joiner.join().choices[0].text == "ab"
    assert [each.model_dump() for each in chunks] == before


def test_a_stream_without_chunks_has_no_whole() -> None:
    with pytest.raises(StreamError, match="no chunk"):
        gather()
