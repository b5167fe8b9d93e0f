"""A step is a message: it can be recorded, and another process gets the same result from it."""

import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from qstar_infer.config import EngineConfig
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.step import StepBatch, StepResult

from ..parity.toy import make_toy
from .replay_steps import Recording

ROOT = Path(__file__).parents[2]
NUM_BLOCKS = 60
CONFIG = EngineConfig(block_size=4, max_rows=9, num_blocks=NUM_BLOCKS, speculation=3)
REQUESTS = [
    SamplingParams(temperature=0.0, max_tokens=8, ignore_eos=True),
    SamplingParams(
        seed=5,
        max_tokens=9,
        ignore_eos=True,
        top_k=40,
        top_p=0.9,
        min_p=0.01,
        logprobs=3,
        thought_top_logprobs=2,
        n=2,
    ),
    SamplingParams(
        seed=6,
        max_tokens=7,
        min_tokens=2,
        repetition_penalty=1.2,
        presence_penalty=0.5,
        frequency_penalty=0.3,
        logit_bias={65: 2.0, 7: -1.5},
        num_thought_tokens=1,
        think_threshold=0.3,
    ),
    SamplingParams(seed=7, max_tokens=3, prompt_logprobs=2, num_thought_tokens=5),
]


@dataclass(frozen=True, kw_only=True)
class Run:
    """The steps that an engine gave to its runner, and their results."""

    recording: Recording
    results: list[bytes]


@pytest.fixture(scope="module")
def run() -> Run:
    """A run in which all requests finished."""
    engine = LLMEngine(make_toy("mistral").model, CONFIG)
    batches, results = [], []
    run_step = engine._runner.run

    def record(batch: StepBatch) -> StepResult:
        batches.append(msgspec.msgpack.encode(batch))
        assert msgspec.msgpack.decode(batches[-1], type=StepBatch) == batch
        result = run_step(batch)
        results.append(msgspec.msgpack.encode(result))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine._runner, "run", record)
        for i, params in enumerate(REQUESTS):
            prompt = [(i * 31 + j * 7) % 256 for j in range(5 + 3 * i)]
            request = EngineRequest(request_id=str(i), prompt_token_ids=prompt, params=params)
            engine.add_request(engine.admission.admit(request))
        while engine.has_work:
            engine.step()
    recording = Recording(
        architecture="mistral",
        num_blocks=NUM_BLOCKS,
        block_size=CONFIG.block_size,
        num_lanes=engine._scheduler.memory.lane_slots.num_slots,
        batches=batches,
    )
    return Run(recording=recording, results=results)


def test_another_process_gets_the_same_results_from_recorded_steps(
    run: Run, tmp_path: Path
) -> None:
    steps, results = tmp_path / "steps", tmp_path / "results"
    steps.write_bytes(msgspec.msgpack.encode(run.recording))
    command = [sys.executable, "-m", "tests.engine.replay_steps", str(steps), str(results)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert msgspec.msgpack.decode(results.read_bytes(), type=list[bytes]) == run.results


def test_the_recorded_steps_contain_every_kind_of_work(run: Run) -> None:
    """Otherwise the test above would prove little."""
    batches = [msgspec.msgpack.decode(each, type=StepBatch) for each in run.recording.batches]
    picks = [pick for batch in batches for pick in batch.base_picks + batch.target_picks]
    assert any(batch.target_picks and batch.thought_picks for batch in batches)
    assert any(len(batch.sequences) > 2 for batch in batches)
    assert any(pick.known_id is not None for pick in picks)
    assert any(pick.history and pick.banned_ids and pick.logit_bias for pick in picks)
    assert any(pick.top_k and pick.top_p < 1 and pick.num_top_logprobs for pick in picks)
    assert any(pick.num_base_top_logprobs for pick in picks)


def test_messages_round_trip_through_msgpack_and_pickle(run: Run) -> None:
    for written in run.recording.batches:
        batch = msgspec.msgpack.decode(written, type=StepBatch)
        assert msgspec.msgpack.encode(batch) == written
        assert pickle.loads(pickle.dumps(batch)) == batch
    for written in run.results:
        result = msgspec.msgpack.decode(written, type=StepResult)
        assert msgspec.msgpack.encode(pickle.loads(pickle.dumps(result))) == written


def test_messages_import_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import qstar_infer.step as s; s.StepBatch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
