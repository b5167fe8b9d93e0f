"""The event stream decoder, at every place the network may cut a stream."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_client import StreamError
from qstar_client._sse import ServerSentEvent, SSEDecoder

Event = ServerSentEvent

STREAMS = {
    "lf": (b"data: a\n\ndata: b\n\n", [Event("a"), Event("b")]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [Event("a"), Event("b")]),
    "cr": (b"data: a\r\rdata: b\r\r", [Event("a"), Event("b")]),
    "mixed line ends": (b"data: a\r\n\ndata: b\n\r\ndata: c\r\n\r", [*map(Event, "abc")]),
    "multi-byte characters": (
        "data: é漢🙂\n\ndata: \u2028x\n\n".encode(),
        [Event("é漢🙂"), Event("\u2028x")],
    ),
    "byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [Event("a")]),
    "second byte order mark is text": (
        b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n",
        [Event("a")],
    ),
    "comments": (b": ping\n\n:\n\ndata: a\n: ping\n\n: ping", [Event("a")]),
    "several data lines": (b"data: a\ndata:\ndata: c\n\n", [Event("a\n\nc")]),
    "several data lines, crlf": (b"data: a\r\ndata: b\r\n\r\n", [Event("a\nb")]),
    "empty data": (b"data\n\ndata:\n\n", [Event(""), Event("")]),
    "one space stripped": (b"data:a\n\ndata:  b \n\n", [Event("a"), Event(" b ")]),
    "colon in value": (b'data: {"a": 1}\n\n', [Event('{"a": 1}')]),
    "named event": (b"event: error\ndata: a\n\ndata: b\n\n", [Event("a", "error"), Event("b")]),
    "event without data": (b"event: x\n\ndata: a\n\n", [Event("a")]),
    "id, retry, unknown fields": (b"id: 1\nretry: 5\nfoo: x\ndatax: y\ndata: a\n\n", [Event("a")]),
    "no blank line at the end": (b"data: a\n\ndata: b\n", [Event("a"), Event("b")]),
    "no line end at the end": (b"data: a\n\ndata: b", [Event("a"), Event("b")]),
    "invalid utf-8": (b"data: a\xff\n\n", [Event("a\ufffd")]),
    "empty": (b"", []),
}


def decode(*pieces: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.flush()


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_every_split_position_gives_the_same_events(
    stream: bytes, events: list[ServerSentEvent]
) -> None:
    assert decode(stream) == events
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == events
    for cut in range(len(stream) + 1):
        assert decode(stream[:cut], stream[cut:]) == events
        for second_cut in range(cut, len(stream) + 1):
            assert decode(stream[:cut], stream[cut:second_cut], stream[second_cut:]) == events


LINE_TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))


@settings(max_examples=150, deadline=None)
@given(
    datas=st.lists(st.lists(LINE_TEXT, min_size=1, max_size=3), max_size=5),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    data=st.data(),
)
def test_encoded_events_come_back_however_they_are_cut(
    datas: list[list[str]], line_end: str, data: st.DataObject
) -> None:
    stream = "".join(
        "".join(f"data: {line}{line_end}" for line in lines) + line_end for lines in datas
    ).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*pieces) == [Event("\n".join(lines)) for lines in datas]


def test_an_event_is_delivered_with_the_line_end_that_completes_it() -> None:
    """A held-back event would delay every token by one."""
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r\n") == []
    assert decoder.feed(b"\r") == [Event("a")]
    assert decoder.feed(b"\n") == []


def test_flush_delivers_once() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"data: a")
    assert decoder.flush() == [Event("a")]
    assert decoder.flush() == []


@pytest.mark.parametrize(
    "piece",
    [b"x" * 10, b"data: xxxx\n", b": comment without end ", b"event:x"],
    ids=["endless line", "endless event", "endless comment", "endless name"],
)
def test_endless_input_raises_instead_of_filling_memory(piece: bytes) -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    with pytest.raises(StreamError, match="more than 100 bytes"):
        _feed_repeatedly(decoder, piece)


def _feed_repeatedly(decoder: SSEDecoder, piece: bytes) -> None:
    for _ in range(20):
        decoder.feed(piece)


def test_a_long_stream_of_short_events_is_not_bounded() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    events = [event for _ in range(1000) for event in decoder.feed(b"event: e\ndata: x\n\n: c\n")]
    assert events == [Event("x", "e")] * 1000
