"""Losses of held-out text: against transformers, for any batch, without a talk head."""

import json

import numpy as np
import pytest
import torch

from qstar_eval.bootstrap import Bootstrap
from qstar_infer.errors import CheckpointError, ConfigError

from ..parity.toy import make_toy
from ..tolerances import TOY_LOGPROBS, TOY_MIXING_WEIGHT
from .toys import TEXTS, held_out, measure_all, silence_talk_head, target_of


def test_base_loss_is_that_of_transformers() -> None:
    toy = make_toy()
    records = measure_all(held_out(), target_of(toy.model), batch_size=4)
    measured = [record for record in records if record["base_losses"]]
    assert len(measured) == 4
    for record in measured:
        ids = torch.tensor([record["token_ids"]])
        loss = toy.stock(ids, labels=ids).loss.detach()
        assert np.mean(record["base_losses"]) == pytest.approx(float(loss), abs=TOY_LOGPROBS)


def test_mixed_loss_is_that_of_the_oracle_with_its_own_thoughts() -> None:
    """Greedy thoughts, which no seed changes; `think` is the definition.

    Its logits have no delimiters, which have a little of the probability in a loss.
    """
    model = make_toy().model
    task, target = held_out(), target_of(model)
    greedy = type(target.mode)(num_thought_tokens=3, temperature=0.0)
    target = type(target)(label="toy", model=model, llm=target.llm, mode=greedy, seed=target.seed)
    (record,) = task.measure(target, [0])
    ids = torch.tensor([record["token_ids"]])
    trace = model.think(ids, num_thought_tokens=3, temperature=0.0)
    losses = -trace.logits.cpu().log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    assert record["mixed_losses"] == pytest.approx(losses.tolist(), abs=0.03)
    assert record["thought_ids"] == trace.thought_ids[0, :-1].tolist()
    weights = trace.mixing_weight[0, :-1].tolist()
    assert record["mixing_weights"] == pytest.approx(weights, abs=TOY_MIXING_WEIGHT)


@pytest.mark.parametrize("kind", ["sampled", "random"])
def test_batches_change_nothing(kind: str) -> None:
    """Float tolerance: padding changes the order of sums, not what is summed."""
    target = target_of(make_toy().model, kind=kind)
    alone = measure_all(held_out(), target, batch_size=1)
    together = measure_all(held_out(), target, batch_size=4)
    for one, other in zip(alone, together, strict=True):
        assert one["token_ids"] == other["token_ids"]
        assert one["thought_ids"] == other["thought_ids"]
        for name in ("base_losses", "mixed_losses", "mixing_weights"):
            assert one[name] == pytest.approx(other[name], abs=TOY_LOGPROBS)


def test_without_a_talk_head_mixed_is_base_exactly() -> None:
    model = make_toy().model
    silence_talk_head(model)
    records = measure_all(held_out(), target_of(model), batch_size=4)
    assert all(record["mixed_losses"] == record["base_losses"] for record in records)
    figures = held_out().summarise(records, Bootstrap())
    assert figures["loss_mixed"] == figures["loss_base"]
    assert (figures["gain"].value, figures["gain"].low, figures["gain"].high) == (0, 0, 0)


def test_without_thoughts_mixed_is_base_exactly() -> None:
    (record,) = held_out().measure(target_of(make_toy().model, length=0), [0])
    assert record["mixed_losses"] == record["base_losses"]
    assert set(record["mixing_weights"]) == {0.0}
    assert record["thoughts"] == [""] * 19


def test_examples_are_documents_with_text_longest_first() -> None:
    task = held_out(max_tokens=10)
    records = measure_all(task, target_of(make_toy().model), batch_size=3)
    assert [record["document"] for record in records] == [1, 5, 0, 3, 4]
    assert [record["index"] for record in records] == list(range(5))
    assert [len(record["token_ids"]) for record in records] == [10, 10, 10, 10, 1]
    assert records[4]["base_losses"] == records[4]["thoughts"] == []
    assert "".join(records[0]["tokens"]) == TEXTS[1][:10]


def test_records_keep_float32_through_json() -> None:
    (record,) = held_out().measure(target_of(make_toy().model), [0])
    kept = json.loads(json.dumps(record))
    assert kept == record
    for value in kept["base_losses"]:
        assert str(np.float32(value)) == str(value)


def test_figures_weigh_documents_by_their_tokens() -> None:
    records = [
        {"base_losses": [1.0, 2.0, 3.0], "mixed_losses": [1.0, 1.0, 1.0]},
        {"base_losses": [4.0], "mixed_losses": [5.0]},
    ]
    for index, record in enumerate(records):
        record |= {"mixing_weights": record["mixed_losses"], "token_ids": [index]}
    figures = held_out().summarise(records, Bootstrap())
    assert figures["loss_base"].value == 2.5
    assert figures["loss_mixed"].value == 2.0
    assert figures["gain"].value == 0.5
    assert (figures["gain"].low, figures["gain"].high) == (-1.0, 1.0)


def test_other_tokens_are_not_compared() -> None:
    base = {"base_losses": [1.0], "mixed_losses": [0.5], "mixing_weights": [0.1]}
    records = [base | {"token_ids": [1, 2]}]
    better = [base | {"token_ids": [1, 2], "mixed_losses": [0.25]}]
    assert held_out().compare(better, records, Bootstrap())["loss_mixed"].value == -0.25
    others = [base | {"token_ids": [1, 3]}]
    assert held_out().compare(records, others, Bootstrap()) == {}


def test_a_text_cannot_spell_a_special_token() -> None:
    """As in training: `<eos>` became the token, and a delimiter was cut out of the text."""
    text = "<eos> say <|startthought|> now"
    (record,) = held_out([text], max_tokens=99).measure(target_of(make_toy().model), [0])
    assert "".join(record["tokens"]) == text
    assert max(record["token_ids"]) < 256


def test_a_piece_of_a_character_shows_its_bytes() -> None:
    """On the page it was U+FFFD, whichever it was."""
    (record,) = held_out(["Grüße"]).measure(target_of(make_toy().model), [0])
    assert record["tokens"] == ["G", "r", "<C3>", "<BC>", "<C3>", "<9F>", "e"]
    assert not any("\ufffd" in thought for thought in record["thoughts"])


def test_a_loss_that_is_not_finite_is_refused() -> None:
    model = make_toy().model
    with torch.no_grad():
        model.backbone.lm_head.weight[5] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        held_out().measure(target_of(model, length=0), [0])


def test_blank_documents_are_nothing_to_measure() -> None:
    with pytest.raises(ConfigError, match="no document holds text"):
        held_out(["", "\n"])


def test_single_tokens_are_nothing_to_summarise() -> None:
    task = held_out(["a"])
    records = task.measure(target_of(make_toy().model), [0])
    with pytest.raises(ConfigError, match="two tokens"):
        task.summarise(records, Bootstrap())
