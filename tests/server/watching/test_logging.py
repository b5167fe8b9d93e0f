"""The form of the log: one line for each record, whatever a client puts into it."""

import io
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from qstar_server.watching.log_writer import MAX_PENDING_LINES, LogWriter
from qstar_server.watching.logging_setup import JsonLines, TextLines, fields
from qstar_server.watching.request_record import RequestRecord, set_current_record

HOSTILE = 'x\n2026-11-30T00:00:00.000Z ERROR root: forged\r\x1b[2J\u2028" y=1'
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def record_of(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("a.b").makeRecord(
        "a.b", logging.WARNING, "file", 1, message, args, None, extra=extra
    )


def failed_record(text: str) -> logging.LogRecord:
    try:
        raise ValueError(text)
    except ValueError as error:
        record = record_of("it failed")
        record.exc_info = (ValueError, error, error.__traceback__)
    return record


def test_a_line_of_text_has_time_level_logger_message_and_fields() -> None:
    record = record_of("got %d", 3, **fields(tokens=5, ttft_s=0.25, error=None, finish="stop"))
    line = TextLines().format(record)
    expected = r" WARNING a\.b: got 3 tokens=5 ttft_s=0\.2500 finish=stop"
    assert re.fullmatch(TIME + expected, line)


def test_a_line_of_json_has_the_same() -> None:
    record = record_of("got %d", 3, **fields(tokens=5, ttft_s=0.25, error=None, finish="stop"))
    entry = json.loads(JsonLines().format(record))
    assert re.fullmatch(TIME, entry.pop("time"))
    assert entry == {
        "level": "WARNING",
        "logger": "a.b",
        "message": "got 3",
        "tokens": 5,
        "ttft_s": 0.25,
        "finish": "stop",
    }


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()])
def test_no_text_of_a_client_breaks_a_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record_of("unknown field %s", HOSTILE, **fields(output=HOSTILE)))
    assert line.splitlines() == [line]
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028]", line)


def test_a_value_with_spaces_or_quotes_cannot_look_like_another_field() -> None:
    line = TextLines().format(record_of("m", **fields(request_id='a b=1 "c"', plain="v1/x-2")))
    assert line.endswith(r' m request_id="a b=1 \"c\"" plain=v1/x-2')


def test_a_traceback_cannot_look_like_another_record() -> None:
    lines = TextLines().format(failed_record(HOSTILE)).splitlines()
    assert re.match(TIME, lines[0])
    assert len(lines) > 3
    assert not [line for line in lines[1:] if not line.startswith("    ")]
    entry = json.loads(JsonLines().format(failed_record(HOSTILE)))
    assert "ValueError: x\n" in entry["exception"]


def test_a_line_written_for_a_request_has_its_id() -> None:
    def work() -> str:
        set_current_record(RequestRecord(request_id="abc", method="GET"))
        return TextLines().format(record_of("m"))

    assert copy_context().run(work).endswith(" m request_id=abc")
    assert TextLines().format(record_of("m")).endswith(" m")


class Sink:
    """A log file that may fail or stall."""

    def __init__(self) -> None:
        self.written = io.BytesIO()
        self.is_full = False
        self.may_write = threading.Event()
        self.may_write.set()

    def write(self, data: bytes) -> None:
        self.may_write.wait(20)
        if self.is_full:
            raise OSError("no space left on device")
        self.written.write(data)

    @property
    def lines(self) -> list[str]:
        return self.written.getvalue().decode().splitlines()


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.may_write.set()


def test_lines_are_written_in_order(sink: Sink) -> None:
    writer = LogWriter(sink.write)
    for number in range(100):
        writer.handle(record_of(f"line {number}"))
    writer.flush()
    assert sink.lines == [f"line {number}" for number in range(100)]


def test_a_full_disk_costs_lines_and_says_how_many(sink: Sink) -> None:
    writer = LogWriter(sink.write)
    sink.is_full = True
    writer.handle(record_of("lost"))
    writer.handle(record_of("lost as well"))
    writer.flush()
    sink.is_full = False
    writer.handle(record_of("kept"))
    writer.flush()
    assert sink.lines == ["kept", "2 lines were dropped: this log was not writable"]


def test_a_stalled_log_holds_up_nobody_and_is_bounded(sink: Sink) -> None:
    sink.may_write.clear()
    writer = LogWriter(sink.write)
    started = time.monotonic()
    for number in range(MAX_PENDING_LINES + 500):
        writer.handle(record_of(f"line {number}"))
    writer.flush()
    assert time.monotonic() - started < 15, "waited for a log that is stalled for 20 s"
    sink.may_write.set()
    deadline = time.monotonic() + 20
    while len(sink.lines) < MAX_PENDING_LINES and time.monotonic() < deadline:
        writer.flush()
    dropped = [line for line in sink.lines if "dropped" in line]
    assert len(dropped) == 1
    number = int(dropped[0].split()[0])
    assert number + len(sink.lines) - 1 == MAX_PENDING_LINES + 500


def test_a_record_that_cannot_be_formatted_costs_only_itself(sink: Sink) -> None:
    writer = LogWriter(sink.write)
    writer.handle(record_of("%d", "no number"))
    writer.handle(record_of("next"))
    writer.flush()
    first, second = sink.lines
    assert "could not be formatted" in first
    assert second == "next"
