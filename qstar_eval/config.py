"""What `qstar eval` measures: text sets, question sets, and thinking modes. Imports no torch."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from qstar_infer.sampling_params import MAX_SEED
from qstar_infer.thinking_rule import TokenName
from qstar_train.config import SourceConfig
from qstar_train.config_file import Config

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
"""The name of a set; a part of file names."""
QuestionKind = Literal["gsm8k", "commonsense_qa"]
Measure = Literal["probability", "exact_match", "majority"]
ThoughtKind = Literal["sampled", "greedy", "random", "shuffled"]
"""`greedy` takes the most likely tokens. The controls replace each thought: `random` with uniformly
random tokens, `shuffled` with the sampled thought of another example."""
ALL_KINDS: frozenset[ThoughtKind] = frozenset(get_args(ThoughtKind))
_GENERATED: frozenset[ThoughtKind] = frozenset({"sampled", "greedy"})
KINDS_OF_MEASURES: dict[Measure, frozenset[ThoughtKind]] = {
    "probability": ALL_KINDS - {"shuffled"},
    "exact_match": _GENERATED,
    "majority": _GENERATED,
}
"""Which thoughts each measure can be taken with. The engine thinks its own."""
ThoughtLength = Annotated[int, Field(ge=0, le=256)]


class TextSetConfig(SourceConfig):
    """Documents for held-out loss: a data source, and how much of it is measured."""

    name: Name
    """Names the task and its files."""
    max_documents: int = Field(default=200, ge=1)
    """Only the first so many documents; blank ones among them are skipped."""
    max_tokens: int = Field(default=256, ge=2, le=32768)
    """Tokens measured of each document, from its start. The paper measures 256."""
    behind: list[TokenName] | None = Field(default=None, min_length=1)
    """Tokens of the vocabulary, by name or id. Loss and accuracy of the tokens directly behind them
    are also measured separately."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.weight != 1:
            raise ValueError("weight is for training only; every text set is measured separately")
        return self


class QuestionSetConfig(Config):
    """Questions and the measures of their answers. Each measure is a task `<name>-<measure>`."""

    name: Name
    """Names the tasks and their files."""
    kind: QuestionKind
    path: str = Field(min_length=1)
    """A local jsonl file, or a hub id."""
    split: str = "test"
    """Of a hub id."""
    max_questions: int | None = Field(default=None, ge=1)
    """Only the first so many questions; null: all."""
    measures: list[Measure] = Field(default=["probability"], min_length=1)
    """probability: the paper's measure, the probability of the right answer among the possible
    answer tokens; exact_match: whether a greedy answer is right; majority: whether the most
    frequent of `num_samples` answers is right, each given after a chain of thought."""
    num_samples: int = Field(default=8, ge=1, le=128)
    """Answers to each question for `majority`; the figure's name holds it: `maj@8`."""
    sample_temperature: float = Field(default=0.9, gt=0, le=2)
    """Of the visible tokens for `majority`. 0.9 in the paper's script."""
    max_new_tokens: int = Field(default=384, ge=1, le=32768)
    """Visible tokens of an answer for `exact_match` and `majority`. 384 in the paper's script."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_unique("measures", self.measures)
        return self


class AnswerSetConfig(Config):
    """One's own questions: prompts, each with the answer that should follow it directly. The task
    is `<name>-answer`."""

    name: Name
    """Names the task and its files."""
    path: str = Field(min_length=1)
    """A local jsonl file with one object for each question."""
    max_questions: int | None = Field(default=None, ge=1)
    """Only the first so many questions; null: all."""
    prompt_field: str = "prompt"
    """The key of the text before the answer, whole: nothing is added to it."""
    answer_field: str = "answer"
    """The key of the answer, a text or a whole number. A space before it belongs to it."""
    group_field: str | None = None
    """The key of what figures are also computed by, such as a size."""
    working_field: str | None = None
    """The key of the text that a perfect thought begins with; null in a row: it has none."""
    batch_size: int = Field(default=256, ge=1, le=4096)
    """Questions in one batch. Affects speed and memory only. 256 is for small models."""

    @property
    def task_name(self) -> str:
        return f"{self.name}-answer"


class EvalConfig(Config):
    """Everything `qstar eval` reads from its config file."""

    texts: list[TextSetConfig] = []
    questions: list[QuestionSetConfig] = []
    answers: list[AnswerSetConfig] = []
    thought_lengths: list[ThoughtLength | None] = Field(default=[None], min_length=1)
    """Thought tokens; null: as each checkpoint was trained; 0: no thoughts. A checkpoint that
    cannot think is measured with 0 only. `exact_match` and `majority` are always measured with 0
    as well, because their records hold no figure without thoughts."""
    thoughts: list[ThoughtKind] = Field(default=["sampled"], min_length=1)
    """greedy: the most likely tokens. Two controls: random, uniformly random tokens, and shuffled,
    the sampled thought of another example. `exact_match` and `majority` skip the controls, because
    the engine that generates their answers thinks all thoughts itself; `probability` skips
    shuffled."""
    temperature: float = Field(default=1.0, ge=0, le=2)
    """Of sampled and shuffled thoughts; 0 is greedy. 1 as in training."""
    thinking: Literal["checkpoint", "everywhere"] = "checkpoint"
    """checkpoint: think where the checkpoint's rule says; elsewhere the base decides. everywhere:
    think at every token, whatever the rule."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    batch_size: int = Field(default=4, ge=1, le=4096)
    """Documents, or questions of `probability`, in one batch. Affects speed and memory only. The
    engine batches generated answers by itself."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    bootstrap_resamples: int = Field(default=1000, ge=100, le=20_000)
    """Resamples for each 95 % interval."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.texts and not self.questions and not self.answers:
            raise ValueError("nothing to measure: give texts, questions or answers")
        names = [text.name for text in self.texts]
        names += [f"{each.name}-{measure}" for each in self.questions for measure in each.measures]
        names += [each.task_name for each in self.answers]
        _check_unique("names of texts, questions and answers", names)
        _check_unique("thought_lengths", self.thought_lengths)
        _check_unique("thoughts", self.thoughts)
        unmeasured = sorted(
            measure
            for measure in {m for each in self.questions for m in each.measures}
            if not KINDS_OF_MEASURES[measure] & set(self.thoughts)
        )
        if unmeasured and 0 not in self.thought_lengths:
            raise ValueError(
                f"{' and '.join(unmeasured)} cannot be measured with thoughts = {self.thoughts}; "
                "add sampled"
            )
        return self


def _check_unique(what: str, values: Sequence[object]) -> None:
    repeated = {value for value in values if values.count(value) > 1}
    if repeated:
        raise ValueError(f"{what} must differ; given twice: {', '.join(map(str, repeated))}")
