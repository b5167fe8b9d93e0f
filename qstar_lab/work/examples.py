"""Thoughts to read: held-out questions of several sizes, each with thought and answer."""

from collections.abc import Sequence

from qstar_eval.answer_sets import measure_answers
from qstar_infer.checkpoint import load_model
from qstar_infer.thinking_rule import EVERYWHERE
from qstar_lab.tasks.registry import find_task
from qstar_lab.work.files import read_questions, write_result


def show_examples(
    *, result: str, checkpoint: str, task: str, questions: str, length: int, count: int, seed: int
) -> None:
    """Write thoughts and answers, not chosen by what they say.

    Args:
        length: of the thoughts, which are sampled.
        count: of the examples; their sizes are spread evenly.
    """
    kind = find_task(task)
    model = load_model(checkpoint, dtype="float32", device="cpu")
    asked = read_questions(questions)
    chosen = _spread([int(question.group or 0) for question in asked], count)
    records = measure_answers(
        model, asked, num_thought_tokens=length, seed=seed, indices=chosen, thinking=EVERYWHERE
    )
    examples = []
    for record in records:
        question = asked[record.index]
        tokens = [str(name) for name in model.tokenizer.convert_ids_to_tokens(record.thought_ids)]
        working = kind.solve(question.prompt).working
        examples.append(
            {
                "question": question.prompt,
                "thought": [
                    (token, token == step) for token, step in zip(tokens, working, strict=False)
                ],
                "answer": record.mixed_answer,
                "expected": question.answer,
            }
        )
    write_result(result, {"examples": examples})


def _spread(sizes: Sequence[int], count: int) -> list[int]:
    """Indices of the first questions of sizes from the smallest to the largest."""
    first = {size: sizes.index(size) for size in sorted(set(sizes))}
    places = list(first.values())
    count = min(count, len(places))
    if count == 1:
        return places[-1:]
    return [places[round(index * (len(places) - 1) / (count - 1))] for index in range(count)]
