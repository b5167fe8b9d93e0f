"""A saved run tells the whole truth: the server would do the same with its request."""

from pathlib import Path

import pytest
from qstar_server.endpoints.chat.protocol import ChatCompletionRequest
from qstar_server.endpoints.completions.protocol import CompletionRequest

from qstar_infer.cli.recording import run_of, with_alternatives
from qstar_infer.llm import LLM
from qstar_infer.outputs import CompletionOutput
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.saved_run import SavedRun, read_saved_runs, write_saved_runs
from qstar_infer.thinking_rule import ThinkingRule

from ..parity.toy import make_toy

OTHERS = SamplingDefaults(temperature=0.1, top_k=3, top_p=0.2, min_p=0.3, repetition_penalty=2.0)
"""Defaults of another checkpoint. They must not change what a request says."""


def run_with(params: SamplingParams, **prompt: object) -> SavedRun:
    answer = CompletionOutput(index=0)
    return run_of(answer, params, model="m", prompt=prompt, num_prompt_tokens=2, seconds=1.0)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(),
        SamplingParams(temperature=0.7, top_p=0.5, top_k=4, seed=7, max_tokens=128),
        SamplingParams(num_thought_tokens=2, thought_temperature=0.5, think_threshold=0.9),
        SamplingParams(thinking=ThinkingRule(where="behind", tokens=("?", 3))),
        with_alternatives(SamplingParams(min_p=0.1)),
    ],
)
def test_the_server_reads_the_same_parameters(params: SamplingParams) -> None:
    run = run_with(params, prompt="Where?")
    request = CompletionRequest.model_validate(run.request)
    assert request.to_sampling_params(OTHERS) == params
    assert request.show_thoughts
    assert (run.endpoint, run.request["prompt"]) == ("completions", "Where?")


def test_the_request_of_a_chat_has_its_messages() -> None:
    messages = [{"role": "user", "content": "Where?"}]
    run = run_with(with_alternatives(SamplingParams(temperature=0.5)), messages=messages)
    request = ChatCompletionRequest.model_validate(run.request)
    assert (run.endpoint, request.temperature, len(request.messages)) == ("chat", 0.5, 1)


def test_an_answer_of_the_real_engine_is_read_as_it_was_written(tmp_path: Path) -> None:
    """With bytes that are no characters, and with the most likely tokens."""
    params = with_alternatives(SamplingParams(max_tokens=20, seed=1, temperature=1.5))
    (output,) = LLM(model=make_toy().model).generate("Pâté de ", params)
    run = run_of(
        output.outputs[0],
        params,
        model="toy",
        prompt={"prompt": "Pâté de "},
        num_prompt_tokens=len(output.prompt_token_ids),
        seconds=1.0,
    )
    write_saved_runs(tmp_path / "run.json", [run])
    assert read_saved_runs(tmp_path / "run.json") == [run]
    top = run.choices[0].thoughts[0].top_logprobs
    assert top is not None
    assert len(top) == 5
