"""Reads a Dockerfile: its stages, and the instructions of each.

Only what this project's Dockerfile uses is understood; anything else is an error, so that no step
is left out or done differently without notice.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

KEYWORDS = {
    *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"),
    *("RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
}
_DIRECTIVE = re.compile(r"#\s*(syntax|escape|check)\s*=", re.IGNORECASE)
_FLAG = re.compile(r"--(?P<name>[a-z-]+)=(?P<value>\S+)\s+")
_FROM = re.compile(r"(?P<base>\S+) AS (?P<name>[a-z][a-z0-9_-]*)", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(?P<name>\w+)|\{(?P<braced>\w+)\}|(?P<other>.|$))")


class DockerfileError(Exception):
    """The file has something that this parser does not understand."""


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined."""

    line: int
    """Where it begins, from 1."""
    keyword: str
    """In upper case."""
    flags: tuple[tuple[str, str], ...]
    """`--name=value`, in their order; a name may occur several times."""
    value: str
    """The rest, variables not yet replaced."""

    def exec_form(self) -> list[str] | None:
        """The words of a JSON array; None if the value is not one."""
        if not self.value.startswith("["):
            return None
        words = json.loads(self.value)
        if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
            raise DockerfileError(f"line {self.line}: not a list of texts: {self.value}")
        return words

    def pairs(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The `name=value` pairs of ENV, LABEL or ARG; a name without a value is left out."""
        if "'" in self.value:
            raise DockerfileError(f"line {self.line}: single quotes are not understood")
        words = [word.partition("=") for word in shlex.split(self.value)]
        return {name: expand(value, variables) for name, equals, value in words if equals}


@dataclass
class Stage:
    """What follows a FROM."""

    name: str
    base: str
    """An earlier stage, or an image."""
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, keyword: str) -> Instruction | None:
        """The instruction of this kind that counts, if there is one."""
        found = [each for each in self.instructions if each.keyword == keyword]
        return found[-1] if found else None


@dataclass
class Dockerfile:
    """A whole file."""

    args: dict[str, str]
    """ARGs before the first FROM, with their defaults."""
    stages: dict[str, Stage]

    def lineage(self, target: str) -> list[Stage]:
        """The stage and those that it is based on, the first of them first."""
        stages = [self.stages[target]]
        while stages[0].base in self.stages:
            stages.insert(0, self.stages[stages[0].base])
        return stages


def parse(text: str) -> Dockerfile:
    """
    Raises:
        DockerfileError: something is not understood; the message names the line.
    """
    result = Dockerfile({}, {})
    stage: Stage | None = None
    for instruction in _instructions(text):
        if instruction.keyword == "FROM":
            stage = _stage(instruction, result)
            result.stages[stage.name] = stage
        elif stage is not None:
            stage.instructions.append(instruction)
        elif instruction.keyword == "ARG":
            result.args |= instruction.pairs(result.args)
        else:
            raise DockerfileError(f"line {instruction.line}: {instruction.keyword} before FROM")
    return result


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace `$NAME` and `${NAME}`; an unknown name is an empty text.

    Raises:
        DockerfileError: another kind of replacement.
    """

    def value(match: re.Match[str]) -> str:
        if match["other"] is not None:
            raise DockerfileError(f"not understood: {text}")
        return variables.get(match["name"] or match["braced"]) or ""

    if "\\" in text:
        raise DockerfileError(f"backslashes are not understood: {text}")
    return _VARIABLE.sub(value, text)


def _stage(instruction: Instruction, parsed: Dockerfile) -> Stage:
    match = _FROM.fullmatch(expand(instruction.value, parsed.args))
    if match is None or instruction.flags:
        raise DockerfileError(f"line {instruction.line}: not `FROM base AS name`")
    return Stage(match["name"], match["base"])


def _instructions(text: str) -> Iterator[Instruction]:
    for number, line in _joined_lines(text):
        keyword, _, rest = line.partition(" ")
        if keyword.upper() not in KEYWORDS:
            raise DockerfileError(f"line {number}: the instruction {keyword} is not understood")
        if "<<" in rest:
            raise DockerfileError(f"line {number}: here-documents are not understood")
        flags, rest = [], rest.strip()
        while match := _FLAG.match(rest):
            flags.append((match["name"], match["value"]))
            rest = rest[match.end() :]
        if not rest or rest.startswith("--"):
            raise DockerfileError(f"line {number}: not understood: {line}")
        yield Instruction(number, keyword.upper(), tuple(flags), rest)


def _joined_lines(text: str) -> Iterator[tuple[int, str]]:
    """Each instruction as one line, with the number of its first line."""
    first, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if _DIRECTIVE.match(line):
            raise DockerfileError(f"line {number}: parser directives are not understood")
        if not line or line.startswith("#"):
            continue
        first = first if parts else number
        parts.append(line.removesuffix("\\"))
        if not line.endswith("\\"):
            yield first, "".join(parts)
            parts = []
    if parts:
        raise DockerfileError(f"line {first}: the file ends within an instruction")
