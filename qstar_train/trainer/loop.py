"""The training loop: batches, the objective, an update; states, samples and log lines between."""

import importlib.util
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.data.windows import WindowStream
from qstar_train.errors import TrainingError
from qstar_train.fingerprint import fingerprint_of
from qstar_train.trainer.batches import BatchPlan, micro_batches
from qstar_train.trainer.config import TrainSettings
from qstar_train.trainer.export import export_checkpoint
from qstar_train.trainer.memory import keep_freed_memory
from qstar_train.trainer.module import METRICS, ObjectiveModule
from qstar_train.trainer.reporter import Reporter
from qstar_train.trainer.run_directory import RunDirectory
from qstar_train.trainer.samples import sample_thoughts
from qstar_train.trainer.schedule import rate_factor, set_rates, thought_length, true_share
from qstar_train.trainer.state import load_state, save_state
from qstar_train.trainer.together import together
from qstar_train.trainer.weights import model_to_train, parameter_groups, teacher_of


def train(settings: TrainSettings, *, resume: bool = False) -> Path:
    """Run training to its last step and write the checkpoint.

    The same under `accelerate launch`: every process calls this.

    Args:
        resume: go on from the newest state in `settings.output`, if there is one.

    Returns:
        The native checkpoint's directory.

    Raises:
        ConfigError: the settings do not fit the model, the data, or the run that is there.
        CheckpointError: the model cannot be loaded or written.
        TrainingError: a loss or gradient is not finite; no update was made with it.
    """
    keep_freed_memory()
    directory = RunDirectory(Path(settings.output).expanduser())
    newest = directory.check(settings, resume=resume)
    run = _Run(settings, directory)
    try:
        step = run.restore(newest)
        last = directory.states / f"step-{settings.steps:06d}"
        if step < settings.steps:
            run.train_from(step)
        with together(run.accelerator):
            if run.accelerator.is_main_process:
                export_checkpoint(settings, directory, last)
    finally:
        run.close()
    return directory.model


class _Run:
    """One process's part of a run."""

    def __init__(self, settings: TrainSettings, directory: RunDirectory) -> None:
        self._settings = settings
        self._directory = directory
        self.accelerator = _accelerator(settings, directory)
        self._plan = BatchPlan.of(
            settings.batch_size,
            settings.micro_batch_size,
            think_every=1 if settings.is_silent else settings.objective.think_every,
            num_processes=self.accelerator.num_processes,
            process_index=self.accelerator.process_index,
        )
        self.accelerator.gradient_accumulation_steps = self._plan.num_rounds
        model = model_to_train(settings, device=self.accelerator.device)
        self._tokenizer = model.tokenizer
        for is_turn_of_main in (True, False):  # it tokenises, the others find it done
            with together(self.accelerator):
                if self.accelerator.is_main_process == is_turn_of_main:
                    self._stream = _stream(settings, model)
        module = ObjectiveModule(model, settings.objective, teacher_of(settings, model))
        rates = settings.optimizer
        optimizer = torch.optim.AdamW(
            parameter_groups(module, rates),
            lr=rates.learning_rate,
            betas=(rates.beta1, rates.beta2),
            eps=rates.epsilon,
        )
        self._module, self._optimizer = self.accelerator.prepare(module, optimizer)

    def restore(self, state: Path | None) -> int:
        """Load a state, or begin; returns the updates made so far.

        Raises:
            ConfigError: the run was started with other models or text.
        """
        step = 0
        if state is not None:
            step = load_state(state, self._module, self._optimizer.optimizer)
        with together(self.accelerator):
            if self.accelerator.is_main_process:
                self._directory.begin(self._settings, self._inputs(), step)
        return step

    def _inputs(self) -> dict[str, str]:
        """What the settings name but do not hold: a digest of each."""
        settings = self._settings
        named = {
            "model": settings.model,
            "teacher": None if settings.is_silent else settings.teacher,
        }
        models = {name: fingerprint_of(source) for name, source in named.items() if source}
        return models | self._stream.digests()

    def train_from(self, first_step: int) -> None:
        """All the updates from `first_step` on."""
        settings = self._settings
        batches = micro_batches(self._stream, self._plan, first_step=first_step)
        with Reporter(self.accelerator, self._directory, num_steps=settings.steps) as reporter:
            for step in range(first_step, settings.steps):
                began = time.perf_counter()
                metrics, example, output = self._update(batches, step)
                number = step + 1
                if number % settings.log_every == 0 or number == settings.steps:
                    num_tokens = settings.batch_size * settings.data.window
                    metrics["tokens_per_s"] = num_tokens / (time.perf_counter() - began)
                    reporter.step(number, metrics)
                if number % settings.sample_every == 0 and "thought_ids" in output:
                    samples = sample_thoughts(self._tokenizer, example, output, step)
                    reporter.thoughts(number, samples)
                if number % settings.save_every == 0 or number == settings.steps:
                    self._save(number)

    def _update(
        self, batches: Iterator[tuple[Tensor, Tensor]], step: int
    ) -> tuple[dict[str, float], Tensor, dict[str, Tensor]]:
        """One update of the weights.

        Returns:
            Metrics, means over the batch; the first window of this process, and what came of it.
        """
        sums = torch.zeros(len(METRICS), device=self.accelerator.device)
        settings = self._settings
        length = thought_length(step, settings.thought_lengths, seed=settings.seed)
        told = true_share(step, settings.true_thought_share, settings.true_thought_steps)
        for round_ in range(self._plan.num_rounds):
            input_ids, indices = (tensor.to(self.accelerator.device) for tensor in next(batches))
            with self.accelerator.accumulate(self._module):
                output = self._module(input_ids, indices, settings.seed, length, told)
                self.accelerator.backward(output["loss"])
            sums += torch.stack([output[name] for name in METRICS])
            if round_ == 0:
                example, example_output = input_ids[0], output
        means = self.accelerator.reduce(sums / self._plan.num_rounds, reduction="mean")
        metrics = dict(zip(METRICS, means.tolist(), strict=True))
        norm = self.accelerator.clip_grad_norm_(
            self._module.parameters(), settings.optimizer.max_gradient_norm
        )
        metrics["gradient_norm"] = float(norm)
        _require_finite(metrics, step)
        factor = rate_factor(step, settings.optimizer, settings.steps)
        set_rates(self._optimizer.optimizer, factor)
        self._optimizer.step()
        self._optimizer.zero_grad()
        metrics["learning_rate"] = self._settings.optimizer.learning_rate * factor
        return metrics, example, example_output

    def close(self) -> None:
        """End trackers and the process group.

        What DDP holds goes first. As the last to hold gloo's group it would wait for its threads
        without letting go of the interpreter, which they wait for in turn.
        """
        del self._module, self._optimizer
        self.accelerator.free_memory()
        self.accelerator.end_training()

    def _save(self, step: int) -> None:
        with together(self.accelerator):
            save_state(
                self._directory.states,
                step,
                self._module,
                self._optimizer.optimizer,
                is_main=self.accelerator.is_main_process,
            )


