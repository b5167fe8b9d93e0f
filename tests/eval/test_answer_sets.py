"""Answers to one's own questions: every number by the definition, one position at a time."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from qstar_eval.answer_sets import (
    AnswerQuestion,
    AnswerRecord,
    encode_questions,
    measure_answers,
)
from qstar_eval.shuffling import donors_of
from qstar_infer.errors import ConfigError, NotFiniteError, RequestError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import EVERYWHERE, ThinkingRule

from ..lab.toy_model import lab_tokenizer
from ..parity.slow_loop import Numbers, SlowLoop, log_sum_exp
from ..parity.toy import byte_tokenizer, make_toy
from ..tolerances import TOY_LOGPROBS, TOY_MIXING_WEIGHT
from .toys import slow_mix

GREEDY = SamplingParams(temperature=0.0)
ONE = [
    AnswerQuestion(prompt=prompt, answer=answer, group=str(len(prompt)), working=working)
    for prompt, answer, working in [
        ("1+1=", "2", "1then2"),
        ("2*3+4=", "0", "60"),
        ("7=", "7", None),
        ("9-4*8=", "0", "540!"),
        ("5+5=", "2", "5"),
    ]
]
"""Answers of one token."""
LONGER = [
    AnswerQuestion(prompt="1+1=", answer="two"),
    AnswerQuestion(prompt="Who?", answer="I"),
    AnswerQuestion(prompt="10*10 is ", answer="100"),
]
LOSS = 3 * TOY_LOGPROBS
"""Absolute error of the loss of an answer of three tokens."""


def ids_of(text: str) -> list[int]:
    ids: list[int] = byte_tokenizer()(text).input_ids
    return ids


def loss_of(logits: Numbers, token_id: int) -> float:
    return float(log_sum_exp(logits) - logits[token_id])


def test_a_longer_answer_is_measured_token_by_token_with_a_thought_before_each() -> None:
    toy = make_toy()
    loop = SlowLoop(toy.model, toy.stock)
    records = measure_answers(toy.model, LONGER, num_thought_tokens=3, temperature=0.0)
    for question, record in zip(LONGER, records, strict=True):
        tokens, base, mixed, weights, likely = ids_of(question.prompt), 0.0, 0.0, [], []
        for place, token in enumerate(ids_of(question.answer)):
            after = loop.decide(tokens, GREEDY, 3, seed=0)
            assert not after.is_near_tie, "choose another toy"
            if place == 0:
                assert record.thought_ids == after.thought
            base += loss_of(after.base, token)
            mixed += loss_of(after.mixed, token)
            weights.append(after.mixing_weight)
            likely.append(int(np.argmax(after.mixed)))
            tokens = [*tokens, token]
        assert record.base_loss == pytest.approx(base, abs=LOSS)
        assert record.mixed_loss == pytest.approx(mixed, abs=LOSS)
        assert abs(base - mixed) > 0.1, "the toy's thoughts should matter"
        mean = sum(weights) / len(weights)
        assert record.mixing_weight == pytest.approx(mean, abs=TOY_MIXING_WEIGHT)
        assert record.is_mixed_right == (likely == ids_of(question.answer))


@pytest.mark.parametrize("kind", ["sampled", "greedy", "random", "shuffled"])
def test_every_kind_mixes_the_thought_that_it_records(kind: str) -> None:
    toy = make_toy(seed=1)
    records = measure(toy.model, kind=kind, length=2)
    candidates = sorted({ids_of(question.answer)[0] for question in ONE})
    for question, record in zip(ONE, records, strict=True):
        answer = ids_of(question.answer)[0]
        base, mixed, weight = slow_mix(toy, ids_of(question.prompt), record.thought_ids)
        assert record.base_loss == pytest.approx(loss_of(base, answer), abs=TOY_LOGPROBS)
        assert record.mixed_loss == pytest.approx(loss_of(mixed, answer), abs=TOY_LOGPROBS)
        assert record.mixing_weight == pytest.approx(weight, abs=TOY_MIXING_WEIGHT)
        for logits, is_right, is_right_among in (
            (base, record.is_base_right, record.is_base_right_among),
            (mixed, record.is_mixed_right, record.is_mixed_right_among),
        ):
            assert is_right == (int(np.argmax(logits)) == answer)
            among = candidates[int(np.argmax(logits[candidates]))]
            assert is_right_among == (among == answer)
    assert len({record.thought for record in records}) > 1


def test_a_shuffled_thought_is_the_sampled_one_of_another_question() -> None:
    model = make_toy().model
    sampled = measure(model, kind="sampled")
    shuffled = measure(model, kind="shuffled")
    donors = donors_of(len(ONE), 7)
    assert [r.thought_ids for r in shuffled] == [sampled[donor].thought_ids for donor in donors]
    assert [r.mixed_loss for r in shuffled] != [r.mixed_loss for r in sampled]
    greedy = measure(model, kind="greedy")
    cold = measure(model, kind="sampled", temperature=0.0)
    assert greedy == cold


@pytest.mark.parametrize("count", [2, 3, 10, 1000])
def test_no_example_gets_its_own_thought_and_each_gives_its_own_once(count: int) -> None:
    donors = donors_of(count, seed=3)
    assert sorted(donors) == list(range(count))
    assert all(donor != index for index, donor in enumerate(donors))
    assert count < 10 or donors != donors_of(count, seed=4)


@pytest.mark.parametrize("kind", ["sampled", "random", "shuffled"])
def test_neither_batches_nor_the_choice_of_questions_change_a_record(kind: str) -> None:
    model = make_toy().model
    together = measure(model, kind=kind)
    for alone in (
        measure(model, kind=kind, batch_size=1),
        [measure(model, kind=kind, indices=[index])[0] for index in range(len(ONE))],
        measure(model, kind=kind, indices=[4, 2, 3, 1, 0], batch_size=2)[::-1],
    ):
        by_index = {record.index: record for record in alone}
        for record in together:
            same, other = asdict(record), asdict(by_index[record.index])
            for name in ("base_loss", "mixed_loss", "mixing_weight"):
                assert same.pop(name) == pytest.approx(other.pop(name), abs=TOY_LOGPROBS)
            assert same == other
    other_seed = measure(model, kind=kind, seed=8)
    assert [r.thought_ids for r in other_seed] != [r.thought_ids for r in together]


def test_an_answer_is_right_if_the_model_would_write_it() -> None:
    model = make_toy().model
    asked = [AnswerQuestion(prompt=f"{n}+{n}=", answer="2") for n in range(60)]
    written = [r.mixed_answer for r in measure_answers(model, asked, num_thought_tokens=2)]
    # Half a character, such as <E2>, cannot be written in a question.
    can_be_asked = [text.isascii() and len(text) == 1 for text in written]
    own = [
        AnswerQuestion(prompt=question.prompt, answer=text if can else "~")
        for question, text, can in zip(asked, written, can_be_asked, strict=True)
    ]
    records = measure_answers(model, own, num_thought_tokens=2)
    assert [record.is_mixed_right for record in records] == can_be_asked
    assert {record.is_mixed_right for record in records} == {True, False}
    assert all(r.is_mixed_right_among for r in records if r.is_mixed_right)


def test_the_working_is_the_thought() -> None:
    """The toy thinks random bytes, so a working is made of a thought that is ASCII."""
    model = make_toy().model
    prompts = [f"{number}+{number}=" for number in range(100)]
    asked = [AnswerQuestion(prompt=prompt, answer="2") for prompt in prompts]
    for record in measure_answers(model, asked, num_thought_tokens=2, seed=7):
        if record.thought.isascii() and len(record.thought) == 2:
            break
    else:
        pytest.fail("no thought of the toy is ASCII: choose another seed")
    first, second = record.thought[0], record.thought[1]
    shares = {}
    for working in (f"{first}{second}", f"{first}{second}more", first, f"{first}\n", "\n\n\n"):
        asked[record.index] = AnswerQuestion(
            prompt=prompts[record.index], answer="2", working=working
        )
        (found,) = measure_answers(
            model, asked, num_thought_tokens=2, seed=7, indices=[record.index]
        )
        assert found.thought == record.thought
        shares[working] = (found.working_share, found.is_working)
    assert list(shares.values()) == [(1, True), (1, True), (1, True), (0.5, False), (0, False)]


@pytest.mark.parametrize(
    "rule",
    [ThinkingRule(where="behind", tokens=("=",)), ThinkingRule(where="gate")],
    ids=["behind", "gate"],
)
def test_where_the_rule_does_not_think_the_base_decides(rule: ThinkingRule) -> None:
    toy = make_toy(thinking=rule)
    asked = [
        AnswerQuestion(prompt=f"{n}*{n}{end}", answer="4", working="1")
        for n in range(10)
        for end in "=?"
    ]
    records = measure_answers(toy.model, asked, num_thought_tokens=2, temperature=0.0)
    thinking = set()
    for question, record in zip(asked, records, strict=True):
        trace = toy.model.think(torch.tensor([ids_of(question.prompt)]), num_thought_tokens=2)
        thinks = bool(trace.is_thinking[0, -1])
        thinking.add(thinks)
        assert record.thought_ids == (trace.thought_ids[0, -1].tolist() if thinks else [])
        loss = -trace.logits[0, -1].log_softmax(-1)[ids_of("4")[0]]
        assert record.mixed_loss == pytest.approx(float(loss), abs=TOY_LOGPROBS)
        assert (record.mixed_loss == record.base_loss) == (not thinks)
        assert (record.mixing_weight == 0) == (record.is_working is None) == (not thinks)
    assert thinking == {True, False}
    for record in measure_answers(toy.model, asked, num_thought_tokens=2, thinking=EVERYWHERE):
        assert len(record.thought_ids) == 2
        assert record.mixed_loss != record.base_loss


def test_without_thoughts_the_base_is_all_there_is() -> None:
    for record in measure(make_toy().model, kind="sampled", length=0):
        assert record.mixed_loss == record.base_loss
        assert record.mixed_answer == record.base_answer
        assert (record.thought_ids, record.thought, record.mixing_weight) == ([], "", 0)
        assert record.is_working is None


def test_what_cannot_be_measured_is_refused() -> None:
    model = make_toy().model
    with pytest.raises(ConfigError, match="at least two examples, and there are 1"):
        measure_answers(model, ONE[:1], num_thought_tokens=1, thoughts="shuffled")
    with pytest.raises(ConfigError, match="question 1: .* the answer ''"):
        measure_answers(
            model, [ONE[0], AnswerQuestion(prompt="a", answer="")], num_thought_tokens=1
        )
    with pytest.raises(ConfigError, match="question 0 has a prompt without tokens"):
        measure_answers(model, [AnswerQuestion(prompt="", answer="a")], num_thought_tokens=1)
    plain = QuietStarModel(model.backbone, model.tokenizer)
    with pytest.raises(RequestError, match="no thought parts"):
        measure_answers(plain, ONE, num_thought_tokens=1)


def test_what_the_vocabulary_cannot_write_is_refused() -> None:
    """The unknown token was measured in its place, and thoughts seemed to learn it."""
    known = AnswerQuestion(prompt="4+1...............?", answer="5", working="55")
    assert len(encode_questions(lab_tokenizer(), [known])[0].answer_ids) == 1
    for part in ({"answer": "7"}, {"answer": " 5"}, {"answer": "5<eos>"}, {"working": "5x"}):
        with pytest.raises(ConfigError, match="question 1: the vocabulary has no token for a part"):
            encode_questions(lab_tokenizer(), [known, replace(known, **part)])


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    model = make_toy().model
    with torch.no_grad():
        model.backbone.lm_head.weight[0].fill_(math.nan)
    with pytest.raises(NotFiniteError, match="the answer to question 2 has a loss that is"):
        measure_answers(model, ONE, num_thought_tokens=1)


def measure(
    model: QuietStarModel,
    *,
    kind: str,
    length: int = 3,
    temperature: float = 1.0,
    seed: int = 7,
    batch_size: int = 256,
    indices: list[int] | None = None,
) -> list[AnswerRecord]:
    return measure_answers(
        model,
        ONE,
        num_thought_tokens=length,
        thoughts=kind,  # type: ignore[arg-type]
        temperature=temperature,
        seed=seed,
        batch_size=batch_size,
        indices=indices,
    )
