"""What goes wrong in llama.cpp ends the requests of that pass, and no others."""

import dataclasses
import gc
import time
from typing import Any

import numpy as np
import psutil
import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.engine.failure import RequestFailure
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.errors import NotFiniteError
from qstar_infer.llm import LLM
from qstar_infer.runner.llama_cpp import llama_cpp_runner
from qstar_infer.runner.llama_cpp.context import LlamaContext
from qstar_infer.runner.llama_cpp.model import LlamaCppModel
from qstar_infer.runner.llama_cpp.passes import Pass
from qstar_infer.sampling_params import SamplingParams

from ...engine.run_requests import request, run_requests
from ...parity.toy import make_toy
from .toys import exact, needs_llama_cpp

pytestmark = needs_llama_cpp


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LlamaCppModel:
    return exact(make_toy().model, tmp_path_factory.mktemp("model") / "toy")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite_end_their_request(
    value: float, model: LlamaCppModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the third pass; the request that comes later gets its text."""
    expected = run_requests(model, [request("late", 4)], num_blocks=64).texts
    plain, calls = LlamaContext.logits, []

    def damaged(context: LlamaContext, count: int) -> Any:
        logits = plain(context, count)
        calls.append(count)
        if len(calls) == 3:
            logits[:, 7] = value
        return logits

    monkeypatch.setattr(LlamaContext, "logits", damaged)
    failure, text = _one_fails(model)
    assert isinstance(failure.error, NotFiniteError)
    assert text == expected["late", 0]


@pytest.mark.parametrize(("status", "name"), [(1, "MemoryError"), (2, "RuntimeError")])
def test_a_failed_pass_ends_its_requests(
    status: int, name: str, model: LlamaCppModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`llama_decode` returns a status once, in the third pass."""
    expected = run_requests(model, [request("late", 4)], num_blocks=64).texts
    plain, calls = LlamaContext.decode, []

    def failing(context: LlamaContext, rows: Pass, *, needs_states: bool) -> None:
        calls.append(rows)
        if len(calls) != 3:
            plain(context, rows, needs_states=needs_states)
            return
        library = context._library
        with monkeypatch.context() as once:
            once.setattr(library, "llama_decode", lambda *_: status)
            plain(context, rows, needs_states=needs_states)

    monkeypatch.setattr(LlamaContext, "decode", failing)
    failure, text = _one_fails(model)
    assert type(failure.error.__cause__).__name__ == name
    assert text == expected["late", 0]


def test_cells_that_run_out_end_the_requests_of_that_pass(
    model: LlamaCppModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool thinks that there is more room than llama.cpp has: 256 cells."""
    expected = run_requests(model, [request("late", 4)], num_blocks=64).texts
    monkeypatch.setattr(llama_cpp_runner, "_SPARE_CELLS", 256 - 64 * 16)
    engine = LLMEngine(
        model, EngineConfig(num_blocks=64, block_size=16, max_num_seqs=2, max_rows=64)
    )
    for name in ("a", "b"):
        engine.add_request(engine.admission.admit(request(name, 150, max_tokens=50)))
    failures, _ = _drain(engine)
    assert failures
    assert all(isinstance(each.error.__cause__, MemoryError) for each in failures)
    engine.add_request(engine.admission.admit(request("late", 4)))
    failures, texts = _drain(engine)
    assert not failures
    assert texts["late"] == expected["late", 0]
    engine.check_idle()
    engine.close()


def test_rows_that_fill_up_a_pass_change_nothing(
    model: LlamaCppModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts and log-probabilities with passes of 4, 8, ... rows are those without."""
    params = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True, logprobs=1)
    prompts = [[5, 6, 7, 8], [9, 10, 11]]
    llm = LLM(model=model, num_blocks=64)
    wanted = [each.outputs[0] for each in llm.generate(prompts, params)]
    llm.close()
    filled = []
    plain = Pass.fill_up

    def noted(rows: Pass, count: int, text: int) -> None:
        filled.append(count)
        plain(rows, count, text)

    monkeypatch.setattr(Pass, "fill_up", noted)
    wide = dataclasses.replace(model, row_multiple=4)
    llm = LLM(model=wide, num_blocks=64)
    got = [each.outputs[0] for each in llm.generate(prompts, params)]
    assert filled
    for one, other in zip(got, wanted, strict=True):
        assert one.token_ids == other.token_ids
        assert [each.logprob for each in one.thoughts] == pytest.approx(
            [each.logprob for each in other.thoughts], abs=1e-5
        )
    llm.close()


def test_an_idle_engine_uses_no_cpu(model: LlamaCppModel) -> None:
    llm = LLM(model=model, num_blocks=64)
    llm.generate([[5, 6, 7]], SamplingParams(max_tokens=4, ignore_eos=True))
    process = psutil.Process()
    before = process.cpu_times()
    time.sleep(1)
    after = process.cpu_times()
    assert after.user + after.system - before.user - before.system < 0.2
    llm.close()


def test_close_gives_the_memory_back(model: LlamaCppModel) -> None:
    """A cache of 64 MB, made ten times: five of them would be 320 MB."""
    config = EngineConfig(num_blocks=16 * 1024, block_size=16, max_num_seqs=2)

    def cycle() -> int:
        engine = LLMEngine(model, config)
        engine.add_request(engine.admission.admit(request("a")))
        _drain(engine)
        engine.close()
        gc.collect()
        return int(psutil.Process().memory_info().rss)

    first = [cycle() for _ in range(3)][-1]
    last = [cycle() for _ in range(5)][-1]
    assert last - first < 32 * 2**20


def _one_fails(model: LlamaCppModel) -> tuple[RequestFailure, list[int]]:
    """The failure of one request, and the text of another that comes after it."""
    engine = LLMEngine(model, EngineConfig(num_blocks=64, max_num_seqs=4))
    engine.add_request(engine.admission.admit(request("early", 3)))
    (failure,), _ = _drain(engine)
    engine.add_request(engine.admission.admit(request("late", 4)))
    failures, texts = _drain(engine)
    assert failure.request_id == "early"
    assert not failures
    engine.check_idle()
    engine.close()
    return failure, texts["late"]


def _drain(engine: LLMEngine) -> tuple[list[RequestFailure], dict[str, list[int]]]:
    failures: list[RequestFailure] = []
    texts: dict[str, list[int]] = {}
    while engine.has_work:
        for news in engine.step():
            if isinstance(news, RequestFailure):
                failures.append(news)
                continue
            for output in news.outputs:
                texts.setdefault(news.request_id, []).extend(output.token_ids)
    return failures, texts
