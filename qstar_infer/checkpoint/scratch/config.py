"""The config of a model from scratch, and its YAML file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from qstar_infer.errors import ConfigError

Count = Annotated[int, Field(strict=True, ge=1)]
Token = Annotated[str, Field(min_length=1)]


class _Section(BaseModel):
    """Frozen; unknown keys, NaN and infinity are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class VocabularyConfig(_Section):
    """The tokenizer: whole tokens, found by a pattern."""

    tokens: tuple[Token, ...]
    """All tokens; the first has id 0."""
    pattern: str
    """Regular expression whose matches in a text are tokens, such as `[+-][0-9]|.`."""
    eos_token: str
    """Ends a document; one of the tokens."""
    unk_token: str
    """Stands for text that is no token; one of the tokens."""
    chat_template: str | None = None
    """Jinja template of a conversation; without one the model has no chat."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        repeated = sorted({token for token in self.tokens if self.tokens.count(token) > 1})
        if repeated:
            raise ValueError(f"tokens has {repeated[0]!r} more than once; remove the others")
        for name, token in (("eos_token", self.eos_token), ("unk_token", self.unk_token)):
            if token not in self.tokens:
                raise ValueError(f"{name} = {token!r} is not among the tokens; add it to them")
        if self.eos_token == self.unk_token:
            raise ValueError(
                f"eos_token and unk_token are both {self.eos_token!r}; give each its own token"
            )
        return self


class LlamaConfig(_Section):
    """The model: a Llama, in float32."""

    hidden_size: Count
    intermediate_size: Count
    num_layers: Count
    num_heads: Count
    """Heads of queries, keys and values; `hidden_size` is a multiple of twice this number."""
    max_positions: Count
    """The context length, thoughts included."""
    tied: bool = False
    """Whether the output layer is the embedding."""
    initializer_range: Annotated[float, Field(gt=0)] = 0.02
    """Standard deviation of the first weights."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.hidden_size % (2 * self.num_heads):
            raise ValueError(
                f"hidden_size = {self.hidden_size} is no multiple of 2 * num_heads = "
                f"{2 * self.num_heads}, and each head needs an even width; change one of them"
            )
        return self


class ScratchConfig(_Section):
    """A model from scratch."""

    vocabulary: VocabularyConfig
    llama: LlamaConfig
    seed: Annotated[int, Field(strict=True, ge=0)] = 0
    """Draws the first weights."""


def read_scratch_config(path: Path) -> ScratchConfig:
    """Read a YAML file.

    Raises:
        ConfigError: it cannot be read, or a key or value is wrong; the message names them all.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Give a YAML file.") from error
    # ValueError: an impossible date; RecursionError: nested too deep
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    return parse_scratch_config(values, where=str(path))


def parse_scratch_config(values: Any, *, where: str) -> ScratchConfig:
    """Check the values of a config.

    Args:
        values: nested dictionaries, as a YAML file holds them.
        where: what they come from, for messages.

    Raises:
        ConfigError: a key or value is wrong; the message names them all.
    """
    try:
        return ScratchConfig.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problems(error.errors(include_url=False)))
        raise ConfigError(f"{where} describes no model: {problems}. Correct it.") from error


def _problems(details: list[ErrorDetails]) -> Iterator[str]:
    for detail in details:
        key = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
        if detail["type"] == "missing":
            yield f"{key} is missing"
        elif detail["type"] == "extra_forbidden":
            yield f"{key} is no setting"
        elif detail["type"] == "value_error":
            yield f"{key}: {message}"
        elif detail["type"] == "string_type":
            yield f"{key} = {detail['input']!r} must be text; put it in quotation marks"
        elif key:
            yield f"{key} = {detail['input']!r}: {message[0].lower()}{message[1:]}"
        else:
            yield "it must hold `key: value` lines with vocabulary and llama"
