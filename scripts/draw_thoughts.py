"""Draw thoughts at random from the records of an evaluation, and print them as a Markdown table.

    .venv/bin/python scripts/draw_thoughts.py UNITS.jsonl --count 30 --seed 0

UNITS.jsonl is `units/<checkpoint>/<text>/<length>-sampled.jsonl` of a directory that `qstar eval`
wrote. All predicted tokens are equally likely to be drawn. Standard library only.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

CONTEXT_TOKENS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("units", type=Path)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with arguments.units.open(
        encoding="utf-8"
    ) as file:  # thoughts may contain other line separators
        records = [json.loads(line) for line in file]
    places = [(record, index) for record in records for index in range(len(record["base_losses"]))]
    draw = random.Random(arguments.seed)
    print("| text before | thought | next token | base loss | gain | weight |")
    print("|---|---|---|---|---|---|")
    for record, index in draw.sample(places, arguments.count):
        print(row(record, index))


def row(record: dict[str, list[Any]], index: int) -> str:
    """One line of the table; losses in nats."""
    tokens = record["tokens"]
    context = "".join(tokens[max(0, index + 1 - CONTEXT_TOKENS) : index + 1])
    base, mixed = record["base_losses"][index], record["mixed_losses"][index]
    texts = (quoted(text) for text in (context, record["thoughts"][index], tokens[index + 1]))
    numbers = (f"{base:.2f}", f"{base - mixed:+.3f}", f"{record['mixing_weights'][index]:+.2f}")
    return f"| {' | '.join([*texts, *numbers])} |"


def quoted(text: str) -> str:
    """The text as Markdown code on one line, for a table cell."""
    line = text.replace("\n", "\\n").replace("|", "\\|").replace("`", "'")
    return f"`{line or ' '}`"


if __name__ == "__main__":
    main()
