"""Random JSON schemas give valid JSON, and the same at every depth of speculation.

Validity is checked with `jsonschema`, which knows nothing of llguidance.
"""

import json
import os
import random
from functools import lru_cache
from typing import Any

import jsonschema
import pytest

from qstar_infer import LLM, SamplingParams
from qstar_infer.config import Speculation
from qstar_infer.outputs import CompletionOutput
from qstar_infer.structured_outputs import StructuredOutputs

from ..constraints.random_schemas import draw_schema, with_definitions_on_top
from ..parity.toy import make_toy

DEPTHS: tuple[Speculation, ...] = ("off", 1, 2, 3, "auto")
MAX_TOKENS = 230
SCHEMAS_AT_ONCE = 20
NUM_BATCHES = int(os.environ.get("QSTAR_SCHEMA_BATCHES", "6"))
"""`make fuzz` takes 25, which are 500 schemas."""


@lru_cache
def toys() -> list[Any]:
    """Two models, one of which thinks at about half of the tokens only."""
    return [make_toy(seed=seed).model for seed in (0, 1)]


def draw_schemas(seed: int) -> list[dict[str, Any]]:
    draw = random.Random(f"schemas {seed}")
    return [with_definitions_on_top(draw_schema(draw)) for _ in range(SCHEMAS_AT_ONCE)]


def generate(
    model: Any, schemas: list[dict[str, Any]], speculation: Speculation, seed: int
) -> tuple[list[CompletionOutput], LLM]:
    """One completion of each schema, all together, in a pool that is too small for all."""
    draw = random.Random(f"prompts {seed}")
    llm = LLM(model=model, speculation=speculation, num_blocks=60, block_size=16, max_num_seqs=8)
    params = [
        SamplingParams(
            structured_outputs=StructuredOutputs(json=schema),
            max_tokens=MAX_TOKENS,
            temperature=draw.choice([0.0, 1.0, 1.5]),
            seed=draw.randrange(2**40),
            num_thought_tokens=draw.choice([0, 1, 2, 3]),
        )
        for schema in schemas
    ]
    prompts = [[draw.randrange(256) for _ in range(draw.randint(1, 20))] for _ in schemas]
    outputs = [each.outputs[0] for each in llm.generate(prompts, params)]
    llm.close()
    return outputs, llm


def is_beginning_of_json(text: str) -> bool:
    """Whether JSON could begin with this text: Python's decoder fails only at its end."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return (
            error.pos >= len(text.rstrip()) - 1
            or "Unterminated" in error.msg
            or (
                error.pos >= len(text) - 8  # within a word, a number or an escape that is cut
            )
        )
    return True


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(NUM_BATCHES))
def test_the_texts_are_valid_and_the_same_at_every_depth(seed: int) -> None:
    schemas = draw_schemas(seed)
    model = toys()[seed % 2]
    texts: dict[Speculation, list[str]] = {}
    num_stopped = num_rejected = 0
    for depth in DEPTHS:
        outputs, llm = generate(model, schemas, depth, seed)
        texts[depth] = [output.text for output in outputs]
        num_rejected += llm.stats().rejected
        for schema, output in zip(schemas, outputs, strict=True):
            jsonschema.Draft202012Validator.check_schema(schema)
            if output.finish_reason == "stop":
                num_stopped += 1
                jsonschema.validate(
                    json.loads(output.text),
                    schema,
                    cls=jsonschema.Draft202012Validator,
                    format_checker=jsonschema.FormatChecker(),
                )
            else:
                assert output.finish_reason == "length"
                assert len(output.token_ids) == MAX_TOKENS
                assert is_beginning_of_json(output.text), output.text
    assert all(each == texts["off"] for each in texts.values())
    assert num_stopped >= 0.6 * len(schemas) * len(DEPTHS)  # greedy noise may never end
    assert num_rejected > 50
