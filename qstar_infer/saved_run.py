"""The saved run: a JSON file with answers and their thoughts.

`qstar generate --save`, `/save` of a chat and the web page write it; `qstar show` and the page open
it. docs/decisions/0038-thoughts-to-look-at.md has its form. A file may come from anyone, so that
reading checks everything that is used. Fields that this version does not know are left out.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from qstar_infer.errors import SavedRunError
from qstar_infer.json_place import JsonError, JsonPlace, parse_json
from qstar_infer.outputs import Draft, DroppedThought, LikelyToken, Passes, Thought

FORMAT = "qstar-run"
VERSION = 1
MAX_BYTES = 64 * 2**20
LOWEST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON does not have, as in the server's answers."""
_ROUNDING = 1e-3
"""Nats above 0 that a log-probability may have by rounding."""

Endpoint = Literal["completions", "chat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedChoice:
    """One completion of a run."""

    index: int
    text: str
    finish_reason: str | None
    """None: it was cut short."""
    thoughts: list[Thought]
    """One for each token; empty if the request did not show thoughts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRun:
    """One request and its answer."""

    created: int
    """Unix time, seconds."""
    model: str
    endpoint: Endpoint
    request: dict[str, Any]
    """The body of the request, without `stream` and `stream_options`. Not checked."""
    choices: list[SavedChoice]
    usage: dict[str, Any] | None
    """Not checked."""
    seconds: float | None
    """From sending the request to its last token; None: unknown."""


def read_saved_runs(path: Path) -> list[SavedRun]:
    """The runs of a file, at least one.

    Raises:
        SavedRunError: the file cannot be read, or is no saved run.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SavedRunError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise SavedRunError(f"{path} is larger than {MAX_BYTES >> 20} MiB; save fewer runs in it")
    try:
        return parse_saved_runs(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise SavedRunError(f"{path} is no saved run: it is not UTF-8") from None
    except JsonError as error:
        raise SavedRunError(f"{path} is no saved run: {error}") from error


def parse_saved_runs(text: str) -> list[SavedRun]:
    """The runs that the text of a file has, at least one.

    Raises:
        JsonError: a field is missing or has a wrong value; the message names it.
    """
    file = parse_json(text)
    file.field("format").one_of([FORMAT])
    version = file.field("version")
    if version.integer() != VERSION:
        raise version.error(f"{VERSION}, the version that this program reads")
    return [_read_run(run) for run in file.field("runs").items(at_least=1)]


def write_saved_runs(path: Path, runs: Sequence[SavedRun]) -> None:
    """Write a new file, in ASCII, so that no terminal obeys it.

    Raises:
        SavedRunError: the file exists, or cannot be written.
    """
    content = {"format": FORMAT, "version": VERSION, "runs": [_run_json(run) for run in runs]}
    text = json.dumps(content, allow_nan=False) + "\n"
    try:
        with path.open("x", encoding="ascii") as file, _removed_if_incomplete(path):
            file.write(text)
            file.flush()
    except (OSError, ValueError) as error:
        raise _write_error(path, error) from error


def check_new_file(path: Path) -> None:
    """Check, before the work for it is done, that `write_saved_runs` can write a file.

    Raises:
        SavedRunError: it exists, or its directory does not, or is not writable.
    """
    parent = path.absolute().parent
    try:
        path.lstat()  # a link to nowhere is a file too
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise _write_error(path, error) from error
    else:
        raise _write_error(path, FileExistsError())
    if not parent.is_dir():
        raise SavedRunError(f"{path} cannot be written: there is no directory {path.parent}")
    if not os.access(parent, os.W_OK):
        raise SavedRunError(f"{path} cannot be written: the directory {parent} is read-only")


@contextmanager
def _removed_if_incomplete(path: Path) -> Iterator[None]:
    """A part of a file could not be opened, and would be in the way of the next attempt."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _write_error(path: Path, error: OSError | ValueError) -> SavedRunError:
    if isinstance(error, FileExistsError):
        return SavedRunError(f"{path} exists already; choose another name, or remove it")
    reason = error.strerror if isinstance(error, OSError) else error
    return SavedRunError(f"{path} cannot be written: {reason}")


# --- reading ------------------------------------------------------------------------------------


def _read_run(run: JsonPlace) -> SavedRun:
    usage = run.optional("usage")
    seconds = run.optional("seconds")
    is_chat = run.field("endpoint").one_of(["completions", "chat"]) == "chat"
    return SavedRun(
        created=run.field("created").integer(),
        model=run.field("model").text(),
        endpoint="chat" if is_chat else "completions",
        request=run.field("request").object(),
        choices=[_read_choice(choice) for choice in run.field("choices").items(at_least=1)],
        usage=None if usage is None or usage.value is None else usage.object(),
        seconds=None if seconds is None or seconds.value is None else seconds.number(),
    )


def _read_choice(choice: JsonPlace) -> SavedChoice:
    reason = choice.optional("finish_reason")
    return SavedChoice(
        index=choice.field("index").integer(),
        text=choice.field("text").text(),
        finish_reason=None if reason is None or reason.value is None else reason.text(),
        thoughts=[_read_thought(entry) for entry in choice.field("thoughts").items()],
    )


def _read_thought(entry: JsonPlace) -> Thought:
    return Thought(
        token_id=entry.field("token_id").integer(),
        token=entry.field("token").text(),
        thought=entry.field("thought").text(),
        thought_token_ids=[each.integer() for each in entry.field("thought_token_ids").items()],
        mixing_weight=entry.field("mixing_weight").number(),
        logprob=_read_logprob(entry.field("logprob")),
        base_logprob=_read_logprob(entry.field("base_logprob")),
        top_logprobs=_read_top(entry.optional("top_logprobs")),
        base_top_logprobs=_read_top(entry.optional("base_top_logprobs")),
        passes=_read_passes(entry.optional("passes")),
    )


def _read_top(place: JsonPlace | None) -> list[LikelyToken] | None:
    if place is None or place.value is None:
        return None
    return [
        LikelyToken(
            token=each.field("token").text(),
            token_id=each.field("token_id").integer(),
            logprob=_read_logprob(each.field("logprob")),
        )
        for each in place.items()
    ]


def _read_passes(place: JsonPlace | None) -> Passes | None:
    if place is None or place.value is None:
        return None
    draft = place.field("draft")
    return Passes(
        first=place.field("first").integer(),
        last=place.field("last").integer(),
        draft=Draft(
            token=draft.field("token").text(),
            token_id=draft.field("token_id").integer(),
            is_fed=draft.field("is_fed").boolean(),
            is_kept=draft.field("is_kept").boolean(),
        ),
        dropped=[
            DroppedThought(
                token=each.field("token").text(),
                first=each.field("first").integer(),
                last=each.field("last").integer(),
            )
            for each in place.field("dropped").items()
        ],
    )


def _read_logprob(place: JsonPlace) -> float:
    return min(place.number(high=_ROUNDING), 0.0)


# --- writing ------------------------------------------------------------------------------------


def _run_json(run: SavedRun) -> dict[str, Any]:
    return {
        "created": run.created,
        "model": run.model,
        "endpoint": run.endpoint,
        "request": run.request,
        "choices": [_choice_json(choice) for choice in run.choices],
        "usage": run.usage,
        "seconds": run.seconds,
    }


def _choice_json(choice: SavedChoice) -> dict[str, Any]:
    return {
        "index": choice.index,
        "text": choice.text,
        "finish_reason": choice.finish_reason,
        "thoughts": [_thought_json(thought) for thought in choice.thoughts],
    }


def _thought_json(thought: Thought) -> dict[str, Any]:
    entry = thought.as_entry()
    for part in (entry, *entry.get("top_logprobs", []), *entry.get("base_top_logprobs", [])):
        for name in part.keys() & {"logprob", "base_logprob"}:
            part[name] = max(part[name], LOWEST_LOGPROB)
    return entry
