"""Types of request fields, with their ranges, so that `/openapi.json` states them.

`SamplingParams` checks the same ranges, because requests also come without HTTP.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from qstar_infer.sampling_params import (
    MAX_INTEGER,
    MAX_NUM_SEQUENCES,
    MAX_SEED,
    MAX_STOP_CHARS,
    MAX_STOP_STRINGS,
)


def _check_bool(value: object) -> object:
    # In Python 0 equals False, but not in JSON.
    if not isinstance(value, bool):
        raise ValueError("must be a boolean")
    return value


Never = Annotated[Literal[False], BeforeValidator(_check_bool)]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
NumSequences = Annotated[int, Field(ge=1, le=MAX_NUM_SEQUENCES)]
TokenId = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
TokenIds = Annotated[list[TokenId], Field(fail_fast=True)]
"""There may be as many as the vocabulary has, so a wrong one is one error for all of them."""
Seed = Annotated[int, Field(ge=-MAX_SEED - 1, le=MAX_SEED)]
TopK = Annotated[int, Field(ge=-1, le=MAX_INTEGER)]
Temperature = Annotated[float, Field(ge=0, le=2)]
Probability = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
RepetitionPenalty = Annotated[float, Field(gt=0, le=10)]
Bias = Annotated[float, Field(ge=-100, le=100)]
StopText = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]
StopTexts = Annotated[list[StopText], Field(max_length=MAX_STOP_STRINGS)]
