"""Limits of the engine. None means that the value is derived from the model and the machine."""

from dataclasses import dataclass, field
from typing import Any, Literal

from qstar_infer.errors import ConfigError

Speculation = Literal["auto", "off"] | int

_MOST = 2**20
"""Of what each takes memory beside the model's, whether it is used or not."""


def setting(default: Any, text: str) -> Any:
    """A dataclass field with a default and the help text that the command line shows."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Limits of an engine. Each field's help text is in its metadata.

    Raises:
        ConfigError: a field is out of range.
    """

    speculation: Speculation = setting(
        "auto",
        "Most tokens that drafts run ahead: auto, off or a number. Never changes the result.",
    )
    block_size: int = setting(16, "Token slots per key/value block.")
    num_blocks: int | None = setting(
        None, "Number of key/value blocks; by default derived from free memory."
    )
    max_model_len: int | None = setting(
        None, "Most visible tokens of a sequence, prompt included; by default the model's limit."
    )
    max_num_seqs: int = setting(64, "Most sequences that run at the same time.")
    max_queue: int = setting(256, "Most sequences that wait; further requests are rejected.")
    max_queued_tokens: int = setting(
        2**20,
        "Most prompt tokens that wait; further requests are rejected, and so is one with more.",
    )
    max_rows: int = setting(
        512,
        "Tokens fed per step; prefill gets what decoding leaves. Rows of thoughts do not count.",
    )
    max_prefill_rows: int | None = setting(
        None,
        "Most prompt tokens fed in a step while others decode, so that a long prompt does not "
        "stall them. By default 64 on a CPU, max_rows on an accelerator.",
    )
    prefix_caching: bool = setting(
        True, "Keep the keys and values of texts, and compute only what follows a known beginning."
    )
    max_drafts: int = setting(
        256, "Most drafts with a thought at the same time; each keeps a row of logits in memory."
    )
    scoring_positions: int = setting(
        256,
        "Most thoughts at the same time about prompt positions, for prompt_logprobs; each keeps a "
        "row of logits in memory.",
    )
    max_thought_tokens: int = setting(64, "Longest thought a request may ask for.")

    def __post_init__(self) -> None:
        if self.speculation not in ("auto", "off"):
            _at_least("speculation", self.speculation, 0, also='"auto", "off" or ')
        for name in ("block_size", "max_rows", "max_queued_tokens"):
            _at_least(name, getattr(self, name), 1)
        for name in ("max_num_seqs", "max_drafts", "scoring_positions"):
            _at_least(name, getattr(self, name), 1)
            if getattr(self, name) > _MOST:
                raise ConfigError(f"{name} must be at most {_MOST}, got {getattr(self, name)}")
        _at_least("max_queue", self.max_queue, 0)
        _at_least("max_thought_tokens", self.max_thought_tokens, 0)
        if not isinstance(self.prefix_caching, bool):
            raise ConfigError(f"prefix_caching must be true or false, got {self.prefix_caching!r}")
        for name in ("num_blocks", "max_model_len", "max_prefill_rows"):
            if getattr(self, name) is not None:
                _at_least(name, getattr(self, name), 1)

    @property
    def fixed_depth(self) -> int | None:
        """Most unverified tokens to feed; None: the engine decides."""
        if self.speculation == "auto":
            return None
        return 0 if self.speculation == "off" else self.speculation

    @property
    def num_lanes(self) -> int:
        """Most lanes in flight: the oldest of each sequence, scored positions and fed drafts."""
        return self.max_num_seqs + self.scoring_positions + self.max_drafts


def parse_speculation(text: str) -> Speculation:
    """Convert text to a value of `EngineConfig.speculation`.

    Raises:
        ConfigError: the text is neither "auto" nor "off" nor a number.
    """
    words: dict[str, Speculation] = {"auto": "auto", "off": "off"}
    if text in words:
        return words[text]
    if text.isascii() and text.isdecimal():
        return int(text)
    raise ConfigError(f'speculation must be "auto", "off" or a number of tokens, got {text!r}')


def _at_least(name: str, value: object, low: int, *, also: str = "") -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ConfigError(f"{name} must be {also}an integer of at least {low}, got {value!r}")
