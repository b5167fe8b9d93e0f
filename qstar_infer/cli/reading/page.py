"""One completion as the reading view shows it: its tokens in lines, and ways between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from qstar_infer.cli.reading.layout import Line, lay_out
from qstar_infer.cli.reading.pieces import pieces_of, visible
from qstar_infer.cli.shade import change_of
from qstar_infer.cli.terminal import one_line, printable
from qstar_infer.outputs import Thought
from qstar_infer.saved_run import SavedChoice, SavedRun


@dataclass(frozen=True, eq=False)
class Page:
    """A completion, ready to be shown.

    Attributes:
        prompt: the text that was continued or answered, safe to show; "" if there is none.
        pieces: what is shown of each token; one piece without a token if no thoughts were saved.
        thoughts: one for each piece, or none.
    """

    model: str
    prompt: str
    pieces: tuple[str, ...]
    thoughts: tuple[Thought, ...]

    @lru_cache(maxsize=2)  # noqa: B019  # a page lives as long as the program
    def lines(self, width: int) -> Sequence[Line]:
        """The pieces in lines of at most `width` columns."""
        return lay_out(self.pieces, width)

    def by_change(self) -> list[int]:
        """Tokens with a thought, the one first whose thought changed most."""
        numbers = [n for n, thought in enumerate(self.thoughts) if thought.thought_token_ids]
        return sorted(numbers, key=lambda number: -abs(change_of(self.thoughts[number])))


def pages_of(runs: Sequence[SavedRun]) -> list[Page]:
    """A page for each completion of each run."""
    return [_page(run, choice) for run in runs for choice in run.choices]


def _page(run: SavedRun, choice: SavedChoice) -> Page:
    tokens = [thought.token for thought in choice.thoughts]
    pieces = pieces_of(choice.text, tokens) if tokens else [choice.text]
    return Page(
        model=one_line(run.model),
        prompt=printable(prompt_of(run)).replace("\t", "⇥"),
        pieces=tuple(map(visible, pieces)),
        thoughts=tuple(choice.thoughts),
    )


def prompt_of(run: SavedRun) -> str:
    """The prompt, or the newest message of a chat; "" if it is no text."""
    prompt = run.request.get("prompt")
    if run.endpoint == "chat":
        messages = run.request.get("messages")
        newest = messages[-1] if isinstance(messages, list) and messages else None
        prompt = newest.get("content") if isinstance(newest, dict) else None
    return prompt if isinstance(prompt, str) else ""
