"""Makes the tasks of a run from its config, and checks tokenizers for them. Loads no model."""

from collections.abc import Sequence

from qstar_eval.checkpoints import Checkpoint
from qstar_eval.config import EvalConfig, QuestionSetConfig
from qstar_eval.generation import ExactMatchTask, MajorityTask
from qstar_eval.held_out import HeldOutTask
from qstar_eval.probability import ProbabilityTask, answer_tokens
from qstar_eval.questions import read_questions
from qstar_eval.task import QuestionTask, Task
from qstar_infer.checkpoint.load import load_tokenizer_of
from qstar_infer.errors import ConfigError
from qstar_train.data.sources import documents


def make_tasks(config: EvalConfig) -> list[Task]:
    """Read texts and questions. Text sets come first, then each measure of each question set.

    Raises:
        ConfigError: a file or data set cannot be read, or holds nothing to measure.
    """
    tasks: list[Task] = [
        HeldOutTask(
            text.name,
            list(documents(text)),
            max_tokens=text.max_tokens,
            batch_size=config.batch_size,
        )
        for text in config.texts
    ]
    for each in config.questions:
        tasks += question_tasks(each, batch_size=config.batch_size)
    return tasks


def question_tasks(config: QuestionSetConfig, *, batch_size: int) -> list[QuestionTask]:
    """The tasks of one question set, in the order of its measures.

    Args:
        batch_size: questions in one batch of `probability`.

    Raises:
        ConfigError: the questions cannot be read.
    """
    questions = read_questions(config)
    tasks: list[QuestionTask] = []
    for measure in config.measures:
        if measure == "probability":
            tasks.append(ProbabilityTask(config, questions, batch_size=batch_size))
        elif measure == "exact_match":
            tasks.append(ExactMatchTask(config, questions))
        else:
            tasks.append(MajorityTask(config, questions))
    return tasks


def check_tokenizers(checkpoints: Sequence[Checkpoint], tasks: Sequence[Task]) -> None:
    """Check that every checkpoint's tokenizer can write the answers of every `probability` task.

    Raises:
        ConfigError: a tokenizer cannot; names checkpoint and task.
        CheckpointError: a tokenizer cannot be read.
    """
    names = {task.config.kind: task.name for task in tasks if isinstance(task, ProbabilityTask)}
    if not names:
        return
    for checkpoint in checkpoints:
        tokenizer = load_tokenizer_of(checkpoint.source)
        for kind, name in names.items():
            try:
                answer_tokens(tokenizer, kind)
            except ConfigError as error:
                raise ConfigError(
                    f"{checkpoint.label} cannot be measured by {name}: {error}"
                ) from error
