"""`POST /v1/completions`: prompts, lengths, choices, usage."""

from typing import Any

import httpx
import pytest

from tests.server import fake_engine
from tests.server.fake_engine import BOS, EOS, SCRIPT, FakeEngine, token_ids_of
from tests.server.wire import MODEL, body, complete, refused

NUM_SCRIPT_TOKENS = len(token_ids_of(SCRIPT))


async def test_response_has_openais_keys_and_no_others(client: httpx.AsyncClient) -> None:
    whole = await complete(client, max_tokens=3)
    assert set(whole) == {"id", "object", "created", "model", "choices", "usage"}
    assert whole["object"] == "text_completion"
    assert whole["id"].startswith("cmpl-")
    assert whole["model"] == MODEL
    assert whole["choices"] == [
        {"index": 0, "text": "Hé", "logprobs": None, "finish_reason": "length"}
    ]


@pytest.mark.parametrize("fields", [{}, {"max_tokens": None}])
async def test_max_tokens_is_16_by_default(client: httpx.AsyncClient, fields: Any) -> None:
    whole = await complete(client, **fields)
    assert whole["usage"]["completion_tokens"] == 16
    assert whole["choices"][0]["finish_reason"] == "length"


async def test_max_tokens_0_makes_no_tokens(client: httpx.AsyncClient) -> None:
    whole = await complete(client, max_tokens=0)
    assert whole["choices"][0]["text"] == ""
    assert whole["choices"][0]["finish_reason"] == "length"
    assert whole["usage"]["completion_tokens"] == 0


async def test_end_of_sequence_is_counted_but_not_shown(client: httpx.AsyncClient) -> None:
    whole = await complete(client, max_tokens=100)
    assert whole["choices"][0]["text"] == SCRIPT
    assert whole["choices"][0]["finish_reason"] == "stop"
    assert whole["usage"]["completion_tokens"] == NUM_SCRIPT_TOKENS + 1


async def test_ignore_eos_goes_on_to_max_tokens(client: httpx.AsyncClient) -> None:
    whole = await complete(client, max_tokens=NUM_SCRIPT_TOKENS + 3, ignore_eos=True)
    assert whole["choices"][0]["text"] == SCRIPT + "H\ufffd"
    assert whole["choices"][0]["finish_reason"] == "length"


async def test_special_tokens_are_shown_on_request(client: httpx.AsyncClient) -> None:
    whole = await complete(client, max_tokens=100, skip_special_tokens=False)
    assert whole["choices"][0]["text"] == SCRIPT + "</s>"


@pytest.mark.parametrize(
    ("prompt", "token_ids"),
    [
        ("Hi", [[72, 105]]),
        (["Hi", "B"], [[72, 105], [66]]),
        ([72, 105], [[72, 105]]),
        ([[72], [66, 67]], [[72], [66, 67]]),
        ([0], [[0]]),
    ],
)
async def test_four_prompt_shapes(
    client: httpx.AsyncClient, engine: FakeEngine, prompt: Any, token_ids: list[list[int]]
) -> None:
    whole = await complete(client, prompt=prompt, max_tokens=1)
    assert [request.prompt_token_ids for request in engine.submitted] == token_ids
    assert [choice["index"] for choice in whole["choices"]] == list(range(len(token_ids)))
    assert whole["usage"]["prompt_tokens"] == sum(len(ids) for ids in token_ids)


@pytest.mark.parametrize("prompt", [None, "", [""]])
async def test_null_and_empty_prompts_are_the_start_of_a_document(
    client: httpx.AsyncClient, engine: FakeEngine, prompt: Any
) -> None:
    whole = await complete(client, prompt=prompt, add_special_tokens=True, echo=True, max_tokens=1)
    assert engine.submitted[0].prompt_token_ids == [BOS]
    assert whole["choices"][0]["text"] == "H"


async def test_an_empty_prompt_without_a_first_token_gets_the_document_start(
    client: httpx.AsyncClient, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fake_engine.SPECIAL_TEXT, EOS, "<|endoftext|>")
    await complete(client, prompt=["", "A"], max_tokens=1)
    assert [request.prompt_token_ids for request in engine.submitted] == [[EOS], [65]]


@pytest.mark.parametrize("prompt", [None, "", ["A", ""]])
async def test_an_empty_prompt_is_refused_where_no_token_can_begin_it(
    client: httpx.AsyncClient, engine: FakeEngine, prompt: Any
) -> None:
    assert (await refused(client, prompt=prompt))["param"] == "prompt"
    assert engine.submitted == []


