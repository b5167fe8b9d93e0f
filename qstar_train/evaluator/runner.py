"""Measures every checkpoint, task and way of thinking that has no record yet."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from qstar_infer.checkpoint import load_model
from qstar_infer.llm import LLM
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.evaluator.checkpoints import Checkpoint, CheckpointFacts
from qstar_train.evaluator.config import EvaluateSettings
from qstar_train.evaluator.guard import guard
from qstar_train.evaluator.subject import Subject
from qstar_train.evaluator.task import Task
from qstar_train.evaluator.units import UnitFile
from qstar_train.evaluator.variants import variant_name, variants
from qstar_train.scoring import Thinking

_PROMPT_TOKENS = 1024
"""Room for a question beside its answer, in the engine's context."""
_CPU_SEQUENCES = 8
_GPU_SEQUENCES = 32
"""Answers written at once. More are no faster on a CPU (the default model); on a GPU the oracle
needs memory beside their keys and values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One checkpoint, one task, one way of thinking: one file of records."""

    checkpoint: Checkpoint
    facts: CheckpointFacts
    task: Task
    thinking: Thinking
    file: UnitFile

    @property
    def variant(self) -> str:
        return variant_name(self.thinking)

    @property
    def missing(self) -> list[int]:
        """Units without a record."""
        return [index for index in range(self.task.num_units) if index not in self.file.indices]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a run is. `task` is None while the checkpoint loads."""

    label: str
    task: str | None = None
    variant: str = ""
    num_done: int = 0
    num_units: int = 0


class Evaluation:
    """One run: loads one checkpoint at a time, and only where something is missing.

    Records are in `units/<label>/<task>/<variant>.jsonl` below the run's directory.
    """

    def __init__(
        self,
        settings: EvaluateSettings,
        checkpoints: Sequence[Checkpoint],
        tasks: Sequence[Task],
        directory: Path,
        *,
        on_progress: Callable[[Progress], None],
    ) -> None:
        """
        Raises:
            ConfigError: the directory is of another run; see `guard`.
        """
        guard(directory, settings, checkpoints, tasks)
        self._settings = settings
        self._checkpoints = checkpoints
        self._tasks = tasks
        self._directory = directory
        self._on_progress = on_progress

    def run(self) -> list[Cell]:
        """Measure what is missing. Every cell comes back complete, in the order of the run.

        Raises:
            CheckpointError, ConfigError, RequestError: as loading and the tasks raise them.
        """
        return [cell for item in self._checkpoints for cell in self._measured(item)]

    def _measured(self, checkpoint: Checkpoint) -> list[Cell]:
        path = self._units(checkpoint) / "checkpoint.json"
        facts = CheckpointFacts.read(path)
        if facts is not None:
            cells = self._cells(checkpoint, facts)
            if not any(cell.missing for cell in cells):
                return cells
        self._on_progress(Progress(label=checkpoint.label))
        with self._loaded(checkpoint) as llm:
            facts = CheckpointFacts.of(llm.model)
            facts.write(path)
            cells = self._cells(checkpoint, facts)
            for cell in cells:
                self._measure(cell, llm)
        return cells

    def _cells(self, checkpoint: Checkpoint, facts: CheckpointFacts) -> list[Cell]:
        ways = variants(
            facts,
            thought_lengths=self._settings.thought_lengths,
            thoughts=self._settings.thoughts,
            temperature=self._settings.temperature,
        )
        return [
            Cell(
                checkpoint=checkpoint,
                facts=facts,
                task=task,
                thinking=thinking,
                file=UnitFile(
                    self._units(checkpoint) / task.name / f"{variant_name(thinking)}.jsonl"
                ),
            )
            for task in self._tasks
            for thinking in ways
            if task.supports(thinking)
        ]

    def _measure(self, cell: Cell, llm: LLM) -> None:
        subject = Subject(
            label=cell.checkpoint.label,
            model=llm.model,
            llm=llm,
            thinking=cell.thinking,
            seed=self._settings.seed,
        )
        missing, size = cell.missing, cell.task.batch_size
        self._report(cell, len(missing))
        for start in range(0, len(missing), size):
            batch = missing[start : start + size]
            records = cell.task.measure(subject, batch)
            assert [record["index"] for record in records] == batch, "one record for each unit"
            cell.file.append(records)
            self._report(cell, len(missing) - start - len(batch))

    def _report(self, cell: Cell, num_missing: int) -> None:
        self._on_progress(
            Progress(
                label=cell.checkpoint.label,
                task=cell.task.name,
                variant=cell.variant,
                num_done=cell.task.num_units - num_missing,
                num_units=cell.task.num_units,
            )
        )

    @contextmanager
    def _loaded(self, checkpoint: Checkpoint) -> Iterator[LLM]:
        """The checkpoint with its engine; its memory is free again at the end."""
        settings = self._settings
        model = load_model(checkpoint.source, dtype=settings.dtype, device=settings.device)
        llm = open_engine(model, settings)
        try:
            yield llm
        finally:
            llm.close()
            del llm, model
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _units(self, checkpoint: Checkpoint) -> Path:
        return self._directory / "units" / checkpoint.label


def open_engine(model: QuietStarModel, settings: EvaluateSettings) -> LLM:
    """An engine for the answers of the run's questions; one of a single sequence without any."""
    questions = [item for item in settings.questions if set(item.measures) - {"probability"}]
    longest = max((item.max_new_tokens for item in questions), default=0) + _PROMPT_TOKENS
    limit = getattr(model.backbone.config.get_text_config(), "max_position_embeddings", longest)
    most = _CPU_SEQUENCES if model.device.type == "cpu" else _GPU_SEQUENCES
    lengths = [length for length in settings.thought_lengths if length is not None]
    return LLM(
        model=model,
        max_model_len=min(longest, int(limit)),
        max_num_seqs=most if questions else 1,
        max_thought_tokens=max([model.num_thought_tokens, *lengths]),
    )
