"""The configuration of a training run, its defaults the paper's. A run is a function of it."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from qstar_infer.sampling_params import MIN_TEMPERATURE
from qstar_infer.thinking_rule import MAX_TOKENS, read_rule
from qstar_train.config_file import Config

Packing = Literal["stream", "document", "documents"]
"""How documents become windows."""


class SourceConfig(Config):
    """One source of text: a dataset of the hub, or local files."""

    path: str = Field(min_length=1)
    """A dataset id of the hub; or a file, a glob or a directory of .jsonl, .json, .txt (one
    document per file) or .parquet. JSON and text may be gzipped (.jsonl.gz)."""
    config: str | None = None
    """The dataset's configuration, such as `en`; for the hub only."""
    split: str = Field(default="train", min_length=1)
    """The split or a slice of it, `train[:1%]` (not with `streaming`). Local files are `train`."""
    text_field: str = Field(default="text", min_length=1)
    """The field that holds a document's text."""
    streaming: bool = False
    """Read the source while training, without a tokenised copy on disk; for very large sources.
    Windows come in the source's own order, and a resumed run reads it again from the start."""
    weight: float = Field(default=1.0, gt=0)
    """This source's share of the windows, relative to the weights of the other sources."""
    revision: str | None = None
    """A commit, tag or branch of the dataset; for the hub only."""
    max_documents: int | None = Field(default=None, ge=1)
    """Read only this many documents, from the first on. None: all."""


class DataConfig(Config):
    """What is read, and how it is cut into windows."""

    sources: list[SourceConfig] = Field(min_length=1)
    window: int = Field(256, ge=8, le=65536)
    """Tokens in each training window (the paper: 256); with whole documents, the most."""
    packing: Packing = "stream"
    """stream: documents are joined, and cut into full windows. document: each window is one
    document with its end of sequence. documents: as many neighbouring ones as fit. Then a document
    longer than `window` is an error."""


class PlacesConfig(Config):
    """At which positions of a window to think."""

    behind: list[Annotated[str, Field(min_length=1)]] = Field(default=[], max_length=MAX_TOKENS)
    """Tokens, as the vocabulary names them: think after each of them."""
    elsewhere: int = Field(0, ge=0)
    """Think at this many other positions of each window, drawn by the seed, so that the talk head
    learns where thoughts are worth nothing."""

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        if not self.behind and not self.elsewhere:
            raise ValueError(
                "there is no place to think: name tokens in behind, or give elsewhere, or leave "
                "objective.places out to think everywhere"
            )
        return self


class GateConfig(Config):
    """How the gate learns where to think: where a thought gains more than it costs."""

    cost: float = Field(ge=0)
    """What a thought must gain to be worth its passes, in nats of the next token's loss."""
    learning_rate: float = Field(1e-3, gt=0, le=1)
    """Learning rate of the gate, which has gradients of its own."""


