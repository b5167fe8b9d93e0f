"""What `qstar eval` measures: texts, questions, and the ways of thinking. No torch."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from qstar_infer.sampling_params import MAX_SEED
from qstar_train.data.config import SourceSettings
from qstar_train.settings import Settings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
"""Of a set; a part of file names."""
Measure = Literal["probability", "exact_match", "majority"]
ThoughtLength = Annotated[int, Field(ge=0, le=256)]


class TextSetSettings(SourceSettings):
    """Documents whose tokens' losses are measured: a data source, and these."""

    name: Name
    """Names the task, and its files."""
    max_documents: int = Field(default=200, ge=1)
    """The first ones; those without text are left out."""
    max_tokens: int = Field(default=256, ge=2, le=32768)
    """Tokens measured of each document: its beginning. The paper measures 256."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.weight != 1:
            raise ValueError("weight is for training; each text set is measured by itself")
        return self


class QuestionSetSettings(Settings):
    """Questions, and how their answers are judged. Each measure is a task `<name>-<measure>`.

    `qstar_train.evaluator.questions` reads the files and makes the tasks.
    """

    name: Name
    """Names the tasks, and their files."""
    kind: Literal["gsm8k", "commonsense_qa"]
    path: str = Field(min_length=1)
    """A local jsonl file, or a hub id."""
    split: str = "test"
    """Of a hub id."""
    max_questions: int | None = Field(default=None, ge=1)
    """The first ones; null: all."""
    measures: list[Measure] = Field(default=["probability"], min_length=1)
    """probability: the paper's, of the right answer among the possible answer tokens;
    exact_match: of a greedy answer; majority: the most frequent of `num_samples` answers, each
    after a chain of thought."""
    num_samples: int = Field(default=8, ge=1, le=128)
    """Answers of each question for `majority`."""
    sample_temperature: float = Field(default=0.9, gt=0, le=2)
    """Of the visible tokens for `majority`. 0.9 in the paper's script."""
    max_new_tokens: int = Field(default=384, ge=1, le=32768)
    """Visible tokens of an answer for `exact_match` and `majority`. 384 in the paper's script."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_unique("measures", self.measures)
        return self


class EvaluateSettings(Settings):
    """Everything `qstar eval` is told beside the checkpoints."""

    texts: list[TextSetSettings] = []
    questions: list[QuestionSetSettings] = []
    thought_lengths: list[ThoughtLength | None] = Field(default=[None], min_length=1)
    """Sampled tokens of a thought; null is as each checkpoint was trained, 0 does not think. A
    checkpoint that cannot think is measured with 0 alone."""
    thoughts: list[Literal["sampled", "random"]] = Field(default=["sampled"], min_length=1)
    """`random` puts random tokens in the thoughts' place: the control."""
    temperature: float = Field(default=1.0, ge=0, le=2)
    """Of sampled thoughts; 0 is greedy. 1 as in training."""
    seed: int = Field(default=0, ge=0, le=MAX_SEED)
    batch_size: int = Field(default=4, ge=1, le=4096)
    """Documents or questions at once. Changes speed and memory, not results."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    bootstrap_resamples: int = Field(default=1000, ge=100, le=100_000)
    """Behind each 95 % interval."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.texts and not self.questions:
            raise ValueError("nothing to measure: give texts, questions or both")
        names = [task.name for task in self.texts]
        names += [f"{task.name}-{measure}" for task in self.questions for measure in task.measures]
        _require_unique("names of texts and questions", names)
        _require_unique("thought_lengths", self.thought_lengths)
        _require_unique("thoughts", self.thoughts)
        return self


def _require_unique(what: str, values: Sequence[object]) -> None:
    repeated = {value for value in values if values.count(value) > 1}
    if repeated:
        raise ValueError(f"{what} must differ; given twice: {', '.join(map(str, repeated))}")
