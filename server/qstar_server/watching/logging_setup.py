"""One form for every line of the log, as text or as JSON.

    2026-11-30T08:12:03.123Z INFO qstar_server.access: POST /v1/completions 200 request_id=4f1c ...
    {"time": "2026-11-30T08:12:03.123Z", "level": "INFO", "logger": "qstar_server.access", ...}

The fields of a record follow its message, or are keys of the object. A line that is written on
behalf of a request has its id, whoever writes it.
"""

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from qstar_infer.cli.terminal import PrintableFormatter, one_line
from qstar_server.settings.config import LogFormat, LogLevel
from qstar_server.watching.log_writer import LogWriter
from qstar_server.watching.request_record import current_record

Field = str | int | float | None

_PLAIN_VALUE = re.compile(r"[\w.:/{}+,-]+", re.ASCII)


def set_up_logging(*, level: LogLevel, log_format: LogFormat) -> LogWriter:
    """Send the log records of this process, and its warnings, to stderr.

    Returns:
        The handler, to flush before the process ends.
    """
    writer = LogWriter()
    writer.setFormatter(JsonLines() if log_format == "json" else TextLines())
    logging.captureWarnings(True)
    # What libraries say for debugging has the texts of clients: sse_starlette logs each chunk.
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(number, logging.INFO), handlers=[writer])
    for name in ("qstar_infer", "qstar_server"):
        logging.getLogger(name).setLevel(number)
    return writer


def fields(**values: Field) -> dict[str, Mapping[str, Field]]:
    """The `extra` of a log call that has fields; those that are None are left out."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


class TextLines(PrintableFormatter):
    """A line of text for each record; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """UTC with milliseconds."""
        del datefmt
        return _time_of(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, with the fields at its end."""
        parts = [super().formatMessage(record)]
        parts += [f"{name}={_shown(value)}" for name, value in _fields_of(record).items()]
        return " ".join(parts)


class JsonLines(logging.Formatter):
    """A JSON object on one line for each record."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, in ASCII."""
        entry: dict[str, Field] = {
            "time": _time_of(record),
            "level": record.levelname,
            "logger": record.name,
            "message": one_line(record.getMessage()),
        }
        entry |= _fields_of(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _time_of(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields_of(record: logging.LogRecord) -> dict[str, Field]:
    own: Mapping[str, Field] = getattr(record, "fields", {})
    request = current_record()
    return dict(own) if request is None else {"request_id": request.request_id, **own}


def _shown(value: Field) -> str:
    """A value that ends where it seems to end: in quotes unless it is one plain word."""
    if isinstance(value, float):
        return f"{value:.4f}"
    text = str(value)
    return text if _PLAIN_VALUE.fullmatch(text) else one_line(json.dumps(text, ensure_ascii=False))