def _stream(settings: TrainSettings, model: QuietStarModel) -> WindowStream:
    return WindowStream(
        settings.data.sources,
        model.tokenizer,
        window=settings.data.window,
        seed=settings.seed,
        excluded_ids=model.delimiter_ids,
    )


def _accelerator(settings: TrainSettings, directory: RunDirectory) -> Accelerator:
    # Frozen weights are in bfloat16 already; float32 ones need autocast.
    uses_autocast = settings.lora is None and settings.dtype == "bfloat16"
    tracker = None if settings.tracker == "none" else settings.tracker
    if tracker is not None and importlib.util.find_spec(tracker) is None:
        raise ConfigError(
            f"tracker = {tracker}, but its package is not installed: pip install {tracker}, or set "
            "tracker=none; metrics.jsonl is written in any case."
        )
    accelerator = Accelerator(
        mixed_precision="bf16" if uses_autocast else "no",
        log_with=tracker,
        project_dir=str(directory.path),
    )
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != accelerator.num_processes:
        raise ConfigError(
            f"{started} processes were started, but each would train by itself. Without GPUs, set "
            "ACCELERATE_USE_CPU=true."
        )
    with together(accelerator):
        _start_tracker(accelerator, tracker)
    return accelerator


def _start_tracker(accelerator: Accelerator, tracker: str | None) -> None:
    """
    Raises:
        ConfigError: it cannot start; on the main process, where alone it runs.
    """
    try:
        accelerator.init_trackers("qstar")
    except Exception as error:  # a tracker may raise anything
        how = (
            "Log in (wandb login), set WANDB_MODE=offline," if tracker == "wandb" else "Mend that,"
        )
        raise ConfigError(
            f"tracker = {tracker} cannot start: {type(error).__name__}: {error}. {how} or set "
            "tracker=none; metrics.jsonl is written in any case."
        ) from error


def _require_finite(metrics: dict[str, float], step: int) -> None:
    """
    Raises:
        TrainingError: naming what is not finite.
    """
    odd = [name for name, value in metrics.items() if not math.isfinite(value)]
    if odd:
        raise TrainingError(
            f"Step {step + 1}: {odd[0]} is {metrics[odd[0]]}. Nothing was updated with it. Go on "
            "from the last state with a smaller learning rate (--resume --set "
            "optimizer.learning_rate=...), or start anew with dtype=float32."
        )
