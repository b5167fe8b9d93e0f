"""Tables and examples of the lab's page, as HTML."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from html import escape

from qstar_eval.bootstrap import Estimate
from qstar_lab.claims import percent, sequences, share_of_all
from qstar_lab.figures import THINKING, Example, Mode, TaskFigures

MODELS = {
    "base": "base, before Quiet-STaR",
    THINKING: "trained with its thoughts",
    "silent": "trained without thoughts",
    "random": "trained with random thoughts",
    "no-policy": "trained without REINFORCE",
}
KINDS = {
    "none": "no thoughts",
    "sampled": "its own thoughts, sampled",
    "greedy": "its own thoughts, most likely tokens",
    "random": "random tokens as thoughts",
    "shuffled": "another question's thoughts",
}


def table_html(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: AbstractSet[int] = frozenset()
) -> str:
    """A table.

    Args:
        header: texts.
        rows: HTML of each cell.
        numbers: columns that are aligned to the right.
    """

    def style(column: int) -> str:
        return ' class="number"' if column in numbers else ""

    head = "".join(f"<th{style(i)}>{escape(text)}</th>" for i, text in enumerate(header))
    body = "".join(
        "<tr>" + "".join(f"<td{style(i)}>{cell}</td>" for i, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def scores_html(task: TaskFigures) -> str:
    """Every score of a task, with intervals."""
    rows = []
    for model, name in MODELS.items():
        scores = task.scores.get(model, {})
        for mode in sorted(scores, key=_order):
            score = scores[mode]
            rows.append(
                [
                    escape(name),
                    escape(KINDS[mode.kind]),
                    str(mode.length),
                    _number(score.accuracy, 100, 1, " %"),
                    _number(score.nats, 1, 3, ""),
                ]
            )
    header = ["model", "thoughts", "tokens", "right answers", "nats"]
    return table_html(header, rows, numbers={2, 3, 4})


def examples_html(task: TaskFigures) -> str:
    """Questions with thought and answer. Wrong steps are struck out."""
    intro = (
        f"Held-out questions, each with a sampled thought of {task.longest} tokens. A step is "
        "framed if it is right, and struck out if it is wrong."
    )
    return f'<p class="soft">{escape(intro)}</p>' + "".join(map(_example, task.examples))


def served_html(task: TaskFigures) -> str:
    """Accuracy, agreement and speed of the engine."""
    served = task.served
    agreement = "no drafts" if served.agreement is None else percent(served.agreement)
    text = (
        f"At temperature 0 the engine with the wavefront answers {percent(served.accuracy.value)} "
        f"of held-out questions. Of the {served.num_tokens} tokens that it gave, "
        f"{share_of_all(served.same_tokens)} are those of the definition, computed in float32. The "
        f"thought agreed with the draft at {agreement} of the tokens, and a token took "
        f"{served.passes_per_token:.2f} passes."
    )
    rows = [
        [
            escape(sequences(speed.num_sequences)),
            f"{speed.plain:.0f}",
            f"{speed.thinking:.0f}",
            escape(percent(speed.ratio)),
            f"{speed.passes_per_token:.2f}",
            "" if speed.agreement is None else escape(percent(speed.agreement)),
            escape(percent(speed.share_with_thought)),
        ]
        for speed in task.speeds
    ]
    header = ["its own text", "tokens/s without", "tokens/s with", "ratio", "passes per token"]
    header += ["drafts kept", "tokens with a thought"]
    table = table_html(header, rows, numbers=set(range(1, len(header)))) if rows else ""
    return f'<p>{escape(text)}</p><div class="scroll">{table}</div>'


def _example(example: Example) -> str:
    steps = "".join(
        f'<span class="step {"right" if is_right else "wrong"}">{escape(token)}</span>'
        for token, is_right in example.thought
    )
    is_right = example.answer == example.expected
    verdict = (
        '<span class="holds">right</span>'
        if is_right
        else f'<span class="fails">wrong, it is {escape(example.expected)}</span>'
    )
    return (
        f'<div class="example"><div class="mono">{escape(example.question)}</div>'
        f'<div class="mono"><span class="thought">thought</span> {steps} '
        f'<span class="thought">answer</span> <b>{escape(example.answer)}</b> {verdict}</div></div>'
    )


def _order(mode: Mode) -> tuple[int, int]:
    return list(KINDS).index(mode.kind), mode.length


def _number(estimate: Estimate, scale: float, digits: int, unit: str) -> str:
    value, low, high = (
        f"{scale * number:.{digits}f}" for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value}{escape(unit)}<small>{low} to {high}</small>"
