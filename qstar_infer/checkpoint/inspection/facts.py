"""What an inspection of a checkpoint says: plain data, for a person or as JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDtype:
    """What files store in one dtype or quantisation type."""

    num_tensors: int
    num_values: int
    num_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeights:
    """What the headers of the files with weights say. Of an adapter, without its base."""

    num_files: int
    by_dtype: dict[str, StoredDtype]
    """The largest share first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """The backbone."""

    model_type: str
    architecture: str
    """The class of transformers."""
    num_layers: int
    hidden_size: int
    num_parameters: int
    """Each tied parameter counts once."""
    embedding_rows: int
    tied_embeddings: bool
    context_length: int | None
    """Positions that the model was made for; None: the config contradicts itself."""
    context_origin: str
    """The config's fields that give it."""
    rope: dict[str, Any] | None
    """Rope parameters of transformers' config; None: learned positions, or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DelimiterFacts:
    """A delimiter of the thoughts."""

    token: str | None
    """Its name in the tokenizer; None: the vocabulary does not have it."""
    token_id: int | None
    vector: str
    """Where the vector that is fed comes from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingFacts:
    """How the checkpoint thinks."""

    num_thought_tokens: int | None
    """None: the files do not say."""
    num_talk_tokens: int
    thought_temperature: float | None
    thinking: dict[str, Any]
    """At which tokens, as in `quiet_star.json`."""
    has_gate: bool
    is_trained: bool
    """False if the talk head is fresh, so that thoughts change nothing."""
    head_layers: list[list[int]]
    """`[out, in]` of each linear layer."""
    head_biases: list[bool]
    head_sigmoid: bool
    stored_weight_is_share_of_base: bool
    """Whether the files' head gives the share of the base; it is inverted when loaded."""
    start: DelimiterFacts
    end: DelimiterFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFacts:
    """The tokenizer."""

    kind: str
    num_tokens: int
    highest_id: int
    num_beyond_embedding: int | None
    """Ids without an embedding row; None: the embedding is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFacts:
    """A PEFT adapter."""

    base: str | None
    """The base model as it was found; None: not found."""
    settings: dict[str, Any]
    """Those that are not at their defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufFacts:
    """A GGUF file."""

    name: str
    architecture: str
    tensor_types: dict[str, int]
    """How weights are stored -> number of tensors."""
    tokenizer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyFacts:
    """What could run code; nothing of it is ever opened."""

    pickles: list[str] = field(default_factory=list)
    """Names of files."""
    code_keys: list[str] = field(default_factory=list)
    """`file: key`."""


@dataclass(slots=True, kw_only=True)
class Inspection:
    """What a checkpoint is, and whether it would load. None: unknown, or it has no such part."""

    source: str
    kind: str
    location: str | None = None
    revision: str | None = None
    layout: str | None = None
    """The code base, for a checkpoint of another one."""
    model: ModelFacts | None = None
    thinking: ThinkingFacts | None = None
    tokenizer: TokenizerFacts | None = None
    weights: StoredWeights | None = None
    adapter: AdapterFacts | None = None
    gguf: GgufFacts | None = None
    sampling_defaults: dict[str, float | int] = field(default_factory=dict)
    safety: SafetyFacts = field(default_factory=SafetyFacts)
    notes: list[str] = field(default_factory=list)
    """What was inferred, and from what."""
    problems: list[str] = field(default_factory=list)
    """Why it would be refused; empty if it would load."""

    @property
    def would_load(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """All fields, and `would_load`."""
        return {**asdict(self), "would_load": self.would_load}
