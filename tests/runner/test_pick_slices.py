"""Logits are computed for a few picks at a time, with the same results."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from qstar_infer import LLM, RequestOutput, SamplingParams
from qstar_infer.decoder.build import build_decoder
from qstar_infer.decoder.decoder import Decoder
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.runner import forward_pass
from qstar_infer.runner import pick_slices as module
from qstar_infer.runner.pick_slices import pick_slices
from qstar_infer.step import StepBatch, ThoughtPick, VisiblePick

from ..parity.toy import VOCAB_SIZE, make_toy
from ..tolerances import TOY_LOGPROBS

ROW_BYTES = 4 * VOCAB_SIZE
PROMPT = [(7 * index) % 250 for index in range(40)]
SCORED = SamplingParams(seed=5, max_tokens=2, prompt_logprobs=2, thought_temperature=0.9)
STREAM = SamplingParams(seed=6, max_tokens=20, logprobs=2, ignore_eos=True)


@pytest.mark.parametrize("most", [1, 2, 3, 4, 9, 10, 100])
def test_slices_cover_all_picks_in_order(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(module, "MOST_LOGITS_BYTES", most * ROW_BYTES)
    batch = StepBatch(
        block_size=16,
        base_picks=[VisiblePick(row=row, seed=0, position=0) for row in (0, 2, 4)],
        thought_picks=[
            ThoughtPick(row=row, temperature=1.0, seed=0, position=0, stream_index=1)
            for row in (1, 3, 5, 6, 7)
        ],
        target_picks=[VisiblePick(row=row, seed=0, position=0) for row in (8, 9)],
    )
    slices = list(pick_slices(batch, vocab_size=VOCAB_SIZE))
    rows = [
        [
            *(p.row for p in each.base),
            *(p.row for p in each.targets),
            *(p.row for p in each.thoughts),
        ]
        for each in slices
    ]
    assert sum(rows, []) == batch.pick_rows
    assert [batch.pick_rows[each.span] for each in slices] == rows
    assert max(map(len, rows)) <= most
    assert sum([list(each.base) for each in slices], []) == batch.base_picks


def test_a_step_without_picks_has_no_slices() -> None:
    assert list(pick_slices(StepBatch(block_size=16), vocab_size=VOCAB_SIZE)) == []


@pytest.fixture
def num_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of rows of logits in each computation of the output layer, in order."""
    counts: list[int] = []

    def build_and_watch(model: QuietStarModel) -> Decoder:
        decoder = build_decoder(model)
        compute: Callable[[Tensor], Tensor] = decoder.logits

        def logits(hidden: Tensor) -> Tensor:
            counts.append(len(hidden))
            return compute(hidden)

        monkeypatch.setattr(decoder, "logits", logits)
        return decoder

    monkeypatch.setattr(forward_pass, "build_decoder", build_and_watch)
    return counts


def test_the_logits_of_a_scored_prompt_are_bounded_by_bytes(
    num_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_LOGITS_BYTES", 8 * ROW_BYTES)
    toy = make_toy()
    llm = LLM(model=toy.model)
    (output,) = llm.generate([PROMPT], SCORED)
    llm.close()
    assert max(num_rows) == 8
    trace = toy.model.think(torch.tensor([PROMPT]), num_thought_tokens=3, temperature=0.9, seed=5)
    logprobs = trace.logits[0].log_softmax(-1)
    assert output.prompt_logprobs is not None
    for anchor, entry in enumerate(output.prompt_logprobs[1:]):
        assert entry is not None
        want = float(logprobs[anchor, PROMPT[anchor + 1]])
        assert entry[PROMPT[anchor + 1]].logprob == pytest.approx(want, abs=TOY_LOGPROBS)


def test_streams_and_scores_are_the_same_in_slices_of_any_size(
    num_rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(most: int) -> list[RequestOutput]:
        monkeypatch.setattr(module, "MOST_LOGITS_BYTES", most * ROW_BYTES)
        llm = LLM(model=make_toy().model, speculation=2)
        outputs = llm.generate([PROMPT[:9], PROMPT[:9], PROMPT], [STREAM, STREAM, SCORED])
        llm.close()
        return outputs

    whole = run(1000)
    assert max(num_rows) > 30
    for most in (2, 5):
        num_rows.clear()
        for got, want in zip(run(most), whole, strict=True):
            assert got.outputs[0].token_ids == want.outputs[0].token_ids
            thoughts = [each.thought_token_ids for each in got.outputs[0].thoughts]
            assert thoughts == [each.thought_token_ids for each in want.outputs[0].thoughts]
        assert max(num_rows) == most
