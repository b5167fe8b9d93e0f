"""A number that is not finite ends the requests that depend on it, and no others."""

import logging
import math
import queue
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from qstar_infer import LLM, NotFiniteError, RequestOutput, SamplingParams
from qstar_infer.config import EngineConfig, Speculation
from qstar_infer.decoder import build
from qstar_infer.decoder.decoder import Decoder
from qstar_infer.decoder.fused_decoder import FusedDecoder
from qstar_infer.decoder.module_decoder import ModuleDecoder
from qstar_infer.engine.async_engine import AsyncEngine
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.kernels.plain import PlainKernel
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.step import StepBatch, StepResult
from qstar_infer.thinking_rule import ThinkingRule

from ..parity.toy import make_toy
from .fake_model import VOCAB_SIZE
from .run_requests import request, run_requests
from .step_driver import Driver, definition_of, make_sequence

BAD = 99
"""A token that no toy here samples unless a test says so."""
Break = Callable[[QuietStarModel], None]


def weight(model: QuietStarModel, name: str) -> torch.Tensor:
    """The parameter with this name, for writing."""
    return model.get_parameter(name).data


def break_embedding(model: QuietStarModel, token_id: int = BAD) -> None:
    weight(model, "backbone.model.embed_tokens.weight")[token_id] = math.nan


def break_last_state(monkeypatch: pytest.MonkeyPatch, model: QuietStarModel) -> None:
    """Make the last state of `BAD` NaN, but not its keys and values."""
    row = weight(model, "backbone.model.embed_tokens.weight")[BAD]
    for kind in (ModuleDecoder, FusedDecoder):
        monkeypatch.setattr(kind, "hidden", _breaking(kind.hidden, row))


def _breaking(whole: Callable[..., torch.Tensor], row: torch.Tensor) -> Callable[..., torch.Tensor]:
    def hidden(decoder: Decoder, embeddings: torch.Tensor, *rest: Any) -> torch.Tensor:
        states = whole(decoder, embeddings, *rest)
        return states.masked_fill((embeddings == row).all(-1, keepdim=True), math.nan)

    return hidden


def generate(model: QuietStarModel, prompt: list[int], **fields: Any) -> list[int]:
    """The greedy tokens after a prompt. The engine must be idle at the end."""
    speculation = fields.pop("speculation", "auto")
    llm = LLM(model=model, speculation=speculation)
    settings = {"temperature": 0.0, "ignore_eos": True, "max_tokens": 8, **fields}
    try:
        return llm.generate([prompt], SamplingParams(**settings))[0].outputs[0].token_ids
    finally:
        llm.close()


def set_weight(name: str, index: Any, value: float) -> Break:
    return lambda model: weight(model, name).__setitem__(index, value)


LAYER = "backbone.model.layers.0."
EVERYWHERE = {
    "one logit is NaN": set_weight("backbone.lm_head.weight", 5, math.nan),
    "one logit is infinite": set_weight("backbone.lm_head.weight", 5, 3e38),
    "last layer": set_weight("backbone.model.layers.1.mlp.up_proj.weight", 0, math.inf),
    "some keys": set_weight(LAYER + "self_attn.k_proj.weight", 0, math.nan),
    "keys overflow": set_weight(LAYER + "self_attn.k_proj.weight", slice(None), 3e38),
    "values overflow": set_weight(LAYER + "self_attn.v_proj.weight", slice(None), 3e38),
    "final norm": set_weight("backbone.model.norm.weight", 3, math.nan),
}


@pytest.mark.parametrize("num_thought_tokens", [0, 3])
@pytest.mark.parametrize("where", EVERYWHERE)
def test_the_request_ends_with_an_error_that_names_the_dtype(
    where: str, num_thought_tokens: int
) -> None:
    model = make_toy().model
    EVERYWHERE[where](model)
    with pytest.raises(NotFiniteError, match=r"the model.*not finite.* in float32; "):
        generate(model, [1, 2, 3], num_thought_tokens=num_thought_tokens)


