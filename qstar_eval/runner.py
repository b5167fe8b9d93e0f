"""Runs an evaluation: makes its tasks, and measures every result that lacks records."""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from qstar_eval.answer_files import read_answer_set
from qstar_eval.answer_task import AnswerTask
from qstar_eval.checkpoints import Checkpoint, ModelFacts
from qstar_eval.config import EvalConfig
from qstar_eval.generation import ExactMatchTask, MajorityTask
from qstar_eval.held_out import HeldOutTask
from qstar_eval.probability import ProbabilityTask
from qstar_eval.provenance import check_provenance
from qstar_eval.questions import read_questions
from qstar_eval.results import Result
from qstar_eval.task import EvalTarget, RecordFile, Task
from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.load import load_tokenizer_of
from qstar_infer.context_length import context_length
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.kernels.choose import choose_kernel
from qstar_infer.kernels.module_layers import pack_layers
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.data.sources import documents

logger = logging.getLogger(__name__)

_PROMPT_TOKENS = 1024
"""Room for a question in the engine's context, in addition to the answer."""
_CPU_SEQUENCES = 8
_GPU_SEQUENCES = 32
"""Answers generated concurrently. More are no faster on a CPU (measured with the default model); a
GPU needs memory for scoring as well as for the KV cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is. `task` is None while the checkpoint loads."""

    label: str
    task: str | None = None
    mode: str = ""
    num_done: int = 0
    num_examples: int = 0


def make_tasks(config: EvalConfig) -> list[Task]:
    """Read texts and questions. Text sets come first, then each measure of each question set,
    then answer sets.

    Raises:
        ConfigError: a file or data set cannot be read, or holds nothing to measure.
    """
    tasks: list[Task] = [
        HeldOutTask(
            text.name,
            list(documents(text)),
            max_tokens=text.max_tokens,
            behind=text.behind or (),
            batch_size=config.batch_size,
        )
        for text in config.texts
    ]
    for each in config.questions:
        questions = read_questions(each)
        for measure in each.measures:
            if measure == "probability":
                tasks.append(ProbabilityTask(each, questions, batch_size=config.batch_size))
            else:
                kind = ExactMatchTask if measure == "exact_match" else MajorityTask
                tasks.append(kind(each, questions))
    tasks += [AnswerTask(each, read_answer_set(each)) for each in config.answers]
    return tasks


def check_tokenizers(checkpoints: Sequence[Checkpoint], tasks: Sequence[Task]) -> None:
    """Check that every checkpoint's tokenizer can write the answers of every `probability` task and
    of every answer set.

    Raises:
        ConfigError: a tokenizer cannot; names checkpoint and task.
        CheckpointError: a tokenizer cannot be read.
    """
    checked = [task for task in tasks if isinstance(task, ProbabilityTask | AnswerTask)]
    if not checked:
        return
    for checkpoint in checkpoints:
        tokenizer = load_tokenizer_of(checkpoint.source)
        for task in checked:
            try:
                task.check_tokenizer(tokenizer)
            except ConfigError as error:
                raise ConfigError(
                    f"{checkpoint.label} cannot be measured by {task.name}: {error}"
                ) from error


