"""The training loop: micro-batches, loss, update; saved states, samples and log lines.

Knows nothing of a method but `TrainingMethod`.
"""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from qstar_train.config import TrainConfig
from qstar_train.trainer.method import TrainingMethod
from qstar_train.trainer.processes import TrainingError, barrier
from qstar_train.trainer.reporter import Reporter
from qstar_train.trainer.run_directory import RunDirectory
from qstar_train.trainer.schedule import (
    clipped_parameters,
    parameter_groups,
    rate_factor,
    set_rates,
)
from qstar_train.trainer.state import load_method_state, load_state, save_state


class TrainingLoop:
    """One process's part of a run.

    Args:
        config: of the run.
        directory: where it keeps its files.
        accelerator: the processes and devices.
        method: what is trained and how.
    """

    def __init__(
        self,
        config: TrainConfig,
        directory: RunDirectory,
        *,
        accelerator: Accelerator,
        method: TrainingMethod,
    ) -> None:
        self._config = config
        self._directory = directory
        self.accelerator = accelerator
        self._method = method
        accelerator.gradient_accumulation_steps = method.num_rounds
        rates = config.optimizer
        gate = config.objective.gate
        gate_rate = None if gate is None else gate.learning_rate
        optimizer = torch.optim.AdamW(
            parameter_groups(method.module, rates, gate_learning_rate=gate_rate),
            lr=rates.learning_rate,
            betas=(rates.beta1, rates.beta2),
            eps=rates.epsilon,
        )
        self._module, self._optimizer = accelerator.prepare(method.module, optimizer)

    def inputs(self) -> dict[str, str]:
        """Digests of what the config names but does not hold."""
        return self._method.inputs()

    def restore(self, state: Path | None) -> int:
        """Load a saved state if there is one; return the number of updates made so far.

        Raises:
            CheckpointError: the state is damaged or does not fit the model.
        """
        if state is None:
            return 0
        self._method.load_state(load_method_state(state))
        return load_state(state, self._module, self._optimizer.optimizer)

    def run(self, first_step: int) -> None:
        """Make all updates from `first_step` on.

        Raises:
            CheckpointError: a state cannot be written.
            TrainingError: a loss or gradient is not finite; no update was made with it.
        """
        config = self._config
        batches = self._method.batches(first_step)
        reporter = Reporter(self.accelerator, self._directory, num_steps=config.steps)
        with reporter.progress:
            for step in range(first_step, config.steps):
                began = time.perf_counter()
                metrics, batch, output = self._update(batches, step)
                seconds = time.perf_counter() - began
                if step == first_step:
                    reporter.first_step(seconds, config)
                number = step + 1
                if number % config.log_every == 0 or number == config.steps:
                    rate = metrics.pop("num_tokens") / seconds
                    metrics["tokens_per_s"] = rate
                    line = f"{self._method.describe(metrics)} {rate:.0f} tok/s"
                    reporter.step(number, metrics, line)
                if number % config.sample_every == 0:
                    reporter.thoughts(number, self._method.samples(batch, output, step))
                if number % config.save_every == 0 or number == config.steps:
                    self._save(number)

    def _update(
        self, batches: Iterator[dict[str, Any]], step: int
    ) -> tuple[dict[str, float], dict[str, Any], dict[str, Tensor]]:
        """Update the weights once.

        Returns:
            The metrics, means over the batch, with `num_tokens`, a sum over it; this process's
            first micro-batch and its output.
        """
        config, names = self._config, (*self._method.metric_names, "num_tokens")
        sums = torch.zeros(len(names), device=self.accelerator.device)
        for round_ in range(self._method.num_rounds):
            batch = next(batches)
            with self.accelerator.accumulate(self._module):
                output = self._module(**batch)
                self.accelerator.backward(output["loss"])
            sums += torch.stack([output[name] for name in names])
            if round_ == 0:
                first_batch, first_output = batch, output
        means = self.accelerator.reduce(sums / self._method.num_rounds, reduction="mean")
        metrics = dict(zip(names, means.tolist(), strict=True))
        metrics["num_tokens"] *= self._method.num_rounds * self.accelerator.num_processes
        norm = self.accelerator.clip_grad_norm_(
            clipped_parameters(self._module), config.optimizer.max_gradient_norm
        )
        metrics["gradient_norm"] = float(norm)
        _check_finite(metrics, step, dtype=config.dtype)
        factor = rate_factor(step, config.optimizer, config.steps)
        set_rates(self._optimizer.optimizer, factor)
        self._optimizer.step()
        self._optimizer.zero_grad()
        metrics["learning_rate"] = config.optimizer.learning_rate * factor
        return metrics, first_batch, first_output

    def close(self) -> None:
        """End trackers and the process group.

        Releases the modules first: if DDP is the last to hold gloo's group, it waits for gloo's
        threads while it holds the interpreter, and they wait for the interpreter.
        """
        del self._method, self._module, self._optimizer
        self.accelerator.free_memory()
        self.accelerator.end_training()

    def _save(self, step: int) -> None:
        with barrier(self.accelerator):
            save_state(
                self._directory.states,
                step,
                self._module,
                self._optimizer.optimizer,
                method_state=self._method.state(),
                keep_every=self._config.keep_every,
                is_main=self.accelerator.is_main_process,
            )


def _check_finite(metrics: dict[str, float], step: int, *, dtype: str) -> None:
    """Raise a TrainingError before an update with numbers that are not finite."""
    odd = [name for name, value in metrics.items() if not math.isfinite(value)]
    if odd:
        raise TrainingError(
            f"Step {step + 1}: {odd[0]} is {metrics[odd[0]]}, computed in {dtype}. The weights "
            "were not updated. Continue from the last state with a smaller learning rate (--resume "
            "--set optimizer.learning_rate=...), or start a new run with dtype=float32."
        )
