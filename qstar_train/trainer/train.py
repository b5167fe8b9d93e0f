"""Start or resume a run, train it with Quiet-STaR, and write its checkpoint."""

import importlib.util
import os
from pathlib import Path

from accelerate import Accelerator, PartialState
from accelerate.utils import parse_flag_from_env

from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.token_rows import tokens_without_row
from qstar_train.config import TrainConfig
from qstar_train.data.windows import WindowStream
from qstar_train.trainer.batches import BatchPlan
from qstar_train.trainer.export import export_checkpoint
from qstar_train.trainer.loop import TrainingLoop
from qstar_train.trainer.method import TrainingMethod
from qstar_train.trainer.model_setup import load_to_train, teacher_of
from qstar_train.trainer.processes import barrier, keep_freed_memory
from qstar_train.trainer.quiet_star import QuietStar
from qstar_train.trainer.run_directory import RunDirectory


def train(config: TrainConfig, *, resume: bool = False) -> Path:
    """Train to the last step and write the checkpoint.

    Under `accelerate launch` every process calls this.

    Args:
        resume: continue from the newest state in `config.output`, if there is one.

    Returns:
        The directory of the native checkpoint.

    Raises:
        ConfigError: the config does not fit the model, the data, or the run in `config.output`.
        CheckpointError: the model cannot be loaded or written.
        TrainingError: a loss or gradient is not finite; no update was made with it.
    """
    keep_freed_memory()
    directory = RunDirectory(Path(config.output).expanduser())
    newest = directory.check(config, resume=resume)
    # Before the Accelerator, whose precision depends on the model.
    processes = PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))
    _check_launch(config, processes)
    plan = BatchPlan.of(
        config.batch_size,
        config.micro_batch_size,
        think_every=1 if config.trains_without_thoughts else config.objective.think_every,
        num_processes=processes.num_processes,
        process_index=processes.process_index,
    )
    model, resolved = load_to_train(directory.with_dtype(config), device=processes.device)
    accelerator = _accelerator(resolved, directory)
    method = _quiet_star(resolved, model, plan=plan, accelerator=accelerator)
    loop = TrainingLoop(config, directory, accelerator=accelerator, method=method)
    del model, method  # the loop releases them before the process group ends
    try:
        step = loop.restore(newest)
        with barrier(accelerator):
            if accelerator.is_main_process:
                dtype = {"dtype": resolved.dtype} if config.dtype == "auto" else {}
                directory.begin(config, loop.inputs() | dtype, step)
        if step < config.steps:
            loop.run(step)
        with barrier(accelerator):
            if accelerator.is_main_process:
                last = directory.states / f"step-{config.steps:06d}"
                export_checkpoint(resolved, directory, last)
    finally:
        loop.close()
    return directory.model


def _quiet_star(
    config: TrainConfig, model: QuietStarModel, *, plan: BatchPlan, accelerator: Accelerator
) -> TrainingMethod:
    for is_turn_of_main in (True, False):  # it tokenises; the others then read its cache
        with barrier(accelerator):
            if accelerator.is_main_process == is_turn_of_main:
                stream = WindowStream(
                    config.data.sources,
                    model.tokenizer,
                    window=config.data.window,
                    packing=config.data.packing,
                    seed=config.seed,
                    excluded_ids=(
                        *model.delimiter_ids,
                        *tokens_without_row(model.tokenizer, model.vocab_size),
                    ),
                )
    teacher = teacher_of(config, model)
    return QuietStar(config, model, teacher=teacher, stream=stream, plan=plan)


def _check_launch(config: TrainConfig, processes: PartialState) -> None:
    """Check that the tracker is installed and that the processes know of each other."""
    tracker = config.tracker
    if tracker != "none" and importlib.util.find_spec(tracker) is None:
        raise ConfigError(
            f"tracker = {tracker}, but its package is not installed: pip install {tracker}, or set "
            "tracker=none; metrics.jsonl is written in any case."
        )
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != processes.num_processes:
        raise ConfigError(
            f"{started} processes were started, but each would train alone. Without GPUs, set "
            "ACCELERATE_USE_CPU=true."
        )


def _accelerator(config: TrainConfig, directory: RunDirectory) -> Accelerator:
    # Frozen weights already are in bfloat16; full fine-tuning of float32 weights needs autocast.
    uses_autocast = config.lora is None and config.dtype == "bfloat16"
    accelerator = Accelerator(
        mixed_precision="bf16" if uses_autocast else "no",
        log_with=None if config.tracker == "none" else config.tracker,
        project_dir=str(directory.path),
    )
    with barrier(accelerator):
        _start_tracker(accelerator, config.tracker)
    return accelerator


def _start_tracker(accelerator: Accelerator, tracker: str) -> None:
    """Start the tracker on the main process; raise a ConfigError if it cannot start."""
    try:
        accelerator.init_trackers("qstar")
    except Exception as error:  # a tracker may raise anything
        fix = (
            "Log in (wandb login), set WANDB_MODE=offline,"
            if tracker == "wandb"
            else "Correct that,"
        )
        raise ConfigError(
            f"tracker = {tracker} cannot start: {type(error).__name__}: {error}. {fix} or set "
            "tracker=none; metrics.jsonl is written in any case."
        ) from error
