"""Saved runs as a table for other programs: a line for each token, columns split by tabs."""

import math

from qstar_infer.cli.shade import change_of
from qstar_infer.cli.terminal import one_line
from qstar_infer.outputs import Thought
from qstar_infer.saved_run import SavedRun

COLUMNS = ("token", "weight", "probability", "base_probability", "change", "thought")


def table_of(run: SavedRun) -> str:
    """A heading and the tokens of each completion, in lines that end with a line feed.

    `change` is in nats. A line that begins with "# " tells the model and the completion.
    """
    lines = []
    for choice in run.choices:
        lines.append(f"# {one_line(run.model)}, completion {choice.index}")
        lines.append("\t".join(COLUMNS))
        lines += [_row(thought) for thought in choice.thoughts]
    return "".join(f"{line}\n" for line in lines)


def _row(thought: Thought) -> str:
    numbers = (
        thought.mixing_weight,
        math.exp(thought.logprob),
        math.exp(thought.base_logprob),
        change_of(thought),
    )
    texts = [f"{number:.6g}" for number in numbers]
    return "\t".join([one_line(thought.token), *texts, one_line(thought.thought)])
