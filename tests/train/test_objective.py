"""The objective is the paper's: its training vectors, and each term by hand."""

from pathlib import Path

import torch

from qstar_train.objective.config import ObjectiveSettings
from qstar_train.objective.losses import (
    advantages,
    mean_counted,
    policy_losses,
    thought_rewards,
)
from qstar_train.objective.objective import evaluate_objective
from qstar_train.objective.vocabulary import token_losses
from qstar_train.parity import compare_golden, ranked_choice

from ..parity.toy import make_toy

GOLDEN = Path(__file__).parents[1] / "golden" / "A"


def test_every_golden_training_case_agrees() -> None:
    worst = compare_golden(GOLDEN)
    assert {"reward", "policy loss", "total loss", "gradient, total"} <= set(worst)
    for quantity, (deviation, case) in worst.items():
        assert deviation <= 1e-4, (quantity, case)


def test_losses_are_zero_where_not_counted() -> None:
    model = make_toy().model
    states = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 1, 2]])
    is_counted = torch.tensor([[True, True, False]])
    losses = token_losses(model, states, labels, is_counted).detach()
    want = -model.logits(states).log_softmax(-1)[0, torch.arange(3), labels[0]].detach()
    torch.testing.assert_close(losses[0, :2], want[:2])
    assert losses[0, 2] == 0
    torch.testing.assert_close(mean_counted(losses), want[:2].mean())


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


def test_every_parameter_learns() -> None:
    model = make_toy().model.requires_grad_(True)
    ids = torch.randint(0, 256, (2, 12), generator=torch.Generator().manual_seed(0))
    objective = evaluate_objective(
        model,
        ids,
        torch.ones_like(ids),
        ObjectiveSettings(num_talk_tokens=2),
        pick=ranked_choice(2, by_rank=True),
    )
    objective.total.backward()
    still = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert not still
