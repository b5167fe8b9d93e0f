"""What a tokenizer alone tells: which checkpoints a task cannot measure. Loads no weights."""

from collections.abc import Sequence

from qstar_eval.answer_tokens import answer_tokens
from qstar_eval.checkpoints import Checkpoint
from qstar_eval.probability import ProbabilityTask
from qstar_eval.task import Task
from qstar_infer.checkpoint.load import load_tokenizer_of
from qstar_infer.errors import ConfigError


def require_measurable(checkpoints: Sequence[Checkpoint], tasks: Sequence[Task]) -> None:
    """Ask every checkpoint's tokenizer whether it can write the answers of every task.

    Raises:
        ConfigError: one cannot; names checkpoint and task.
        CheckpointError: one cannot be read.
    """
    judged = {task.kind: task.name for task in tasks if isinstance(task, ProbabilityTask)}
    if not judged:
        return
    for checkpoint in checkpoints:
        tokenizer = load_tokenizer_of(checkpoint.source)
        for kind, name in judged.items():
            try:
                answer_tokens(tokenizer, kind)
            except ConfigError as error:
                raise ConfigError(
                    f"{checkpoint.label} cannot be measured by {name}: {error}"
                ) from error
