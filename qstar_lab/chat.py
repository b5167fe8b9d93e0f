"""The chat template of a model of the lab."""

from pathlib import Path

from qstar_lab.tasks.digit_chains import DigitChains

_FILES = {DigitChains.name: Path(__file__).parent / "chat_template.jinja"}


def chat_template(task: str) -> str | None:
    """The Jinja template that turns a message into a question; None: the task has no chat."""
    file = _FILES.get(task)
    return None if file is None else file.read_text(encoding="utf-8")
