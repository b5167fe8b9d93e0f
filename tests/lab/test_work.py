"""What the processes of stages compute, against scripted models and slow references."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qstar_infer import LLM, SamplingParams
from qstar_infer.thinking_rule import ThinkingRule
from qstar_lab.corpus import write_corpus
from qstar_lab.errors import LabError
from qstar_lab.tasks.registry import find_task
from qstar_lab.work import check_base as check
from qstar_lab.work.examples import _spread
from qstar_lab.work.own_text import Counts
from qstar_lab.work.served import _compare

from ..parity.toy import make_toy
from .reference import solve

TASK = "digit_chains"


class Scholar:
    """Stands for an engine with a base that writes the whole working but for some questions."""

    def __init__(self, wrong: Sequence[str]) -> None:
        self._wrong = wrong
        self.tokenizer = SimpleNamespace(get_vocab=lambda: {"=": 36})
        self.params: list[SamplingParams] = []

    def generate(self, prompts: list[str], params: SamplingParams) -> list[Any]:
        self.params.append(params)
        texts = []
        for prompt in prompts:
            question, start = prompt[:-1], prompt[-1]
            assert start == ">"
            steps = solve(TASK, question)
            text = "".join(steps) + steps[-1] * (16 - len(steps))
            # One wrong step, the last, is enough to be wrong.
            texts.append(text[:-1] + "9" if question in self._wrong else text)
        return [SimpleNamespace(outputs=[SimpleNamespace(text=text)]) for text in texts]


def run_check(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, num_wrong: int
) -> tuple[Scholar, Path]:
    write_corpus(find_task(TASK), directory, seed=0, num_visible=1, num_direct=1, num_test=100)
    rows = [json.loads(line) for line in (directory / "test.jsonl").read_text().splitlines()]
    prompts = sorted({row["prompt"] for row in rows}, key=[row["prompt"] for row in rows].index)
    scholar = Scholar(prompts[:num_wrong])
    monkeypatch.setattr(check, "LLM", lambda *_, **__: scholar)
    check.check_base(
        result=str(directory / "working.json"),
        checkpoint="base",
        task=TASK,
        questions=str(directory / "test.jsonl"),
        least=0.95,
        steps=700,
    )
    return scholar, directory / "working.json"


def test_a_base_that_writes_the_working_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scholar, result = run_check(tmp_path, monkeypatch, num_wrong=3)
    values = json.loads(result.read_text())
    assert values["num_questions"] == 100
    assert values["share"][0] == pytest.approx(0.97, abs=0.011)  # short questions may repeat
    assert len(scholar.params) == 2  # batches of 64
    assert scholar.params[0].max_tokens == 16
    assert scholar.params[0].logit_bias == {36: -100.0}


def test_a_base_that_does_not_stops_the_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LabError) as caught:
        run_check(tmp_path, monkeypatch, num_wrong=40)
    assert "% of the held-out questions, and 95% are needed" in str(caught.value)
    assert "more than 700 steps" in str(caught.value)
    assert not (tmp_path / "working.json").exists()


@pytest.mark.parametrize("where", ["everywhere", "gate"])
def test_tokens_of_the_engine_are_compared_one_by_one(where: Any) -> None:
    """All are equal; after one is changed, the comparison finds that one at least."""
    toy = make_toy(thinking=ThinkingRule(where=where))
    definition = make_toy(thinking=ThinkingRule(where=where)).model
    llm = LLM(model=toy.model, max_num_seqs=4)
    params = SamplingParams(max_tokens=9, temperature=0.0, ignore_eos=True)
    outputs = llm.generate([[7, 8], [9], [1, 2, 3]], params)
    assert _compare(definition, outputs) == (27, 27)
    last = outputs[1].outputs[0].token_ids
    last[-1] = (last[-1] + 1) % 250
    assert _compare(definition, outputs) == (26, 27)


def test_agreement_is_of_judged_drafts() -> None:
    assert Counts(steps=9, tokens=5, accepted=3, rejected=1).agreement == 0.75
    assert Counts(steps=9, tokens=5, accepted=0, rejected=0).agreement is None


def test_examples_are_spread_over_sizes_and_not_chosen_otherwise() -> None:
    sizes = [5, 1, 2, 1, 4, 3, 5]
    assert _spread(sizes, 5) == [1, 2, 5, 4, 0]
    assert _spread(sizes, 3) == [1, 5, 0]
    assert _spread(sizes, 99) == [1, 2, 5, 4, 0]
    assert _spread(sizes, 1) == [0]
