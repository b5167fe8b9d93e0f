"""Everything a training run is made of. A run is a function of these settings."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from qstar_train.data.config import SourceSettings
from qstar_train.objective.config import ObjectiveSettings
from qstar_train.settings import Settings


class LoraSettings(Settings):
    """Low-rank adapters in place of full fine-tuning (by PEFT)."""

    rank: int = Field(8, ge=1, le=1024)
    alpha: int = Field(16, ge=1)
    """The adapters' output is multiplied by alpha / rank."""
    target_modules: str | list[str] = "all-linear"
    """Names of the layers that get one; "all-linear" is every linear layer but the output."""
    quantization: Literal["none", "int8", "nf4"] = "none"
    """Of the frozen weights, by bitsandbytes (nf4: QLoRA)."""


class DataSettings(Settings):
    """What is read, and how it is cut."""

    sources: list[SourceSettings] = Field(min_length=1)
    window: int = Field(256, ge=8, le=65536)
    """Tokens in each training window (the paper: 256)."""


class OptimizerSettings(Settings):
    """AdamW and its schedule; the paper's values as defaults."""

    learning_rate: float = Field(1e-6, gt=0, le=1)
    """Of the backbone or its adapters."""
    talk_head_learning_rate: float | None = Field(None, gt=0, le=1)
    """None: as `learning_rate`."""
    vector_learning_rate: float | None = Field(None, gt=0, le=1)
    """Of the start and end vectors as they are stored, divided by `embedding_scale`. None: as
    `learning_rate`."""
    weight_decay: float = Field(0.001, ge=0, lt=1)
    """Of matrices; biases, norms and vectors are not decayed."""
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)
    max_gradient_norm: float = Field(1.0, gt=0)
    warmup_steps: int = Field(20, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """After the warm-up: constant, or down to 0 at the last step."""


class TrainSettings(Settings):
    """One run of `qstar train`."""

    output: str = Field(min_length=1)
    """Directory of the run: settings, metrics, samples, states, and `model/` at the end."""
    model: str | None = None
    """What `load_model` takes. None: the base of the default model. Thought parts that it has are
    trained further; where it has none, it gets fresh ones. With `lora`, an adapter (a run's
    `adapter/`) is trained further over its own base."""
    teacher: str | None = None
    """What `load_model` takes: the model whose prediction the base prediction is held to, with
    weight `objective.teacher_weight`. Most often the same training without thoughts."""
    num_thought_tokens: int | None = Field(None, ge=0, le=256)
    """Sampled tokens per thought, as the checkpoint keeps it. None: as the model was trained; of
    fresh parts the longest of `thought_lengths`, or 5. 0: no thoughts, whatever else is set of
    them: the next-token loss alone, a plain model at the end: what a run is compared with."""
    thought_lengths: list[Annotated[int, Field(ge=1, le=256)]] | None = Field(None, min_length=1)
    """Each step thinks for one of these, drawn by the seed, so that the model learns to think for
    more and less; `num_thought_tokens` is one of them, where it is set. None: for
    `num_thought_tokens` always."""
    true_thought_share: float = Field(0.0, ge=0, le=1)
    """Of the first step's thoughts, so many are not sampled: they are the true text to come, so
    that it pays to read a thought. The share falls evenly to 0 at `true_thought_steps`."""
    true_thought_steps: int = Field(100, ge=1)
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of frozen weights and of the arithmetic; what learns is float32 always."""
    lora: LoraSettings | None = None
    """None: full fine-tuning."""
    data: DataSettings
    objective: ObjectiveSettings = ObjectiveSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    steps: int = Field(ge=1)
    batch_size: int = Field(8, ge=1)
    """Windows of one step, over all processes (the paper: 8)."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Windows of one process at once; the rest of its share is accumulated. None: all its share."""
    gradient_checkpointing: bool = False
    """Keep only each layer's input for the gradients, and run the layer again: less memory, a third
    more work, the same result."""
    seed: int = Field(0, ge=0, lt=2**31)
    log_every: int = Field(1, ge=1)
    save_every: int = Field(100, ge=1)
    """Steps between saved states; the two newest are kept."""
    sample_every: int = Field(25, ge=1)
    """Steps between samples of thoughts."""
    tracker: Literal["none", "tensorboard", "wandb"] = "none"

    @model_validator(mode="after")
    def _windows_hold_the_talk(self) -> Self:
        needed = self.objective.num_talk_tokens + 2
        if self.data.window < needed:
            raise ValueError(
                f"data.window = {self.data.window} must be at least objective.num_talk_tokens + 2 "
                f"= {needed}"
            )
        return self

    @model_validator(mode="after")
    def _the_length_kept_is_trained(self) -> Self:
        kept, lengths = self.num_thought_tokens, self.thought_lengths
        if kept and lengths is not None and kept not in lengths:
            raise ValueError(
                f"num_thought_tokens = {kept} is not among thought_lengths = {lengths}: the model "
                "would think for as long as it never learned to; add it there, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _teacher_has_work_to_do(self) -> Self:
        weight = self.objective.teacher_weight
        if (self.teacher is None) != (weight == 0):
            raise ValueError(
                f"teacher = {self.teacher} and objective.teacher_weight = {weight}: give both or "
                "neither"
            )
        return self

    @property
    def is_silent(self) -> bool:
        """Whether the run trains without thoughts."""
        return self.num_thought_tokens == 0
