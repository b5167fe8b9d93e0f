"""Measures the steps of an engine: how long they take, and how often drafts are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.fleet.cost import StepSize
from qstar_infer.bench.prompts import make_prompt
from qstar_infer.checkpoint.load import load_from_args
from qstar_infer.engine.build_runner import AnyModel
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.engine.sizing import prefill_rows
from qstar_infer.engine_args import EngineArgs
from qstar_infer.outputs import EngineStats
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.wavefront.rows import StepPlan

_PROMPT_TOKENS = (16, 64, 200, 32)
"""Of the sequences of a batch, in turns; different, so that contexts and rows differ."""


class TimedEngine(LLMEngine):
    """Notes size and time of each step, as its metrics count it.

    Attributes:
        steps: sizes and seconds.
    """

    def __init__(self, model: AnyModel, args: EngineArgs) -> None:
        super().__init__(model, args.engine)
        self.steps: list[tuple[StepSize, float]] = []

    def _note_step(self, plan: StepPlan, seconds: float) -> None:
        super()._note_step(plan, seconds)
        self.steps.append((StepSize.of(plan.batch), seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSteps:
    """What an engine has shown."""

    name: str
    num_thought_tokens: int
    prefill_rows: int
    """Most rows of prompts in a step while others decode."""
    num_blocks: int
    agreement: float
    """Share of right drafts of sequences that think, over all that were fed."""
    steps: list[tuple[StepSize, float]]


def measure_steps(
    args: EngineArgs, *, batches: Sequence[int], max_tokens: int, seed: int
) -> MeasuredSteps:
    """Run batches of these sizes, thinking and not, twice; the first round warms up.

    Each batch but the first of a round adds its sequences one by one, so that steps of all numbers
    of rows occur.
    """
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    model = load_from_args(args)
    engine = TimedEngine(model, args)
    before = engine.stats()
    for round_number in range(2):
        engine.steps.clear()
        for number, size in enumerate(batches):
            for length in (engine.model_info.num_thought_tokens, 0):
                _run_batch(engine, size, length, max_tokens, seed + 100 * round_number + number)
    stats = engine.stats()
    engine.close()
    return MeasuredSteps(
        name=engine.model_info.name,
        num_thought_tokens=engine.model_info.num_thought_tokens,
        prefill_rows=prefill_rows(model, args.engine),
        num_blocks=stats.num_blocks,
        agreement=_agreement(before, stats),
        steps=list(engine.steps),
    )


def _run_batch(
    engine: TimedEngine, size: int, num_thought_tokens: int, max_tokens: int, seed: int
) -> None:
    params = SamplingParams(
        temperature=0.0,
        max_tokens=max_tokens,
        ignore_eos=True,
        num_thought_tokens=num_thought_tokens,
    )
    for number in range(size):
        length = _PROMPT_TOKENS[number % len(_PROMPT_TOKENS)]
        prompt = make_prompt(engine.token_text.encode, length, seed=1000 * seed + number)
        request = EngineRequest(
            request_id=f"{seed}-{num_thought_tokens}-{number}",
            prompt_token_ids=prompt,
            params=params,
            show_thoughts=False,
        )
        engine.add_request(engine.admission.admit(request))
        engine.step()
    while engine.has_work:
        engine.step()


def _agreement(before: EngineStats, after: EngineStats) -> float:
    accepted = after.accepted - before.accepted
    rejected = after.rejected - before.rejected
    return accepted / max(1, accepted + rejected)
