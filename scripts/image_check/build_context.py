"""The files that a build may copy: those that `.dockerignore` leaves in."""

import re
from collections.abc import Sequence
from pathlib import Path

Rule = tuple[re.Pattern[str], bool]
"""A pattern, and whether it leaves out what it matches."""


def context_files(root: Path) -> list[str]:
    """Paths of the files of the context, relative to it.

    Raises:
        ValueError: `.dockerignore` does not begin with `*`. Then every file would have to be
            looked at, and an environment has tens of thousands.
    """
    text = (root / ".dockerignore").read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    if patterns[:1] != ["*"]:
        raise ValueError(".dockerignore must begin with `*`, and name what the image needs")
    rules = [read_rule(pattern) for pattern in patterns]
    found = []
    for path in (root / pattern[1:] for pattern in patterns if pattern.startswith("!")):
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [file.relative_to(root).as_posix() for file in files if file.is_file()]
    return [path for path in found if not is_ignored(path, rules)]


def read_rule(pattern: str) -> Rule:
    """A line of `.dockerignore`. Its pattern is for a file, or for a folder that it lies in."""
    text = re.escape(pattern.removeprefix("!").strip("/"))
    text = text.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return re.compile(f"{text}(?:/.*)?"), not pattern.startswith("!")


def is_ignored(path: str, rules: Sequence[Rule]) -> bool:
    """Whether a file is left out. Of the rules that match it, the last one counts."""
    verdicts = [ignores for pattern, ignores in rules if pattern.fullmatch(path)]
    return bool(verdicts) and verdicts[-1]
