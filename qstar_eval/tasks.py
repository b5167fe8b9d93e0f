"""The tasks of a run, from its settings. Reads texts and questions; loads no model."""

from qstar_eval.config import EvaluateSettings, TextSetSettings
from qstar_eval.held_out import HeldOutTask
from qstar_eval.question_factory import question_tasks
from qstar_eval.task import Task
from qstar_infer.errors import ConfigError
from qstar_train.data.sources import documents


def make_tasks(settings: EvaluateSettings) -> list[Task]:
    """Text sets first, then each measure of each question set.

    Raises:
        ConfigError: a file or data set cannot be read, or holds nothing to measure.
    """
    tasks: list[Task] = [_held_out(text, settings.batch_size) for text in settings.texts]
    for questions in settings.questions:
        tasks += question_tasks(questions, batch_size=settings.batch_size)
    for task in tasks:
        if task.num_units == 0:
            raise ConfigError(f"{task.name}: there is nothing to measure.")
    return tasks


def _held_out(text: TextSetSettings, batch_size: int) -> HeldOutTask:
    return HeldOutTask(
        text.name,
        list(documents(text)),
        max_tokens=text.max_tokens,
        batch_size=batch_size,
    )
