"""Each term of the objective, by hand; `test_parity.py` holds the whole to the paper's code."""

import math

import pytest
import torch

from qstar_train.config import ObjectiveConfig
from qstar_train.objective.chunked_logits import token_losses
from qstar_train.objective.losses import (
    advantages,
    mean_counted,
    policy_losses,
    thought_rewards,
)
from qstar_train.objective.objective import evaluate_objective

from ..parity.toy import make_toy
from ..parity.training.compare import ranked_choice, relative_deviation
from ..tolerances import TOY_GRADIENT, TOY_LOGPROBS


def test_losses_are_zero_where_not_counted() -> None:
    model = make_toy().model
    states = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 1, 2]])
    is_counted = torch.tensor([[True, True, False]])
    losses = token_losses(model, states, labels, is_counted).detach()
    want = -model.logits(states).log_softmax(-1)[0, torch.arange(3), labels[0]].detach()
    torch.testing.assert_close(losses[0, :2], want[:2], rtol=0, atol=TOY_LOGPROBS)
    assert losses[0, 2] == 0
    assert float(mean_counted(losses)) == pytest.approx(float(want[:2].mean()), abs=TOY_LOGPROBS)


def test_a_reward_sums_the_gain_over_the_talk_tokens() -> None:
    base = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    talk = [torch.tensor([[0.5, 1.0, 9.0, 9.0]]), torch.tensor([[1.5, 2.0, 9.0]])]
    # r_0 = (1 - 0.5) + (2 - 1.5); r_1 = (2 - 1) + (3 - 2)
    assert thought_rewards(base, talk).tolist() == [[1.0, 2.0]]


def test_advantages_compare_the_passes_of_one_position() -> None:
    rewards = torch.tensor([[3.0, 0.0], [1.0, 0.0], [5.0, 1.0], [5.0, 3.0]])
    got = advantages(rewards, num_passes=2, drops_negative=True)
    assert got.tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]


def test_policy_loss_pushes_up_what_was_better() -> None:
    loglik = torch.tensor([[-1.0, -2.0, -3.0]])
    losses = policy_losses(torch.tensor([[2.0, 0.0]]), [loglik])
    assert losses.tolist() == [1.0]  # -(2 * -1 + 0 * -2) / 2


def test_what_is_no_label_is_attended_to_and_not_predicted() -> None:
    model = make_toy().model
    ids = torch.randint(0, 256, (1, 10), generator=torch.Generator().manual_seed(0))
    settings = ObjectiveConfig(num_talk_tokens=2, foresight_loss_weight=0.5)
    is_label = torch.ones_like(ids).bool()
    is_label[0, 6] = False
    pick = ranked_choice(2, by_rank=True)
    with torch.no_grad():
        every, got = (
            evaluate_objective(
                model, ids, torch.ones_like(ids), settings, pick=pick, is_label=labels
            )
            for labels in (None, is_label)
        )
    for ours, full, ahead in zip(
        [got.base_losses, *got.talk_losses],
        [every.base_losses, *every.talk_losses],
        [1, 1, 2],
        strict=True,
    ):
        assert torch.equal(ours, full * is_label[:, ahead:])
    # Position p is rewarded for the labels p + 1 and p + 2.
    changed = (got.rewards != every.rewards).any(0).nonzero().flatten()
    assert changed.tolist() == [4, 5]
    assert got.foresight != every.foresight


def test_every_parameter_learns() -> None:
    model = make_toy().model.requires_grad_(True)
    ids = torch.randint(0, 256, (2, 12), generator=torch.Generator().manual_seed(0))
    objective = evaluate_objective(
        model,
        ids,
        torch.ones_like(ids),
        ObjectiveConfig(num_talk_tokens=2),
        pick=ranked_choice(2, by_rank=True),
    )
    objective.total.backward()
    still = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert not still