class ObjectiveConfig(Config):
    """The terms of the loss and their weights."""

    places: PlacesConfig | None = None
    """Where to think. The base prediction learns at all positions. None: everywhere."""
    thoughts: Literal["sampled", "random"] = "sampled"
    """random: a control. Thoughts are random tokens, and what teaches the model what to think is
    off: the policy, entropy and foresight losses, and true thoughts."""
    gate: GateConfig | None = None
    """Learn a gate, which decides at each token whether to think. None: do not, and leave the gate
    of a model that has one as it is."""

    num_talk_tokens: int = Field(4, ge=1, le=64)
    """True tokens predicted after each thought (the non-myopic loss, section 4.4.1)."""
    num_passes: int = Field(2, ge=1, le=64)
    """Thoughts sampled for each position; their mean reward is the baseline."""
    base_loss_weight: float = Field(0.5, ge=0)
    """Weight of the next-token loss without thoughts."""
    think_every: int = Field(1, ge=1)
    """Think about one window in this many (the paper: all). The other windows train only the base
    prediction, at a tenth of the cost."""
    teacher_weight: float = Field(0.0, ge=0)
    """Weight of the divergence of the base prediction from the teacher's. Not in the paper: keeps
    the base prediction close to that of the same training without thoughts."""
    talk_loss_weight: float = Field(0.5, ge=0)
    """Weight of the loss of the talk tokens after the thought."""
    policy_weight: float = Field(1e6, ge=0)
    """Weight of the REINFORCE loss."""
    reinforce_temperature: float = Field(3.0, gt=0)
    """Divides the logits in the log-likelihood of the sampled thought."""
    drops_negative_rewards: bool = True
    """Reinforce only thoughts that are better than their baseline."""
    embedding_scale: float = Field(100.0, gt=0)
    """The start and end vectors are stored divided by this, so that a step moves them further."""
    thought_temperature: float = Field(1.0, ge=MIN_TEMPERATURE)
    """Sampling temperature of thoughts. Never 0: passes with equal thoughts have no reward."""
    thought_loss_weight: float = Field(0.0, ge=0)
    """Weight of the loss of the talk tokens under the thought's own logits, unmixed. Not in the
    paper: trains the state after the thought while the talk head still ignores it."""
    thought_entropy_weight: float = Field(0.0, ge=0)
    """Weight of the entropy of thoughts, which is rewarded. Not in the paper: prevents a collapse
    to one token."""
    foresight_loss_weight: float = Field(0.0, ge=0)
    """Weight of the loss of the true token k ahead under the distribution of thought token k. Not
    in the paper: makes a thought a guess at the text to come."""
    num_foresight_tokens: int = Field(1, ge=1)
    """Apply the foresight loss to this many thought tokens, from the first on. A later token
    follows guesses that may be wrong, so its target says little about what follows them."""

    def with_thoughts_resolved(self) -> "ObjectiveConfig":
        """The same with every loss off that teaches what to think, if thoughts are random."""
        if self.thoughts == "sampled":
            return self
        names = ("policy_weight", "thought_entropy_weight", "foresight_loss_weight")
        return self.model_copy(update=dict.fromkeys(names, 0.0))

    @property
    def num_ahead(self) -> int:
        """The most tokens after an anchor that a term of the objective asks for."""
        foreseen = self.num_foresight_tokens if self.foresight_loss_weight > 0 else 0
        return max(self.num_talk_tokens, foreseen)

    @model_validator(mode="after")
    def _check_gate(self) -> Self:
        if self.gate is not None and self.places is not None and not self.places.elsewhere:
            raise ValueError(
                "gate: it can only learn where thoughts gain nothing if some are thought there. "
                "Give places.elsewhere, or leave places out to think everywhere"
            )
        return self

    @model_validator(mode="after")
    def _check_think_every(self) -> Self:
        if self.think_every > 1 and self.places is not None:
            raise ValueError(
                f"think_every = {self.think_every} and places: choose one. With places, windows "
                "cost little anyway"
            )
        return self


class VectorsConfig(Config):
    """What the thought vectors of a model without thought parts start as."""

    start: str = Field(min_length=1)
    """A token, as the vocabulary names it: the start vector is its embedding."""
    end: str = Field(min_length=1)
    """The same of the end vector."""


class LoraConfig(Config):
    """Low-rank adapters in place of full fine-tuning (by PEFT)."""

    rank: int = Field(8, ge=1, le=1024)
    alpha: int = Field(16, ge=1)
    """The adapters' output is multiplied by alpha / rank."""
    target_modules: str | list[str] = "all-linear"
    """Names of the layers that get an adapter; "all-linear": every linear layer but the output."""
    quantization: Literal["none", "int8", "nf4"] = "none"
    """How bitsandbytes quantises the frozen weights (nf4: QLoRA)."""


