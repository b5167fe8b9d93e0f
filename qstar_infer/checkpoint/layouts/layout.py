"""What a layout says about a checkpoint: plain data, read from JSON and tensor headers alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qstar_infer.checkpoint.tokenizer import END_TOKEN, START_TOKEN
from qstar_infer.model.config import TalkHeadConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnNames:
    """The names in a checkpoint's files that are its layout's and not the backbone's."""

    keys: frozenset[str] = frozenset()
    """Of `config.json`."""
    tensors: frozenset[str] = frozenset()
    """Of the weights, as in the files."""
    prefix: str = ""
    """Comes before the name of each of the backbone's tensors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtVector:
    """Where the vector of a delimiter is stored."""

    tensor: str | None = None
    """Its tensor; None: it is the row of the delimiter's token in the input embedding."""
    row: int | None = None
    """The row of a `[rows, hidden]` tensor; None: the tensor is the vector."""
    scale: float = 1.0
    """Factor between what is stored and what is fed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHead:
    """Where the talk head is stored, and what it computes."""

    config: TalkHeadConfig
    """Its shape when loaded."""
    layers: tuple[tuple[str, ...], ...]
    """For each linear layer of `config` the module that holds it. Several modules: linear layers
    without an activation between them, which are joined."""
    weighs_base: bool = False
    """Whether its output is the share of the base instead of the thought's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtLayout:
    """How a checkpoint of another code base thinks."""

    name: str
    """The code base, for people."""
    own: OwnNames
    num_thought_tokens: int | None
    """Sampled tokens per thought. None: the files do not say. 0: it is a plain language model."""
    num_talk_tokens: int
    """True tokens predicted after each thought in training."""
    thought_temperature: float | None = None
    """Temperature of the thoughts in the code's own inference; None: 1."""
    shapes: Mapping[str, tuple[int, ...]]
    """Tensor of `own` -> its shape; those that make up the thought parts."""
    head: StoredHead
    start: ThoughtVector
    end: ThoughtVector
    delimiters: tuple[str, str] = (START_TOKEN, END_TOKEN)
    """The tokens of the delimiters, in the order in which the code adds them to a tokenizer."""
    delimiter_ids: tuple[int | None, int | None] = (None, None)
    """Their ids, where `config.json` says them."""
    has_literal_vectors: bool = False
    """Whether the code's evaluation script feeds other vectors than the trained ones."""
    without_effect: Mapping[str, str] = field(default_factory=dict)
    """Tensor of `own` -> why the model computes the same without it. A clause."""
    notes: tuple[str, ...] = ()
    """What was inferred and from what, in sentences for a person."""

    @property
    def origin(self) -> str:
        """What `quiet_star.json` says of a checkpoint that was converted."""
        return f"published checkpoint of {self.name}"

    @property
    def talk_head(self) -> TalkHeadConfig:
        return self.head.config


def head_shapes(head: StoredHead) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors of a head that has one module for each layer."""
    shapes: dict[str, tuple[int, ...]] = {}
    for (module,), shape, has_bias in zip(
        head.layers, head.config.layers, head.config.biases, strict=True
    ):
        shapes[f"{module}.weight"] = shape
        if has_bias:
            shapes[f"{module}.bias"] = shape[:1]
    return shapes
