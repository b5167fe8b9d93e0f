"""Request fields and checkpoint defaults become `SamplingParams`, in one typed function."""

import dataclasses
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import httpx
import pytest
from qstar_server.endpoints.completions.protocol import CompletionRequest
from qstar_server.generation.generation_request import SharedSamplingFields

from qstar_infer.errors import RequestError
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.structured_outputs import StructuredOutputs
from tests.server.fake_engine import FakeEngine
from tests.server.wire import complete

OF_THE_ENDPOINT = {
    *("max_tokens", "max_completion_tokens", "best_of", "logprobs", "prompt_logprobs"),
    "structured_outputs",
}
"""`SamplingParams` fields that each endpoint defines in its own way."""


def params_of(defaults: SamplingDefaults | None = None, **fields: Any) -> SamplingParams:
    request = CompletionRequest.model_validate({"model": "m", "prompt": "A"} | fields)
    return request.to_sampling_params(SamplingDefaults() if defaults is None else defaults)


def without_none(kind: Any) -> Any:
    """`X` for `X | None`; any other type as it is."""
    members = [member for member in get_args(kind) if member is not NoneType]
    is_optional = NoneType in get_args(kind) and get_origin(kind) is not tuple
    return members[0] if is_optional else kind


def test_every_sampling_field_is_reached() -> None:
    fields: dict[str, Any] = {
        "n": 2,
        "best_of": 3,
        "temperature": 0.5,
        "top_p": 0.25,
        "top_k": 7,
        "min_p": 0.125,
        "frequency_penalty": -1,
        "presence_penalty": 1.5,
        "repetition_penalty": 1.25,
        "seed": -(2**63),
        "max_tokens": 5,
        "min_tokens": 3,
        "ignore_eos": True,
        "skip_special_tokens": False,
        "include_stop_str_in_output": True,
        "thought_top_logprobs": 6,
        "show_passes": True,
        "num_thought_tokens": 4,
        "thought_temperature": 0.75,
        "thinking": {"where": "behind", "tokens": ["?", 7]},
        "think_threshold": 0.9,
        "logprobs": 2,
    }
    params = params_of(
        logit_bias={"7": -100, "0": 1.5},
        allowed_token_ids=[1, 2],
        bad_words=["b"],
        structured_outputs={"regex": "a+"},
        stop=["x"],
        stop_token_ids=[8],
        echo=True,
        **fields,
    )
    wanted = SamplingParams(
        logit_bias={7: -100, 0: 1.5},
        allowed_token_ids=(1, 2),
        bad_words=("b",),
        structured_outputs=StructuredOutputs(regex="a+"),
        stop=("x",),
        stop_token_ids=(8,),
        prompt_logprobs=2,
        **fields,
    )
    assert params == wanted
    untouched = dataclasses.asdict(SamplingParams()) | {"max_completion_tokens": "of others"}
    assert not [
        name for name, value in dataclasses.asdict(params).items() if value == untouched[name]
    ]


def test_the_shared_fields_have_the_names_and_types_of_the_engines() -> None:
    """mypy holds the request to `SharedSamplingFields`; this holds those to `SamplingParams`."""
    engines = get_type_hints(SamplingParams)
    shared = get_type_hints(SharedSamplingFields)
    assert set(engines) == set(shared) | OF_THE_ENDPOINT
    for name, kind in shared.items():
        assert without_none(kind) == without_none(engines[name]), name


async def test_what_the_request_says_is_what_the_engine_gets(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    fields: dict[str, Any] = {"temperature": 0.5, "stop": "x", "seed": 3}
    await complete(client, **fields)
    assert engine.submitted[0].params == params_of(**fields)


def test_a_null_field_is_a_field_that_is_left_out() -> None:
    names = set(CompletionRequest.model_fields) - {"model", "prompt"}
    assert params_of(**dict.fromkeys(names)) == params_of() == SamplingParams()


def test_top_p_0_is_the_top_token_alone() -> None:
    params = params_of(SamplingDefaults(top_p=0.9, top_k=40), top_p=0)
    assert (params.top_p, params.top_k) == (1.0, 1)


@pytest.mark.parametrize("fields", [{}, {"temperature": None, "top_k": None}])
def test_a_field_that_is_left_out_takes_the_checkpoints_default(fields: Any) -> None:
    defaults = SamplingDefaults(
        temperature=0.5, top_k=40, top_p=0.9, min_p=0.1, repetition_penalty=1.2
    )
    params = params_of(defaults, **fields)
    assert params == SamplingParams(
        temperature=0.5, top_k=40, top_p=0.9, min_p=0.1, repetition_penalty=1.2
    )


def test_what_the_request_says_wins_over_the_checkpoint() -> None:
    defaults = SamplingDefaults(temperature=0.5, top_k=40, thought_temperature=0.5)
    params = params_of(defaults, temperature=0, top_k=0, thought_temperature=1)
    assert (params.temperature, params.top_k, params.thought_temperature) == (0, 0, 1)


async def test_the_defaults_are_those_of_the_served_model(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    defaults = SamplingDefaults(temperature=0.25)
    engine.model = dataclasses.replace(engine.model, sampling_defaults=defaults)
    await complete(client)
    await complete(client, temperature=2)
    assert [request.params.temperature for request in engine.submitted] == [0.25, 2]


def test_a_logit_bias_key_must_be_a_token_id() -> None:
    with pytest.raises(RequestError, match="token ids in decimal"):
        params_of(logit_bias={"1.0": 1})