class OptimizerConfig(Config):
    """AdamW and its schedule."""

    learning_rate: float = Field(1e-6, gt=0, le=1)
    """Learning rate of the backbone or its adapters."""
    talk_head_learning_rate: float | None = Field(None, gt=0, le=1)
    """None: `learning_rate`."""
    vector_learning_rate: float | None = Field(None, gt=0, le=1)
    """Learning rate of the start and end vectors as stored, divided by `embedding_scale`. None:
    `learning_rate`."""
    weight_decay: float = Field(0.001, ge=0, lt=1)
    """Applies to matrices; not to biases, norms and vectors."""
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    max_gradient_norm: float = Field(1.0, gt=0)
    warmup_steps: int = Field(20, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """After the warm-up: constant, or decreasing to 0 at the last step."""


class TrainConfig(Config):
    """One run of `qstar train`."""

    output: str = Field(min_length=1)
    """Directory of the run: settings, metrics, samples, states, and `model/` at the end."""
    model: str | None = None
    """What `load_model` takes. None: the base of the default model. Existing thought parts are
    trained further; a model without them gets fresh ones. With `lora`, an adapter (a run's
    `adapter/`) is trained further over its own base."""
    teacher: str | None = None
    """What `load_model` takes: the model that the base prediction is kept close to, with weight
    `objective.teacher_weight`. Usually the same training without thoughts."""
    num_thought_tokens: int | None = Field(None, ge=0, le=256)
    """Sampled tokens per thought, as saved in the checkpoint. None: the model's own; for fresh
    parts the longest of `thought_lengths`, or 5. 0: train without thoughts, with the next-token
    loss alone and whatever else is configured for thoughts ignored; the result is a plain model,
    the control that a thinking model is compared with."""
    thought_lengths: list[Annotated[int, Field(ge=1, le=256)]] | None = Field(None, min_length=1)
    """Each step draws its thought length from these, by the seed, so that the model learns several
    lengths. Must contain `num_thought_tokens` if that is set. None: always
    `num_thought_tokens`."""
    true_thought_share: float = Field(0.0, ge=0, le=1)
    """Share of thoughts that, in the first step, are the true text to come instead of samples, so
    that reading a thought pays. Falls linearly to 0 at `true_thought_steps`."""
    true_thought_steps: int = Field(100, ge=1)
    vectors: VectorsConfig | None = None
    """Only for a model without thought parts. None: the embedding of `---`, or of what comes
    closest to it."""
    thinking: dict[str, Any] | None = None
    """Where the checkpoint thinks when it is served, as in `quiet_star.json`:
    `{where: everywhere}`, `{where: behind, tokens: ["?"]}` or `{where: gate}`. None: as the model
    has it; everywhere for one with fresh thought parts."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """dtype of frozen weights and of the arithmetic; learning weights are always float32. auto: the
    checkpoint's dtype, as `load_model` resolves it for the device; float32 for float16 files, whose
    gradients would underflow."""
    lora: LoraConfig | None = None
    """None: full fine-tuning."""
    data: DataConfig
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    steps: int = Field(ge=1)
    batch_size: int = Field(8, ge=1)
    """Windows per step, over all processes (the paper: 8)."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Windows that one process computes at once; it accumulates gradients over the rest of its
    share. None: its whole share."""
    gradient_checkpointing: bool = False
    """Keep only each layer's input for the backward pass and run the layer again: less memory, a
    third more work, the same result."""
    seed: int = Field(0, ge=0, lt=2**31)
    log_every: int = Field(1, ge=1)
    save_every: int = Field(100, ge=1)
    """Steps between saved states; the newest two are kept."""
    keep_every: int | None = Field(None, ge=1)
    """Also keep for good every saved state whose step is a multiple of this, to study what a run
    learned when. None: only the newest two."""
    sample_every: int = Field(25, ge=1)
    """Steps between samples of thoughts."""
    tracker: Literal["none", "tensorboard", "wandb"] = "none"

    @field_validator("thinking")
    @classmethod
    def _check_thinking(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if value is None else read_rule(value).to_json()

    @model_validator(mode="after")
    def _check_packing(self) -> Self:
        every = self.objective.think_every
        if self.data.packing != "stream" and every > 1:
            raise ValueError(
                f"objective.think_every = {every} needs windows of equal length: leave it out, or "
                "set data.packing = stream"
            )
        return self

    @model_validator(mode="after")
    def _check_window(self) -> Self:
        needed = self.objective.num_talk_tokens + 2
        if self.data.window < needed:
            raise ValueError(
                f"data.window = {self.data.window} must be at least objective.num_talk_tokens + 2 "
                f"= {needed}"
            )
        return self

    @model_validator(mode="after")
    def _check_thought_lengths(self) -> Self:
        kept, lengths = self.num_thought_tokens, self.thought_lengths
        if kept and lengths is not None and kept not in lengths:
            raise ValueError(
                f"num_thought_tokens = {kept} is not among thought_lengths = {lengths}: the model "
                "would think with a length that it was not trained for. Add it there, or leave it "
                "out"
            )
        return self

    @model_validator(mode="after")
    def _check_teacher(self) -> Self:
        weight = self.objective.teacher_weight
        if (self.teacher is None) != (weight == 0):
            raise ValueError(
                f"teacher = {self.teacher} and objective.teacher_weight = {weight}: give both or "
                "neither"
            )
        return self

    @property
    def trains_without_thoughts(self) -> bool:
        """Whether the run is plain fine-tuning."""
        return self.num_thought_tokens == 0
