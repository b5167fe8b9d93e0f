"""What is logged about fields that are ignored, whatever clients send."""

import logging

import pytest
from qstar_server.generation.unsupported_fields import IgnoredFieldLog


class Log:
    """An `IgnoredFieldLog` whose clock the test turns, and the lines that it wrote."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.WARNING, logger="qstar_server")
        self._caplog = caplog
        self._log = IgnoredFieldLog(lambda: self.now)
        self.now = 0.0

    def note(self, *names: str, after_s: float = 1.0) -> list[str]:
        """The lines about one request with these fields, so long after the one before."""
        self._caplog.clear()
        self.now += after_s
        self._log.note(dict.fromkeys(names, 1))
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def test_a_name_is_logged_once(log: Log) -> None:
    assert log.note("a", "b") == ["ignoring unknown request fields: 'a', 'b'"]
    assert log.note("b", "a") == []


def test_one_request_does_not_fill_the_memory(log: Log) -> None:
    """After one with 50,000 names, 256 lines were in the log, and no name was logged any more."""
    lines = log.note(*(f"x{number}" for number in range(50_000)))
    assert len(lines) == 1
    assert lines[0].count("'x") == 8
    assert log.note("a") == ["ignoring unknown request fields: 'a'"]


def test_many_requests_do_not_fill_the_memory(log: Log) -> None:
    for number in range(1000):
        log.note(*(f"x{number}-{each}" for each in range(8)))
    assert log.note("a") == ["ignoring unknown request fields: 'a'"]
    assert log.note("a") == []


def test_there_is_at_most_one_line_a_second(log: Log) -> None:
    """A name that comes too soon is logged with a later request."""
    assert log.note("a")
    assert log.note("b", after_s=0.5) == []
    assert log.note("b", after_s=0.5) == ["ignoring unknown request fields: 'b'"]


def test_a_name_cannot_break_a_line_or_fill_it(log: Log) -> None:
    (line,) = log.note("\n" * 1000)
    assert "\n" not in line
    assert len(line) < 200