def test_a_frozen_output_layer_changes_no_other_gradient() -> None:
    """Where the output layer learns, logits are made again; where not, their gradients at once."""
    ids = torch.randint(0, 256, (2, 12), generator=torch.Generator().manual_seed(0))
    settings = ObjectiveConfig(
        num_talk_tokens=2, thought_loss_weight=0.5, thought_entropy_weight=1e5
    )
    gradients = []
    for is_frozen in (False, True):
        model = make_toy().model.requires_grad_(True)
        model.backbone.lm_head.requires_grad_(not is_frozen)
        pick = ranked_choice(2, by_rank=True)
        objective = evaluate_objective(model, ids, torch.ones_like(ids), settings, pick=pick)
        objective.total.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[1].items():
        if name != "backbone.lm_head.weight":
            whole = gradients[0][name]
            assert gradient is not None, name
            assert whole is not None, name
            assert relative_deviation(gradient, whole) < TOY_GRADIENT, name


def test_the_optional_terms_enter_the_total() -> None:
    model = make_toy().model
    ids = torch.randint(0, 256, (1, 10), generator=torch.Generator().manual_seed(0))
    settings = ObjectiveConfig(
        num_talk_tokens=1, num_passes=1, thought_loss_weight=0.5, thought_entropy_weight=0.25
    )
    with torch.no_grad():
        pick = ranked_choice(1, by_rank=False)
        got = evaluate_objective(model, ids, torch.ones_like(ids), settings, pick=pick)
    assert 0 < got.entropy < math.log(model.vocab_size)
    want = got.language + 1e6 * got.policy.mean() + 0.5 * got.thought - 0.25 * got.entropy
    torch.testing.assert_close(got.total, want)
    # The thought alone, by the definition: no talk token before it, no mixing.
    trace = model.think(ids, temperature=0.0)
    weight = trace.mixing_weight.unsqueeze(-1)
    alone = (trace.logits - (1 - weight) * trace.base_logits) / weight
    alone = alone.masked_fill(trace.logits.isneginf(), float("-inf"))[0, :-1].log_softmax(-1)
    by_hand = -alone.gather(-1, ids[0, 1:, None]).mean()
    # `think` masks two of 260 columns that training leaves in the softmax.
    torch.testing.assert_close(got.thought, by_hand, rtol=0.02, atol=0.02)


def test_without_a_policy_loss_thoughts_are_not_differentiated() -> None:
    """That would cost time; the numbers stay what they are."""
    model = make_toy().model
    ids = torch.randint(0, 256, (1, 10), generator=torch.Generator().manual_seed(3))
    results = []
    for weight in (0.0, 1.0):
        objective = evaluate_objective(
            model,
            ids,
            torch.ones_like(ids),
            ObjectiveConfig(num_talk_tokens=2, policy_weight=weight),
            pick=ranked_choice(2, by_rank=True),
        )
        assert objective.loglikelihoods[0].requires_grad == (weight > 0)
        objective.total.backward()
        results.append(objective.loglikelihoods)
    for without, with_ in zip(*results, strict=True):
        assert torch.equal(without, with_)


def test_foresight_is_the_loss_of_the_true_tokens_ahead() -> None:
    """By hand: the stock backbone runs `x_0 .. x_a, start, c_1 ..` for each anchor."""
    toy = make_toy()
    model, length = toy.model, 10
    ids = torch.randint(0, 256, (1, length), generator=torch.Generator().manual_seed(0))
    settings = ObjectiveConfig(
        num_talk_tokens=1, num_passes=1, foresight_loss_weight=0.5, num_foresight_tokens=2
    )
    embedding = toy.stock.get_input_embeddings()
    means = []
    with torch.no_grad():
        pick = ranked_choice(1, by_rank=False)
        got = evaluate_objective(model, ids, torch.ones_like(ids), settings, pick=pick)
        for role in (1, 2):
            losses = []
            for anchor in range(length - role):
                thought = got.thought_ids[0, anchor, : role - 1]
                rows = [embedding(ids[0, : anchor + 1]), model.thinking_parts.start_thought[None]]
                fed = torch.cat([*rows, embedding(thought)])[None]
                logits = toy.stock(inputs_embeds=fed).logits[0, -1]
                losses.append(-logits.log_softmax(-1)[ids[0, anchor + role]])
            means.append(torch.stack(losses).mean())
    by_hand = float(torch.stack(means).mean())
    assert float(got.foresight) == pytest.approx(by_hand, abs=TOY_LOGPROBS)
    want = got.language + 1e6 * got.policy.mean() + 0.5 * got.foresight
    torch.testing.assert_close(got.total, want)
