"""Make a trained model of the lab the packaged one: measure it, write checkpoint and card.

    .venv/bin/python -m scripts.package_lab_model MODEL [--output DIRECTORY]

MODEL is a checkpoint of the digit chains, such as `qstar lab` trains. DIRECTORY is replaced.
"""

import argparse
import dataclasses
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from string import Template
from typing import Any

import torch

from qstar_eval.bootstrap import Bootstrap
from qstar_infer import LLM, CompletionOutput, SamplingParams, load_model
from qstar_infer.checkpoint import save_model
from qstar_infer.checkpoint.lab import LAB_DIRECTORY, LAB_FILES
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.thinking_rule import EVERYWHERE, ThinkingRule
from qstar_lab.chat import chat_template
from qstar_lab.tasks.digit_chains import DigitChains
from qstar_lab.tasks.task import Problem

CARD = Path(__file__).parent / "lab_model_card.md"
MAX_BYTES = 4_000_000
SIZES = ((1, 4), (5, 8), (9, 12), (13, 16))
NUM_EXAMPLES = 10

Answers = list[CompletionOutput]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a trained checkpoint")
    parser.add_argument("--output", type=Path, default=LAB_DIRECTORY)
    parser.add_argument("--count", type=int, default=2000, help="how many questions")
    args = parser.parse_args()

    model = load_model(args.model, dtype="float32", device="cpu")
    prepare(model)
    card = write_card(model, args.count)
    with tempfile.TemporaryDirectory() as temporary:
        new = Path(temporary) / "lab_model"
        save_model(model, new)
        check(new)
        size = sum(path.stat().st_size for path in new.iterdir()) / 1e6
        (new / "README.md").write_text(card.replace("$size", f"{size:.1f}"), encoding="utf-8")
        shutil.rmtree(args.output, ignore_errors=True)
        shutil.copytree(new, args.output)
    print(card)


def prepare(model: QuietStarModel) -> None:
    """Add the chat template and greedy decoding, and remove this machine's directories.

    A model without a rule of its own thinks behind the task's marker.
    """
    model.tokenizer.chat_template = chat_template(DigitChains.name)
    generation = model.backbone.generation_config
    assert generation is not None
    generation.do_sample = True  # transformers refuses to save a temperature without it
    generation.temperature = 0.0
    assert model.config is not None, "the model has no thought parts"
    config = without_directories(dataclasses.asdict(model.config))
    rule = model.config.thinking
    if rule == EVERYWHERE:
        rule = ThinkingRule(where="behind", tokens=(DigitChains.marker,))
    model.config = dataclasses.replace(
        model.config, base_model=config["base_model"], training=config["training"], thinking=rule
    )


def without_directories(value: Any) -> Any:
    """The value with each absolute path in it replaced by its last part."""
    if isinstance(value, dict):
        return {name: without_directories(each) for name, each in value.items()}
    if isinstance(value, list):
        return [without_directories(each) for each in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def check(directory: Path) -> None:
    """Stop if the checkpoint is too large, incomplete or not float32."""
    num_bytes = sum(path.stat().st_size for path in directory.iterdir())
    if num_bytes > MAX_BYTES:
        raise SystemExit(f"The checkpoint has {num_bytes} bytes; at most {MAX_BYTES} are packaged.")
    names = {path.name for path in directory.iterdir()}
    if names != set(LAB_FILES):
        raise SystemExit(f"The checkpoint has other files: {sorted(names ^ set(LAB_FILES))}")
    if load_model(directory, dtype="stored", device="cpu").dtype != torch.float32:
        raise SystemExit("The checkpoint is not float32.")


def write_card(model: QuietStarModel, count: int) -> str:
    """Ask held-out questions with each thought length; the card's text, all but the size."""
    task, random = DigitChains(), Random("card")
    problems = [task.draw(random, held_out=True) for _ in range(count)]
    answers = ask(model, problems, (0, *task.thought_lengths))
    longest = answers[max(answers)]
    config = model.backbone.config
    return Template(CARD.read_text(encoding="utf-8")).safe_substitute(
        parameters=f"{model.backbone.num_parameters() / 1e6:.2f} million",
        by_length="\n".join(length_row(length, problems, answers[length]) for length in answers),
        by_size="\n".join(size_row(length, problems, answers[length]) for length in answers),
        count=f"{count:,}",
        exact=percent([is_exact(*pair) for pair in zip(problems, longest, strict=True)]),
        examples="\n".join(map(example_row, problems[:NUM_EXAMPLES], longest)),
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        vocab=config.vocab_size,
    )


def ask(
    model: QuietStarModel, problems: Sequence[Problem], lengths: Sequence[int]
) -> dict[int, Answers]:
    """The answers by thought length."""
    llm = LLM(model=model)
    prompts = [problem.prompt for problem in problems]
    answers = {}
    for length in lengths:
        params = SamplingParams(max_tokens=1, temperature=0.0, num_thought_tokens=length)
        answers[length] = [request.outputs[0] for request in llm.generate(prompts, params)]
    llm.close()
    return answers


def right(problems: Sequence[Problem], answers: Answers) -> list[bool]:
    """Whether each answer is its problem's."""
    pairs = zip(problems, answers, strict=True)
    return [answer.text == problem.answer for problem, answer in pairs]


def is_exact(problem: Problem, answer: CompletionOutput) -> bool:
    """Whether the thought is the whole working."""
    return answer.thoughts[0].thought == "".join(problem.working)


def percent(values: Sequence[bool]) -> str:
    """A share with its interval: `95.1 % [94.0, 96.2]`; a dash if there are none."""
    if not values:
        return "-"
    share = Bootstrap().share(values)
    return f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]".replace("%", " %")


def length_row(length: int, problems: Sequence[Problem], answers: Answers) -> str:
    return f"| {length} | {percent(right(problems, answers))} |"


def size_row(length: int, problems: Sequence[Problem], answers: Answers) -> str:
    pairs = list(zip(problems, right(problems, answers), strict=True))
    groups = [
        [is_right for problem, is_right in pairs if low <= problem.size <= high]
        for low, high in SIZES
    ]
    return f"| {length} | {' | '.join(map(percent, groups))} |"


def example_row(problem: Problem, answer: CompletionOutput) -> str:
    verdict = "yes" if answer.text == problem.answer else f"no: {problem.answer}"
    chain, working = problem.prompt.rstrip(".?"), "".join(problem.working)
    thought = answer.thoughts[0].thought
    return f"| `{chain}` | `{working}` | `{thought}` | `{answer.text}` | {verdict} |"


if __name__ == "__main__":
    main()