@pytest.mark.parametrize(
    "prompt",
    [
        [],
        [[]],
        [[1], []],
        [1, "a"],
        ["a", 1],
        ["a", [1]],
        [[1], "a"],
        [[1], 2],
        [True],
        [1, False],
        [[True]],
        [1.0],
        [-1],
        [[-1]],
        [None],
        [["a"]],
        [[[1]]],
        {"text": "a"},
        3,
        True,
    ],
)
async def test_other_prompt_shapes_are_refused(client: httpx.AsyncClient, prompt: Any) -> None:
    assert (await refused(client, prompt=prompt))["param"] == "prompt"


@pytest.mark.parametrize("token_id", [258, 259, 260, 2**40, 10**100])
async def test_delimiters_and_ids_outside_the_vocabulary_are_refused(
    client: httpx.AsyncClient, token_id: int
) -> None:
    assert (await refused(client, prompt=[token_id]))["param"] == "prompt"


async def test_text_prompts_get_special_tokens_and_token_id_prompts_never(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    for prompt in ("A", [65]):
        response = await client.post("/v1/completions", json={"model": MODEL, "prompt": prompt})
        assert response.status_code == 200
    assert [request.prompt_token_ids for request in engine.submitted] == [[BOS, 65], [65]]


async def test_choices_are_numbered_prompt_by_prompt(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    whole = await complete(client, prompt=["A", "BB"], n=3, echo=True, max_tokens=1)
    assert [choice["index"] for choice in whole["choices"]] == list(range(6))
    assert [choice["text"] for choice in whole["choices"]] == ["AH"] * 3 + ["BBH"] * 3
    assert whole["usage"]["prompt_tokens"] == 3, "once a prompt, not once a choice"
    assert whole["usage"]["completion_tokens"] == 6
    assert whole["usage"]["total_tokens"] == 9
    assert len(engine.submitted) == 2


async def test_too_many_prompts_or_sequences_are_refused(client: httpx.AsyncClient) -> None:
    assert (await refused(client, prompt=["A"] * 129))["param"] == "prompt"
    assert (await refused(client, prompt=["A"] * 2, n=65))["param"] == "n"
    assert (await refused(client, n=129))["param"] == "n"
    assert len((await complete(client, prompt=["A"] * 2, n=64, max_tokens=0))["choices"]) == 128


async def test_one_refused_prompt_refuses_the_request(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await refused(client, prompt=[[65], [260]])
    assert engine.submitted == []


async def test_best_of_returns_the_likeliest_and_counts_them_all(
    client: httpx.AsyncClient,
) -> None:
    """The fake's candidate j is likelier than candidate j - 1."""
    whole = await complete(client, best_of=4, n=2, max_tokens=2, logprobs=0)
    assert [choice["index"] for choice in whole["choices"]] == [0, 1]
    means = [sum(c["logprobs"]["token_logprobs"]) / 2 for c in whole["choices"]]
    token_logprobs = [-(token_id % 7 + 1.3) for token_id in token_ids_of(SCRIPT)[:2]]
    assert means == pytest.approx([sum(token_logprobs) / 8, sum(token_logprobs) / 6])
    assert whole["usage"]["completion_tokens"] == 8
    assert whole["usage"]["completion_tokens_details"]["reasoning_tokens"] == 24


async def test_best_of_is_ranked_within_each_prompt(client: httpx.AsyncClient) -> None:
    whole = await complete(client, prompt=["A", "B"], best_of=3, echo=True, max_tokens=1)
    assert [(c["index"], c["text"]) for c in whole["choices"]] == [(0, "AH"), (1, "BH")]


async def test_best_of_equal_to_n_changes_nothing(client: httpx.AsyncClient) -> None:
    plain = await complete(client, n=2, logprobs=1, max_tokens=2)
    assert (await complete(client, n=2, best_of=2, logprobs=1, max_tokens=2))["choices"] == plain[
        "choices"
    ]


@pytest.mark.parametrize("fields", [{"n": 2, "best_of": 1}, {"best_of": 0}, {"best_of": 21}])
async def test_best_of_out_of_range_is_refused(client: httpx.AsyncClient, fields: Any) -> None:
    assert (await refused(client, **fields))["param"] == "best_of"


async def test_best_of_cannot_be_streamed(client: httpx.AsyncClient) -> None:
    assert (await refused(client, best_of=2, stream=True))["param"] == "best_of"


async def test_a_stop_text_across_tokens_is_cut(client: httpx.AsyncClient) -> None:
    choice = (await complete(client, max_tokens=100, stop=["zzz", "to be"]))["choices"][0]
    assert choice["text"] == "Hé 😀, "
    assert choice["finish_reason"] == "stop"


async def test_a_stop_text_at_the_first_token_leaves_no_text(client: httpx.AsyncClient) -> None:
    choice = (await complete(client, stop="H"))["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("", "stop")


async def test_a_stop_text_in_the_echoed_prompt_does_not_stop(client: httpx.AsyncClient) -> None:
    choice = (await complete(client, prompt="STOP", echo=True, stop="STOP", max_tokens=1))[
        "choices"
    ][0]
    assert (choice["text"], choice["finish_reason"]) == ("STOPH", "length")


async def test_a_stop_text_stays_on_request(client: httpx.AsyncClient) -> None:
    choice = (
        await complete(client, stop="to be", include_stop_str_in_output=True, max_tokens=100)
    )["choices"][0]
    assert choice["text"] == "Hé 😀, to be"


async def test_echo_shows_the_clients_text_not_its_tokens(client: httpx.AsyncClient) -> None:
    choice = (
        await complete(client, prompt="<s>é", add_special_tokens=True, echo=True, max_tokens=0)
    )["choices"][0]
    assert choice["text"] == "<s>é"


async def test_echo_of_token_ids_is_their_text(client: httpx.AsyncClient) -> None:
    choice = (await complete(client, prompt=[BOS, 65, 66], echo=True, max_tokens=1))["choices"][0]
    assert choice["text"] == "ABH"


async def test_token_ids_are_returned_on_request(client: httpx.AsyncClient) -> None:
    choice = (await complete(client, prompt=[65, 66], return_token_ids=True, max_tokens=2))[
        "choices"
    ][0]
    assert choice["prompt_token_ids"] == [65, 66]
    assert choice["token_ids"] == token_ids_of(SCRIPT)[:2]


async def test_every_sampling_field_reaches_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    fields = {
        "n": 2,
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
        "num_thought_tokens": 4,
        "thought_temperature": 0.75,
        "think_threshold": 0.9,
        "logprobs": 2,
    }
    await complete(client, logit_bias={"7": -100, "0": 1.5}, stop=["x"], **fields)
    params = engine.submitted[0].params
    assert {name: getattr(params, name) for name in fields} == fields
    assert params.logit_bias == {7: -100, 0: 1.5}
    assert params.stop == ("x",)
    assert params.prompt_logprobs is None


async def test_null_means_the_default_in_every_optional_field(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    from qstar_server.completions.protocol import CompletionRequest

    names = set(CompletionRequest.model_fields) - {"model", "prompt", "add_special_tokens"}
    await complete(client)
    await complete(client, **dict.fromkeys(names))
    assert engine.submitted[0].params == engine.submitted[1].params


async def test_stop_token_ids_end_the_output(client: httpx.AsyncClient) -> None:
    choice = (await complete(client, stop_token_ids=[ord(",")], max_tokens=100))["choices"][0]
    assert choice["finish_reason"] == "stop"


async def test_top_p_0_is_the_top_token_alone(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    await complete(client, top_p=0)
    assert (engine.submitted[0].params.top_p, engine.submitted[0].params.top_k) == (1.0, 1)


async def test_a_far_too_long_text_is_refused_before_it_is_tokenised(
    client: httpx.AsyncClient, engine: FakeEngine
) -> None:
    error = await refused(client, prompt="x" * (16 * engine.model.max_model_len + 1))
    assert error["code"] == "context_length_exceeded"
    assert "maximum context length" in error["message"]
    assert engine.encode_calls == []


async def test_prompt_and_output_beyond_the_context_are_refused(client: httpx.AsyncClient) -> None:
    error = await refused(client, max_tokens=512)
    assert error["code"] == "context_length_exceeded"
    assert "maximum context length is 512 tokens" in error["message"]


async def test_an_empty_bearer_token_passes(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/completions", json=body(max_tokens=1), headers={"Authorization": "Bearer "}
    )
    assert response.status_code == 200