class Evaluation:
    """One run. Loads one checkpoint at a time, and only if it lacks records.

    Records are in `units/<label>/<task>/<mode>.jsonl` in the run's directory.
    """

    def __init__(
        self,
        config: EvalConfig,
        checkpoints: Sequence[Checkpoint],
        *,
        tasks: Sequence[Task],
        directory: Path,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """
        Raises:
            ConfigError: the directory holds something else; see `check_provenance`.
        """
        check_provenance(directory, config, checkpoints=checkpoints, tasks=tasks)
        self._config = config
        self._checkpoints = checkpoints
        self._tasks = tasks
        self._directory = directory
        self._on_progress = on_progress

    def run(self) -> list[Result]:
        """Measure what is missing. Returns every result, complete, in the order of the run.

        Raises:
            CheckpointError, ConfigError, RequestError: as loading and the tasks raise them.
        """
        self._warn_of_skipped_kinds()
        results = []
        for checkpoint in self._checkpoints:
            try:
                results += self._measured(checkpoint)
            except CheckpointError as error:
                if len(self._checkpoints) == 1:
                    raise
                raise CheckpointError(
                    f"{error} All records so far are kept: run the same command without "
                    f"{checkpoint.label} to continue with the other checkpoints."
                ) from error
        return results

    def _warn_of_skipped_kinds(self) -> None:
        """Name the tasks that cannot measure some kind of thoughts that the config asks for."""
        if self._config.thought_lengths == [0]:
            return
        for kind in self._config.thoughts:
            names = [task.name for task in self._tasks if kind not in task.kinds]
            if names:
                logger.warning(
                    "No %s thoughts for %s: these measures cannot replace a thought by them.",
                    kind,
                    ", ".join(names),
                )

    def _measured(self, checkpoint: Checkpoint) -> list[Result]:
        directory = self._directory / "units" / checkpoint.label
        path = directory / "checkpoint.json"
        facts = ModelFacts.read(path)
        if facts is not None:
            results = self._results(checkpoint, facts, directory)
            if not any(result.missing for result in results):
                return results
        self._on_progress(Progress(label=checkpoint.label))
        with self._loaded(checkpoint) as llm:
            facts = ModelFacts.of(llm.model)
            facts.write(path)
            results = self._results(checkpoint, facts, directory)
            for result in results:
                self._measure(result, llm)
        return results

    def _results(self, checkpoint: Checkpoint, facts: ModelFacts, directory: Path) -> list[Result]:
        return [
            Result(
                checkpoint=checkpoint,
                facts=facts,
                task=task,
                mode=mode,
                file=RecordFile(directory / task.name / f"{mode.name}.jsonl"),
            )
            for task in self._tasks
            for mode in facts.thinking_modes(
                self._config, with_no_thoughts=not task.has_base_figures
            )
            if mode.num_thought_tokens == 0 or mode.kind in task.kinds
        ]

    def _measure(self, result: Result, llm: LLM) -> None:
        target = EvalTarget(
            label=result.checkpoint.label,
            model=llm.model,
            llm=llm,
            mode=result.mode,
            seed=self._config.seed,
        )
        missing, size = result.missing, result.task.batch_size
        self._report(result, len(missing))
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            with torch.inference_mode():  # or the layers would not use their packed weights
                records = result.task.measure(target, batch)
            assert [record["index"] for record in records] == batch, "one record for each example"
            result.file.append(records)
            self._report(result, len(missing) - start - len(batch))

    def _report(self, result: Result, num_missing: int) -> None:
        self._on_progress(
            Progress(
                label=result.checkpoint.label,
                task=result.task.name,
                mode=result.mode.name,
                num_done=result.task.num_examples - num_missing,
                num_examples=result.task.num_examples,
            )
        )

    @contextmanager
    def _loaded(self, checkpoint: Checkpoint) -> Iterator[LLM]:
        """The checkpoint with an engine. Its memory is free again at the end."""
        config = self._config
        model = load_model(checkpoint.source, dtype=config.dtype, device=config.device)
        llm = open_engine(model, config)
        if model.device.type == "cpu":
            # After the engine, which packs the layers its own way. Scoring calls them themselves.
            pack_layers(model.backbone, choose_kernel(model.backbone))
        try:
            yield llm
        finally:
            llm.close()
            del llm, model
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def open_engine(model: QuietStarModel, config: EvalConfig) -> LLM:
    """An engine for the run's generated answers; for one sequence if there are none."""
    questions = [item for item in config.questions if set(item.measures) - {"probability"}]
    longest = max((item.max_new_tokens for item in questions), default=0) + _PROMPT_TOKENS
    context = context_length(model.backbone.config)
    limit = context.num_tokens if context.is_stated else longest
    most = _CPU_SEQUENCES if model.device.type == "cpu" else _GPU_SEQUENCES
    lengths = [length for length in config.thought_lengths if length is not None]
    return LLM(
        model=model,
        max_model_len=min(longest, limit),
        max_num_seqs=most if questions else 1,
        max_thought_tokens=max([model.num_thought_tokens, *lengths]),
    )
