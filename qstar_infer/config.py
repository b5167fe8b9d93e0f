"""How the engine is sized. Plain data; None means: derive it from the model and the machine."""

from dataclasses import dataclass
from typing import Literal

from qstar_infer.errors import ConfigError

Speculation = Literal["auto", "off"] | int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Limits of one engine.

    Raises:
        ConfigError: a field is out of range.
    """

    speculation: Speculation = "auto"
    """How far the frontier may run ahead of the verified text, in tokens. "auto": as far as
    `speculation_rows` allows. "off" is depth 0. Never changes a result."""
    block_size: int = 16
    """Slots per key/value block."""
    num_blocks: int | None = None
    """Blocks in the pool. None: sized from free memory."""
    max_model_len: int | None = None
    """Most visible tokens of a sequence, prompt included. None: the model's own limit."""
    max_num_seqs: int = 64
    """Sequences in flight at once."""
    max_queue: int = 256
    """Sequences that may wait beyond those; one more is refused."""
    max_rows: int = 512
    """Rows a step may use for prefill, beside those of the thoughts in flight."""
    speculation_rows: int | None = None
    """Rows up to which a step costs little more than with one; "auto" drafts within it. None: 64 on
    a CPU, 256 on an accelerator."""
    scoring_positions: int = 32
    """Prompt positions scored at once for `prompt_logprobs`, all requests together; bounds the
    logits held."""
    max_thought_tokens: int = 64
    """Longest thought a request may ask for."""

    def __post_init__(self) -> None:
        if self.speculation not in ("auto", "off"):
            _at_least("speculation", self.speculation, 0, also='"auto", "off" or ')
        for name in ("block_size", "max_num_seqs", "max_rows", "scoring_positions"):
            _at_least(name, getattr(self, name), 1)
        _at_least("max_queue", self.max_queue, 0)
        _at_least("max_thought_tokens", self.max_thought_tokens, 0)
        for name in ("num_blocks", "max_model_len", "speculation_rows"):
            if getattr(self, name) is not None:
                _at_least(name, getattr(self, name), 1)

    @property
    def max_depth(self) -> int | None:
        """Most unverified tokens fed, or None where the scheduler decides."""
        if self.speculation == "auto":
            return None
        return 0 if self.speculation == "off" else self.speculation


def parse_speculation(text: str) -> Speculation:
    """A command line's word for `EngineConfig.speculation`.

    Raises:
        ConfigError: it is neither "auto" nor "off" nor a number.
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
