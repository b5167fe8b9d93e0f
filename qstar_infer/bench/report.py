"""What `qstar bench decode` is asked, and what it answers. Plain data, no torch."""

from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeSettings:
    """What to measure."""

    model: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    mixing_weight: float | None = None
    """Replaces the talk head by this constant; None keeps the model's own."""
    max_tokens: int = 48
    """New tokens of each call."""
    repeats: int = 3
    threads: int | None = None
    """CPU threads; None: as many as torch takes by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeReport:
    """What was measured. Rates are medians over the repeats, in new tokens a second."""

    transformers_tok_s: float
    plain_tok_s: float
    """Ours with `num_thought_tokens=0`."""
    sequential_tok_s: float
    """Ours thinking with `speculation="off"`."""
    wavefront_tok_s: float
    """Ours thinking with `speculation="auto"`."""
    agreement: float | None
    """Accepted drafts over all that were judged, in the wavefront runs; None: none were."""
    passes_per_token: float
    """Forward passes over new tokens in the wavefront runs, prompt passes included."""
    tok_s_of_repeats: dict[str, list[float]]
    wavefront_equals_sequential: float
    """Share of prompts with the same tokens; 1 in float32, where rounding cannot part them."""
    plain_equals_transformers: float
    num_thought_tokens: int
    num_prompts: int
    num_prompt_tokens: int
    """Of all prompts together."""
    model: str
    dtype: str
    hardware: str
    mixing_weight: float | None
    max_tokens: int
    repeats: int
    versions: dict[str, str]

    def ratios(self) -> dict[str, float]:
        """The comparisons a reader looks for."""
        return {
            "plain_over_transformers": self.plain_tok_s / self.transformers_tok_s,
            "wavefront_over_sequential": self.wavefront_tok_s / self.sequential_tok_s,
            "wavefront_over_plain": self.wavefront_tok_s / self.plain_tok_s,
        }

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ratios": self.ratios()}


def load_prompts() -> list[str]:
    """The prompts that come with the package, one a line."""
    text = resources.files("qstar_infer.bench").joinpath("prompts.txt").read_text("utf-8")
    return text.splitlines()
