"""Makes what a task's training starts from: text, tokenizer and an untrained model."""

from pathlib import Path
from typing import Any

from qstar_infer.checkpoint import init_scratch, save_model
from qstar_infer.checkpoint.scratch.config import parse_scratch_config
from qstar_lab.chat import chat_template
from qstar_lab.corpus import write_corpus
from qstar_lab.tasks.registry import find_task
from qstar_train.atomic_write import replacing

MAX_POSITIONS = 512
INITIALIZER_RANGE = 0.05


def make_materials(
    *,
    result: str,
    text: str,
    task: str,
    shape: dict[str, int],
    num_visible: int,
    num_direct: int,
    num_held_out: int,
    seed: int,
) -> None:
    """Write the corpus, and then the untrained model with its tokenizer.

    Args:
        result: directory of the model.
        text: directory of the corpus.
        shape: of the model, as in `qstar_lab.recipe.Shape`.
        seed: of the text and of the first weights.
    """
    kind = find_task(task)
    write_corpus(
        kind,
        Path(text),
        seed=seed,
        num_visible=num_visible,
        num_direct=num_direct,
        num_test=num_held_out,
    )
    vocabulary: dict[str, Any] = {
        "tokens": list(kind.tokens),
        "pattern": kind.pattern,
        "eos_token": kind.tokens[0],
        "unk_token": kind.tokens[1],
        "chat_template": chat_template(task),
    }
    llama = {
        **shape,
        "max_positions": MAX_POSITIONS,
        "initializer_range": INITIALIZER_RANGE,
    }
    config = parse_scratch_config(
        {"vocabulary": vocabulary, "llama": llama, "seed": seed}, where=f"the task {task}"
    )
    with replacing(Path(result)) as new:
        save_model(init_scratch(config), new)
