"""Our engine: opens it, decodes with it, and says what it is."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from qstar_infer.bench.hardware import load_average, this_machine, versions
from qstar_infer.bench.measure import Prompts, Sample
from qstar_infer.bench.report import Header
from qstar_infer.checkpoint import load_from_args
from qstar_infer.engine_args import SETTINGS_OF_LOADING, EngineArgs
from qstar_infer.errors import ConfigError
from qstar_infer.llm import LLM
from qstar_infer.model.thought_parts import ConstantTalkHead, ThoughtParts
from qstar_infer.sampling_params import SamplingParams

WITHOUT_PREFIX_CACHE: dict[str, Any] = {"prefix_caching": False}
"""Or the second of two ways would not compute the prompt that the first has computed."""
COUNTERS = ("steps", "tokens", "accepted", "rejected")


@dataclass(slots=True, kw_only=True)
class Engines:
    """Open engines with the same settings but for what each changes."""

    args: EngineArgs
    by_name: dict[str, LLM] = field(default_factory=dict)
    kernel: str | None = None
    """How linear layers are multiplied, as the engine says when it starts; None: it does not."""

    def header(self, name: str, *, load_before: float | None) -> Header:
        """The header of a report about one of them.

        Args:
            load_before: the load average at the start of the run.
        """
        llm = self.by_name[name]
        machine = this_machine(llm.served_model.device)
        dtype = str(llm.served_model.dtype).removeprefix("torch.")
        return Header(
            machine={key: getattr(machine, key) for key in machine.__slots__},
            machine_line=machine.describe(),
            model=llm.model_info.name,
            runner=runner_of(self.args),
            dtype=dtype,
            quantization=self.args.quantization,
            kernel=self.kernel or f"of the runner, {dtype}",
            num_thought_tokens=llm.model_info.num_thought_tokens,
            versions=versions(),
            load_average=[load_before, load_average()],
        )


@contextmanager
def open_engines(
    args: EngineArgs,
    variants: Mapping[str, Mapping[str, Any]],
    *,
    mixing_weight: float | None = None,
) -> Iterator[Engines]:
    """Engines by name, closed at the end. With the torch runner they share one copy of the weights.

    Args:
        variants: what each changes of the settings. The one sized as `qstar serve` sizes it comes
            last, because it may take most of the memory that is left.
        mixing_weight: replaces the talk head by this constant.

    Raises:
        CheckpointError: the model cannot be loaded.
        ConfigError: a setting does not apply, or the model cannot think.
    """
    model = load_from_args(args) if runner_of(args) == "torch" else None
    settings = args.settings()
    if model is not None:
        settings = {k: v for k, v in settings.items() if k not in SETTINGS_OF_LOADING}
        settings["model"] = model
    engines = Engines(args=args)
    with ExitStack() as stack:
        with _kernel_lines() as lines:
            for name, changes in variants.items():
                llm = LLM(**settings | dict(changes))
                engines.by_name[name] = stack.enter_context(closing(llm))
        engines.kernel = lines[-1] if lines else None
        if mixing_weight is not None:
            for llm in engines.by_name.values():
                force_mixing_weight(llm.served_model.thought_parts, mixing_weight)
        yield engines


@contextmanager
def _kernel_lines() -> Iterator[list[str]]:
    """What the engine logs about its kernels in the meantime."""
    logger = logging.getLogger("qstar_infer.kernels")
    lines: list[str] = []
    handler = logging.Handler(logging.INFO)
    vars(handler)["emit"] = lambda record: lines.append(record.getMessage().partition(";")[0])
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def runner_of(args: EngineArgs) -> str:
    """Name of what computes the model."""
    return args.runner


def check_thinks(llm: LLM) -> None:
    """Check that there are thoughts to measure.

    Raises:
        ConfigError: the model cannot think.
    """
    if not llm.model_info.num_thought_tokens:
        raise ConfigError(
            f"{llm.model_info.name} cannot think; add thought parts with `qstar init`"
        )


@dataclass(slots=True, kw_only=True)
class EngineDecoder:
    """Decodes with `LLM.generate`."""

    llm: LLM
    num_tokens: int
    num_thought_tokens: int | None = None
    temperature: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    """The engine's `COUNTERS`, summed over all calls."""

    def __call__(self, prompts: Prompts) -> list[list[int]]:
        before = self.llm.stats()
        outputs = self.llm.generate(list(prompts), self._params())
        after = self.llm.stats()
        for name in COUNTERS:
            self.counts[name] += getattr(after, name) - getattr(before, name)
        return [output.outputs[0].token_ids for output in outputs]

    def time_after_first(self, prompts: Prompts) -> Sample:
        """A `Way` that times decoding alone: the tokens after the first delta, for one prompt."""
        (prompt,) = prompts
        ids: list[int] = []
        num_first, started = 0, 0.0
        for delta in self.llm.stream(prompt, self._params()):
            ids += delta.outputs[0].token_ids if delta.outputs else []
            if ids and not num_first:
                num_first, started = len(ids), time.perf_counter()
        seconds = time.perf_counter() - started
        return Sample(num_tokens=len(ids) - num_first, seconds=seconds, outputs=[ids])

    @property
    def agreement(self) -> float | None:
        """Accepted over verified drafts; None: nothing was drafted."""
        judged = self.counts["accepted"] + self.counts["rejected"]
        return self.counts["accepted"] / judged if judged else None

    @property
    def passes_per_token(self) -> float:
        return self.counts["steps"] / self.counts["tokens"]

    def _params(self) -> SamplingParams:
        return SamplingParams(
            temperature=self.temperature,
            seed=0,
            max_tokens=self.num_tokens,
            ignore_eos=True,
            num_thought_tokens=self.num_thought_tokens,
        )


def tokenizer_of(llm: LLM) -> Callable[[str], list[int]]:
    """Text to token ids, as a request's prompt."""
    return lambda text: list(llm.tokenizer(text)["input_ids"])


def cache_bytes_per_token(llm: LLM) -> int:
    """Bytes of one token's keys and values in all layers."""
    shapes = llm.served_model.layer_shapes
    numbers = sum(shape.num_kv_heads * (shape.key_dim + shape.value_dim) for shape in shapes)
    return numbers * torch.finfo(llm.served_model.dtype).bits // 8


def set_threads(threads: int | None) -> None:
    """Use this many CPU threads; None: torch's default."""
    if threads is not None:
        torch.set_num_threads(threads)


def force_mixing_weight(parts: ThoughtParts | None, weight: float) -> None:
    """Replace the talk head by a constant, in place.

    Raises:
        ConfigError: there is no talk head, or the weight is not finite.
    """
    if not math.isfinite(weight):
        raise ConfigError(f"--mixing-weight is {weight}; it must be a finite number")
    if parts is None:
        raise ConfigError(
            "--mixing-weight needs a model with thought parts; `qstar init` adds them"
        )
    parts.talk_head = ConstantTalkHead(parts.start_thought.numel(), weight)
