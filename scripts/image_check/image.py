"""What an image is besides its files: how a process in it is started."""

from dataclasses import dataclass, field
from pathlib import Path

from scripts.image_check.commands import CheckError
from scripts.image_check.dockerfile import Instruction, expand

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Image:
    """A root, and how a process in it is started."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    args: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    """Numbers of user and group."""
    workdir: str = "/"
    labels: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)

    @property
    def variables(self) -> dict[str, str]:
        """What an instruction may name; ENV counts more than ARG."""
        return self.args | self.env

    def describe(self, step: Instruction) -> None:
        """Execute a step that touches no file.

        Raises:
            CheckError: it is another one, or in a form that is not understood.
        """
        match step.keyword:
            case "ENV":
                self.env |= step.pairs(self.variables)
            case "LABEL":
                self.labels |= step.pairs(self.variables)
            case "USER":
                self.user = expand(step.value, self.variables)
            case "VOLUME":
                self.volumes += exec_form(step)
            case "HEALTHCHECK":
                self.healthcheck = health_command(step)
            case "ENTRYPOINT":
                self.entrypoint, self.cmd = exec_form(step), []
            case "CMD":
                self.cmd = exec_form(step)
            case "EXPOSE" | "STOPSIGNAL":  # nothing here reads them
                pass
            case _:
                raise CheckError(f"line {step.line}: {step.keyword} cannot be executed here")


def exec_form(step: Instruction) -> list[str]:
    """The words of a JSON array.

    Raises:
        CheckError: the step is in shell form.
    """
    words = step.exec_form()
    if words is None:
        raise CheckError(f"line {step.line}: {step.keyword} must be a JSON array")
    return words


def health_command(step: Instruction) -> list[str]:
    """The command of a HEALTHCHECK.

    Raises:
        CheckError: there is none, or it is in shell form.
    """
    keyword, _, words = step.value.partition(" ")
    if keyword != "CMD":
        raise CheckError(f"line {step.line}: HEALTHCHECK must be CMD and a JSON array")
    return exec_form(Instruction(step.line, step.keyword, (), words.strip()))
