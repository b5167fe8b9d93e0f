"""Held-out text: where the model thinks, whose thoughts it gets, and the places that matter."""

import logging

import numpy as np
import pytest
import torch

from qstar_eval.bootstrap import Bootstrap
from qstar_eval.shuffling import donors_of
from qstar_eval.task import Record
from qstar_infer.errors import ConfigError
from qstar_infer.thinking_rule import EVERYWHERE, ThinkingRule

from ..parity.slow_loop import log_sum_exp
from ..parity.toy import make_toy
from ..tolerances import TOY_LOGPROBS
from .toys import held_out, measure_all, slow_mix, target_of

SPACE = "\u0120"
"""How a byte-level tokenizer names the space."""
RULES = [ThinkingRule(where="behind", tokens=(SPACE, "a")), ThinkingRule(where="gate")]


@pytest.mark.parametrize("rule", RULES, ids=["behind", "gate"])
def test_where_the_rule_does_not_think_the_base_decides(rule: ThinkingRule) -> None:
    """`think` is the definition; the thoughts are greedy, which no seed changes."""
    model = make_toy(thinking=rule).model
    records = measure_all(held_out(), target_of(model, kind="greedy"), batch_size=4)
    found = set()
    for record in records[:-1]:  # the last one is a single token
        trace = model.think(torch.tensor([record["token_ids"]]), num_thought_tokens=3)
        for p, thinks in enumerate(trace.is_thinking[0, :-1].tolist()):
            found.add(thinks)
            thought = trace.thought_ids[0, p].tolist() if thinks else []
            assert record["thought_ids"][p] == thought
            assert (record["thoughts"][p] == "") == (not thinks)
            assert (record["mixed_losses"][p] == record["base_losses"][p]) == (not thinks)
            assert (record["mixing_weights"][p] == 0) == (not thinks)
    assert found == {True, False}


def test_everywhere_replaces_the_rule() -> None:
    silent, plain = make_toy(thinking=RULES[0]).model, make_toy().model
    target = target_of(silent, thinking=EVERYWHERE)
    assert measure_all(held_out(), target, batch_size=4) == measure_all(
        held_out(), target_of(plain), batch_size=4
    )


def test_shuffled_thoughts_are_those_of_another_document() -> None:
    toy = make_toy()
    sampled = measure_all(held_out(), target_of(toy.model), batch_size=4)
    shuffled = measure_all(held_out(), target_of(toy.model, kind="shuffled"), batch_size=2)
    donors = donors_of(len(sampled), 7)
    for record in shuffled[:-1]:
        donor = donors[record["index"]]
        if not sampled[donor]["thought_ids"]:  # a single token has no thoughts; the next one has
            donor = donors[donor]
        given = sampled[donor]["thought_ids"]
        for p, thought in enumerate(record["thought_ids"]):
            assert thought == given[p % len(given)]
        p = len(record["thought_ids"]) - 1
        ids = record["token_ids"]
        _, mixed, _ = slow_mix(toy, ids[: p + 1], record["thought_ids"][p])
        loss = log_sum_exp(mixed) - mixed[ids[p + 1]]
        # The record's loss gives the delimiters their small share.
        assert record["mixed_losses"][p] == pytest.approx(loss, abs=0.03)


def test_a_document_without_another_cannot_be_shuffled() -> None:
    target = target_of(make_toy().model, kind="shuffled")
    with pytest.raises(ConfigError, match="need another document of two tokens"):
        held_out(["It rains.", "a"]).measure(target, [0])
    with pytest.raises(ConfigError, match="at least two examples"):
        held_out(["It rains."]).measure(target, [0])


def by_hand(records: list[Record], name: str, marker: int) -> float:
    """The mean loss of tokens whose predecessor is the marker."""
    losses = [
        loss
        for record in records
        for before, loss in zip(record["token_ids"], record[name], strict=False)
        if before == marker
    ]
    return float(np.mean(losses))


def test_figures_behind_a_marker_are_those_of_the_tokens_there() -> None:
    model = make_toy().model
    marker = model.tokenizer.get_vocab()[SPACE]
    records = measure_all(held_out(behind=[SPACE]), target_of(model, kind="greedy"), batch_size=4)
    right = {"base": [], "mixed": []}  # type: dict[str, list[bool]]
    for record in records:
        ids = torch.tensor([record["token_ids"]])
        trace = model.think(ids, num_thought_tokens=3)
        places = [p for p, token in enumerate(record["token_ids"][:-1]) if token == marker]
        assert record.get("behind", []) == places
        base = model.mask_delimiters(trace.base_logits)
        right["base"] += [int(base[0, p].argmax()) == int(ids[0, p + 1]) for p in places]
        right["mixed"] += [int(trace.logits[0, p].argmax()) == int(ids[0, p + 1]) for p in places]
    figures = held_out(behind=[SPACE]).summarise(records, Bootstrap())
    for name in ("base", "mixed"):
        loss = by_hand(records, f"{name}_losses", marker)
        assert figures[f"loss_{name}_behind"].value == pytest.approx(loss)
        assert figures[f"accuracy_{name}_behind"].value == pytest.approx(np.mean(right[name]))
    gain = figures["loss_base_behind"].value - figures["loss_mixed_behind"].value
    assert figures["gain_behind"].value == pytest.approx(gain)


def test_a_text_that_the_model_would_write_is_right_behind_its_markers() -> None:
    """The toy seldom predicts a true token, so the text is what it predicts."""
    model = make_toy().model
    words = [f"{letter} " for letter in "abcdefghijklmnop"]
    target = target_of(model, kind="greedy")
    texts = []
    for word in words:
        ids = torch.tensor([model.tokenizer(word).input_ids])
        likely = int(model.think(ids, num_thought_tokens=3).logits[0, -1].argmax())
        texts.append(f"{word}{model.tokenizer.decode([likely])}")
    records = measure_all(held_out(texts, behind=[SPACE]), target, batch_size=4)
    right = [record["mixed_right"][0] for record in records]
    said = [len(record["token_ids"]) == 3 for record in records]  # one byte, so ASCII
    assert right == said
    assert any(said)


def test_differences_behind_a_marker_are_paired() -> None:
    model = make_toy().model
    task = held_out(behind=[SPACE])
    ours = measure_all(task, target_of(model), batch_size=4)
    others = measure_all(task, target_of(model, kind="random"), batch_size=4)
    found = task.compare(ours, others, Bootstrap())
    one, two = (task.summarise(records, Bootstrap()) for records in (ours, others))
    for name in ("loss_mixed_behind", "gain_behind", "accuracy_mixed_behind"):
        assert found[name].value == pytest.approx(one[name].value - two[name].value)
    assert found["loss_base_behind"].value == pytest.approx(0, abs=TOY_LOGPROBS)


def test_markers_that_are_not_there_are_named(caplog: pytest.LogCaptureFixture) -> None:
    target = target_of(make_toy().model)
    with pytest.raises(ConfigError, match="no token 'nowhere'.* Name tokens of the vocabulary"):
        held_out(behind=["nowhere"]).measure(target, [0])
    task = held_out(behind=["~"])
    figures = task.summarise(measure_all(task, target, batch_size=4), Bootstrap())
    assert "loss_base_behind" not in figures
    with caplog.at_level(logging.WARNING):
        task.summarise(measure_all(task, target, batch_size=4), Bootstrap())
    assert "texts: no token is behind ~." in caplog.messages