@pytest.mark.parametrize(
    ("dtype", "largest", "advice"),
    [
        (torch.float16, 6e4, "--dtype bfloat16 or float32"),
        (torch.bfloat16, 3e38, "--dtype float32"),
    ],
)
def test_the_error_says_which_dtypes_to_try(
    dtype: torch.dtype, largest: float, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that overflows the output layer's dtype.

    With the plain kernel: another may compute a 16-bit model in float32, where nothing overflows.
    """
    monkeypatch.setattr(build, "choose_kernel", lambda _backbone: PlainKernel(dtype))
    model = make_toy().model
    model.to(dtype)
    model.thinking_parts.float()
    weight(model, "backbone.lm_head.weight").sign_().mul_(largest)
    with pytest.raises(NotFiniteError, match=f"in {str(dtype).removeprefix('torch.')}; .*{advice}"):
        generate(model, [1, 2, 3])


@pytest.mark.parametrize("scale", [math.nan, math.inf, 1e37])
def test_a_talk_head_that_overflows_is_named(scale: float) -> None:
    """The base model is fine, so a request without thoughts is too."""
    model = make_toy().model
    want = generate(model, [1, 2, 3], num_thought_tokens=0)
    for layer in (0, 2):
        weight(model, f"thought_parts.talk_head.{layer}.weight").mul_(scale)
    with pytest.raises(NotFiniteError, match=r"talk head.*float32"):
        generate(model, [1, 2, 3])
    assert generate(model, [1, 2, 3], num_thought_tokens=0) == want


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_gate_that_overflows_is_named(score: float) -> None:
    """NaN would pass for a closed gate. A request that does not ask the gate goes on."""
    model = make_toy(thinking=ThinkingRule(where="gate")).model
    everywhere = {"thinking": {"where": "everywhere"}}
    want = generate(model, [1, 2, 3], **everywhere)
    weight(model, "thought_parts.gate.bias").fill_(score)
    for speculation in ("auto", "off"):
        with pytest.raises(NotFiniteError, match=r"gate.*float32"):
            generate(model, [1, 2, 3], speculation=speculation)
    assert generate(model, [1, 2, 3], **everywhere) == want
    generate(model, [1, 2, 3], num_thought_tokens=0)


@pytest.mark.parametrize("vector", ["start_thought", "end_thought"])
def test_only_the_thoughts_states_are_nan(vector: str) -> None:
    model = make_toy().model
    want = generate(model, [1, 2, 3], num_thought_tokens=0)
    weight(model, f"thought_parts.{vector}")[0] = math.nan
    with pytest.raises(NotFiniteError):
        generate(model, [1, 2, 3])
    assert generate(model, [1, 2, 3], num_thought_tokens=0) == want
    # A thought that is skipped does not count.
    assert generate(model, [1, 2, 3], think_threshold=0.0) == want


def test_a_token_that_only_a_thought_samples() -> None:
    """Whichever place it has in the thought; the last one is fed together with the end vector."""
    model = make_toy().model
    thoughts = [
        thought.thought_token_ids
        for thought in LLM(model=model)
        .generate([[1, 2, 3]], SamplingParams(temperature=0.0, max_tokens=1))[0]
        .outputs[0]
        .thoughts
    ]
    want = generate(model, [1, 2, 3], num_thought_tokens=0)
    for place in range(3):
        token_id = thoughts[0][place]
        assert token_id not in (1, 2, 3)
        broken = make_toy().model
        break_embedding(broken, token_id)
        with pytest.raises(NotFiniteError):
            generate(broken, [1, 2, 3], max_tokens=1)
        if token_id not in want[:-1]:
            assert generate(broken, [1, 2, 3], num_thought_tokens=0) == want


def test_requests_of_the_same_batch_keep_their_text() -> None:
    requests = [request("long", 20, max_tokens=9), request("pair", 5, n=2), request("short", 2)]
    config: dict[str, Any] = {"max_rows": 7, "num_blocks": 40, "block_size": 4}
    want = run_requests(make_toy().model, requests, **config).texts
    bad = request("bad", 4, max_tokens=9, n=2)
    bad.prompt_token_ids[1] = BAD
    scored = request("scored", 6, prompt_logprobs=0)
    scored.prompt_token_ids[3] = BAD
    model = make_toy().model
    break_embedding(model)
    got = run_requests(model, [bad, *requests, scored], **config)
    assert set(got.errors) == {"bad", "scored"}
    assert got.finished == want


def test_a_prompt_position_matters_only_if_it_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last state of a prompt token has no effect on what follows."""
    model = make_toy().model
    prompt = [1, BAD, 2, 3]
    want = generate(model, prompt)
    break_last_state(monkeypatch, model)
    assert generate(model, prompt) == want
    with pytest.raises(NotFiniteError):
        generate(model, prompt, prompt_logprobs=0)
    with pytest.raises(NotFiniteError):  # as it does where it predicts a token
        generate(model, prompt[:2])


def test_the_tokens_before_the_fault_are_delivered() -> None:
    model = make_toy().model
    params = SamplingParams(seed=0, ignore_eos=True, max_tokens=30, num_thought_tokens=0)
    want = LLM(model=model).generate([[1, 2, 3]], params)[0].outputs[0].token_ids
    place = next(i for i in range(10, 30) if want[i] not in [1, 2, 3, *want[:i]])
    break_embedding(model, want[place])
    llm = LLM(model=model)
    stream = llm.stream([1, 2, 3], params)
    got = [token_id for _ in range(place + 1) for token_id in next(stream).outputs[0].token_ids]
    with pytest.raises(NotFiniteError):
        next(stream)
    assert got == want[: place + 1]
    llm.close()


@pytest.mark.parametrize("fields", [{"n": 2}, {"best_of": 3}, {"think_threshold": 0.4}])
def test_one_bad_completion_ends_its_request(fields: dict[str, Any]) -> None:
    """Only one of them samples the token; the candidates of `best_of` are not ranked then."""
    model = make_toy().model
    asked = request("r", seed=3, max_tokens=6, num_thought_tokens=1, **fields)
    texts = run_requests(model, [asked]).texts
    token_id = texts["r", 0][2]
    break_embedding(model, token_id)
    assert set(run_requests(model, [asked]).errors) == {"r"}


# --- drafts -------------------------------------------------------------------------------------


def fed_tokens(
    monkeypatch: pytest.MonkeyPatch, model: QuietStarModel, prompt: list[int]
) -> set[int]:
    """All tokens of the text, drafts included, that an engine feeds."""
    fed: set[int] = set()
    whole = LLMEngine._record

    def note(engine: LLMEngine, plan: Any, result: StepResult) -> None:
        batch: StepBatch = plan.batch
        rows = zip(batch.token_ids, batch.row_lanes, strict=True)
        fed.update(token_id for token_id, lane in rows if lane < 0)
        whole(engine, plan, result)

    with monkeypatch.context() as patch:
        patch.setattr(LLMEngine, "_record", note)
        generate(model, prompt, max_tokens=40, speculation=3)
    return fed


def test_a_dropped_draft_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_toy().model
    prompt = [1, 2, 3]
    output = (
        LLM(model=model)
        .generate([prompt], SamplingParams(temperature=0.0, ignore_eos=True, max_tokens=40))[0]
        .outputs[0]
    )
    used = {*prompt, *output.token_ids}
    used.update(each for thought in output.thoughts for each in thought.thought_token_ids)
    dropped = fed_tokens(monkeypatch, model, prompt) - used
    assert dropped, "every draft was right, so this shows nothing"
    for token_id in dropped:
        break_embedding(model, token_id)
    for speculation in (3, "off"):
        assert generate(model, prompt, max_tokens=40, speculation=speculation) == output.token_ids


@pytest.mark.parametrize("seed", range(40))
def test_every_schedule_ends_a_sequence_at_the_same_token(seed: int) -> None:
    """The tokens before the fault are those of the definition, which has no drafts."""
    draw = random.Random(seed)
    broken = frozenset(draw.sample(range(VOCAB_SIZE), 3))
    speculation: Speculation = draw.choice(["auto", "off", 1, 2, 9])
    driver = Driver(
        EngineConfig(
            speculation=speculation,
            block_size=draw.choice([1, 4]),
            max_rows=draw.choice([1, 5, 100]),
            scoring_positions=draw.choice([1, 3]),
        ),
        num_blocks=draw.choice([40, 200]),
        broken_ids=broken,
    )
    sequences = [
        make_sequence(
            [draw.randrange(VOCAB_SIZE) for _ in range(draw.randint(1, 6))],
            name=f"r{i}",
            num_thought_tokens=draw.choice([0, 1, 3]),
            max_tokens=12,
            seed=i,
            scores_prompt=draw.random() < 0.3,
        )
        for i in range(6)
    ]
    driver.add(*sequences)
    driver.run()
    for seq in sequences:
        assert driver.got[seq] == definition_of(seq, broken)
    assert any(got.is_faulty for got in driver.got.values())


# --- the engine's thread ------------------------------------------------------------------------


def test_it_is_logged_once_and_the_engine_continues(caplog: pytest.LogCaptureFixture) -> None:
    """However many requests fail one after the other, each in its first pass."""
    model = make_toy().model
    break_embedding(model)
    thread = AsyncEngine(LLMEngine(model))
    caplog.set_level(logging.INFO)

    def ask(token_ids: list[int]) -> RequestOutput | Exception:
        news: queue.Queue[RequestOutput | Exception] = queue.Queue()
        asked = request(f"r{len(answers)}", max_tokens=3, num_thought_tokens=0)
        asked.prompt_token_ids[:] = token_ids
        thread.submit([thread.admit(asked)], news.put)
        while not isinstance(item := news.get(timeout=30), Exception):
            if item.finished:
                break
        return item

    answers: list[RequestOutput | Exception] = []
    for token_ids in [[BAD]] * 6 + [[1, 2]]:
        answers.append(ask(token_ids))
    assert all(isinstance(answer, NotFiniteError) for answer in answers[:6])
    assert isinstance(answers[6], RequestOutput)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "not finite" in caplog.text
    assert "Traceback" not in caplog.text
    assert thread.stats().num_free_blocks == thread.stats().num_blocks
    thread.close()
