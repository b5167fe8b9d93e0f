"""The configuration and the report of `qstar bench decode`. Plain data, no torch."""

from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any

from qstar_infer.engine_args import EngineArgs


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeConfig:
    """What to measure."""

    engine_args: EngineArgs = EngineArgs()
    mixing_weight: float | None = None
    """Replaces the talk head by this constant; None keeps the model's own."""
    max_tokens: int = 48
    """New tokens per call."""
    repeats: int = 3
    threads: int | None = None
    """CPU threads; None: torch's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeReport:
    """What was measured. Rates are medians over the repeats, in new tokens per second."""

    transformers_tok_s: float
    plain_tok_s: float
    """Ours with `num_thought_tokens=0`."""
    sequential_tok_s: float
    """Ours thinking with `speculation="off"`."""
    wavefront_tok_s: float
    """Ours thinking with the speculation of the engine's settings, by default "auto"."""
    agreement: float | None
    """Accepted over verified drafts in the wavefront runs; None: nothing was drafted."""
    passes_per_token: float
    """Forward passes over new tokens in the wavefront runs, prompt passes included."""
    tok_s_of_repeats: dict[str, list[float]]
    wavefront_equals_sequential: float
    """Share of prompts with the same tokens; 1 in float32."""
    plain_equals_transformers: float
    num_thought_tokens: int
    num_prompts: int
    num_prompt_tokens: int
    """Of all prompts."""
    model: str
    dtype: str
    hardware: str
    mixing_weight: float | None
    max_tokens: int
    repeats: int
    versions: dict[str, str]

    def ratios(self) -> dict[str, float]:
        """Ratios of the rates."""
        return {
            "plain_over_transformers": self.plain_tok_s / self.transformers_tok_s,
            "wavefront_over_sequential": self.wavefront_tok_s / self.sequential_tok_s,
            "wavefront_over_plain": self.wavefront_tok_s / self.plain_tok_s,
        }

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ratios": self.ratios()}


def load_prompts() -> list[str]:
    """The packaged prompts."""
    text = resources.files("qstar_infer.bench").joinpath("prompts.txt").read_text("utf-8")
    return text.splitlines()
