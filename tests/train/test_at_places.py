"""The objective at places equals the one everywhere, restricted to them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThinkingGate
from qstar_infer.sampling.noise import row_keys
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.at_places import evaluate_at_places
from qstar_train.objective.objective import Objective, evaluate_objective
from qstar_train.objective.places import Counts, PlaceRule, Places, choose_places
from qstar_train.sampling import Pick, partly_true_thoughts, sampled_thoughts

from ..parity.toy import make_toy
from ..parity.training.compare import relative_deviation
from ..tolerances import TOY_GRADIENT, TOY_LOGPROBS

PASSES = 3
TERMS = ("language", "policy", "thought", "entropy", "foresight", "teacher_divergence", "gate")


def config_of(**changes: Any) -> ObjectiveConfig:
    values = {
        "num_passes": PASSES,
        "num_talk_tokens": 2,
        "policy_weight": 3.0,
        "reinforce_temperature": 1.5,
        "thought_loss_weight": 0.5,
        "thought_entropy_weight": 0.25,
        "foresight_loss_weight": 0.5,
        "num_foresight_tokens": 3,
        "teacher_weight": 0.5,
        "gate": {"cost": 0.1},
    }
    return ObjectiveConfig.model_validate(values | changes)


def make_model(*, has_gate: bool = True) -> QuietStarModel:
    model = make_toy().model
    torch.manual_seed(5)
    model.thinking_parts.gate = ThinkingGate(model.hidden_size) if has_gate else None
    return model.requires_grad_(True)


def draw_ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed))


def pick_for(ids: Tensor, *, true_share: float = 0.3) -> Pick:
    """As in training: by seed, window and pass, with some thoughts that are true text."""
    windows = torch.arange(len(ids)).repeat_interleave(PASSES)
    passes = torch.arange(PASSES).repeat(len(ids))
    seeds = row_keys(torch.full_like(windows, 4), windows, passes)
    pick = sampled_thoughts(seeds, temperature=1.0)
    rows = ids.repeat_interleave(PASSES, dim=0)
    return partly_true_thoughts(pick, rows, seeds, share=true_share)


def gradients(model: QuietStarModel, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("num_places", "changes"),
    [(8, {"thought_entropy_weight": 0}), (9, {"gate": None})],
    ids=["with a gate", "with the entropy"],
)
def test_thoughts_at_every_position_are_thoughts_everywhere(
    num_places: int, changes: dict[str, Any]
) -> None:
    """Every term and every gradient.

    The text has 9 tokens and 3 of padding. So the mean of the policy loss everywhere is over 9
    positions, the padding that it drops aside, and that of the entropy over all 12. The ninth
    position has no next token: it earns nothing, but its entropy counts everywhere.
    """
    config = config_of(**changes)
    ids = torch.nn.functional.pad(draw_ids(2, 9), (0, 3))
    is_real = torch.arange(12).expand(2, -1) < 9
    teacher = make_toy(seed=1).model
    model = make_model(has_gate=config.gate is not None)
    pick = pick_for(ids, true_share=0.0)
    everywhere = evaluate_objective(model, ids, is_real, config, pick=pick, teacher=teacher)
    want = gradients(model, everywhere.total + config.thought_entropy_weight * everywhere.entropy)
    every = torch.ones(2, num_places, dtype=torch.bool)
    anchors = torch.arange(num_places).expand(2, -1)
    places = Places(anchors=anchors, is_place=every, is_marked=every)
    counts = Counts.of(is_real, places, num_ahead=config.num_ahead)
    assert counts.places == (2 * 8, 2 * 7, 2 * 6)
    got = evaluate_at_places(
        model, ids, is_real, config, places=places, pick=pick, counts=counts, teacher=teacher
    )
    scale = {"policy": 8 / 9, "entropy": 8 / 12}
    for name in TERMS:
        ours, theirs = getattr(got, name), getattr(everywhere, name)
        is_off = name in changes or f"thought_{name}_weight" in changes
        assert bool(theirs.abs().max() > 0) != is_off, name
        torch.testing.assert_close(
            ours * scale.get(name, 1), theirs, rtol=1e-5, atol=TOY_LOGPROBS, msg=name
        )
    assert torch.equal(got.thought_ids[:, :8], everywhere.thought_ids[:, :8])
    scaled = got.total - config.policy_weight * got.policy.mean() / 9
    own = gradients(model, scaled + config.thought_entropy_weight * got.entropy)
    assert own.keys() == want.keys() == {name for name, _ in model.named_parameters()}
    for name, gradient in own.items():
        assert relative_deviation(gradient, want[name]) < TOY_GRADIENT, name


def ragged() -> tuple[Tensor, Tensor, Places]:
    """Three windows of 11, 8 and 4 tokens, with 3, 2 and 1 places, one of them near an end."""
    ids = draw_ids(3, 11, seed=2)
    ids[0, [2, 7]] = ids[1, 6] = 250
    is_real = torch.arange(11) < torch.tensor([[11], [8], [4]])
    rule = PlaceRule(behind_ids=(250,), elsewhere=1)
    places = choose_places(rule, ids, is_real, torch.arange(3), seed=0)
    assert places.is_place.sum(1).tolist() == [3, 2, 1]
    return ids, is_real, places


def slow_terms(everywhere: list[Objective], places: Places) -> dict[str, Tensor]:
    """The terms by a loop over places, from each window's own objective everywhere."""
    sums: dict[str, list[Tensor]] = {"talk0": [], "talk1": [], "thought0": [], "thought1": []}
    sums |= {"base": [], "policy": []}
    for number, objective in enumerate(everywhere):
        sums["base"] += list(objective.base_losses[0])
        for anchor in places.anchors[number][places.is_place[number]].tolist():
            rewards = []
            for one in range(PASSES):
                reward = torch.zeros(())
                for s in range(2):
                    if anchor + s < objective.talk_losses[s].shape[1] + s:
                        talk = objective.talk_losses[s][one, anchor]
                        sums[f"talk{s}"].append(talk)
                        sums[f"thought{s}"].append(objective.thought_losses[s][one, anchor])
                        reward = reward + objective.base_losses[one, anchor + s] - talk
                rewards.append(reward.detach())
            mean = torch.stack(rewards).mean()
            for one in range(PASSES):
                advantage = (rewards[one] - mean).clamp(min=0)
                each = [-advantage * lik[one, anchor] for lik in objective.loglikelihoods]
                sums["policy"].append(torch.stack(each))
    mean_of = {name: torch.stack(values).mean(0) for name, values in sums.items()}
    return {
        "language": 0.5 * mean_of["base"] + 0.5 * (mean_of["talk0"] + mean_of["talk1"]) / 2,
        "policy": mean_of["policy"],
        "thought": (mean_of["thought0"] + mean_of["thought1"]) / 2,
    }


def test_windows_of_other_lengths_with_other_places_are_a_loop_over_them() -> None:
    """From each window's objective everywhere, which the paper's code is compared with.

    A place whose window ends before the last talk token is rewarded for those that it has.
    """
    config = config_of(teacher_weight=0, gate=None)
    ids, is_real, places = ragged()
    assert (places.anchors + 2 >= is_real.sum(1, keepdim=True))[places.is_place].any()
    model = make_model()
    got = evaluate_at_places(model, ids, is_real, config, places=places, pick=pick_for(ids))
    want = []
    for number, length in enumerate((11, 8, 4)):
        one = slice(number, number + 1)
        short = ids[one, :length]
        windows = torch.full((PASSES,), number)
        seeds = row_keys(torch.full_like(windows, 4), windows, torch.arange(PASSES))
        pick = sampled_thoughts(seeds, temperature=1.0)
        rows = ids[one].expand(PASSES, -1)
        pick = partly_true_thoughts(pick, rows, seeds, share=0.3)
        real = torch.ones_like(short)
        want.append(evaluate_objective(model, short, real, config, pick=pick))
        for column in places.is_place[number].nonzero().flatten().tolist():
            anchor = int(places.anchors[number, column])
            ours = got.thought_ids[number * PASSES : (number + 1) * PASSES, column]
            assert torch.equal(ours, want[-1].thought_ids[:, anchor])
    for name, expected in slow_terms(want, places).items():
        ours = getattr(got, name)
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=TOY_LOGPROBS, msg=name)


def test_parts_of_a_batch_with_its_counts_sum_to_the_batch() -> None:
    """So that micro-batches and processes change nothing, whatever their windows hold."""
    config = config_of()
    ids, is_real, places = ragged()
    teacher = make_toy(seed=1).model
    model = make_model()
    whole = evaluate_at_places(
        model, ids, is_real, config, places=places, pick=pick_for(ids), teacher=teacher
    )
    want = gradients(model, whole.total)
    counts = Counts.of(is_real, places, num_ahead=config.num_ahead, num_parts=3)
    parts = []
    for number, length in enumerate((11, 8, 4)):
        one = slice(number, number + 1)
        windows = torch.full((PASSES,), number)
        seeds = row_keys(torch.full_like(windows, 4), windows, torch.arange(PASSES))
        rows = ids[one].expand(PASSES, -1)
        pick = sampled_thoughts(seeds, temperature=1.0)
        parts.append(
            evaluate_at_places(
                model,
                ids[one, :length],
                is_real[one, :length],
                config,
                places=places.of_windows(one),
                pick=partly_true_thoughts(pick, rows, seeds, share=0.3),
                counts=counts,
                teacher=teacher,
            )
        )
    for name in TERMS:
        mean = torch.stack([getattr(part, name) for part in parts]).mean(0)
        torch.testing.assert_close(
            mean, getattr(whole, name), rtol=1e-5, atol=TOY_LOGPROBS, msg=name
        )
    got = gradients(model, torch.stack([part.total for part in parts]).mean())
    for name, gradient in got.items():
        assert relative_deviation(gradient, want[name]) < TOY_GRADIENT, name


def test_a_batch_without_any_place_trains_the_base_alone() -> None:
    """A process may get such windows; every parameter still has a gradient, as DDP needs."""
    ids, is_real, _ = ragged()
    none = choose_places(
        PlaceRule(behind_ids=(251,), elsewhere=0), ids, is_real, torch.arange(3), seed=0
    )
    assert not none.is_place.any()
    model, config = make_model(), config_of(teacher_weight=0)
    got = evaluate_at_places(model, ids, is_real, config, places=none, pick=pick_for(ids))
    for name in TERMS[1:]:
        assert not getattr(got, name).any(), name
    found = gradients(model, got.total)
    assert found.keys() == {name for name, _ in model.named_parameters()}
    assert not [name for name, each in found.items() if "thought_parts" in name and each.any()]


@pytest.mark.parametrize("at_places", [False, True])
def test_the_gate_alone_learns_from_its_loss(at_places: bool) -> None:
    """By hand; elsewhere the gradients are those of the run without it."""
    ids, is_real, places = ragged()
    ids, is_real = ids[:, :4], is_real[:, :4]  # without padding
    places = choose_places(None, ids, is_real, torch.arange(3), seed=0)
    found = []
    for gate in ({"cost": 0.25}, None):
        model, config = make_model(), config_of(gate=gate, teacher_weight=0)
        pick = pick_for(ids)
        if at_places:
            objective = evaluate_at_places(model, ids, is_real, config, places=places, pick=pick)
        else:
            objective = evaluate_objective(model, ids, is_real, config, pick=pick)
        found.append((objective, gradients(model, objective.total)))
    (with_gate, ours), (_, without) = found
    assert ours.keys() - without.keys() == {
        "thought_parts.gate.weight",
        "thought_parts.gate.bias",
    }
    for name, gradient in without.items():
        assert torch.equal(gradient, ours[name]), name

    model = make_model()
    trace = model.think(ids, num_thought_tokens=1)
    base = -trace.base_logits.log_softmax(-1)[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    mixed = with_gate.talk_losses[0].view(3, PASSES, 3).mean(1).detach()
    states = []
    model.backbone.lm_head.register_forward_pre_hook(lambda _, args: states.append(args[0]))
    model.think(ids, num_thought_tokens=0)
    score = model.thinking_parts.gate.score(states[0][:, :-1])
    want = -(torch.sigmoid(score) * (base - mixed - 0.25)).mean()
    torch.testing.assert_close(with_gate.gate, want, rtol=1e-5, atol=TOY_LOGPROBS)
    assert with_gate.is_open is not None
    assert torch.equal(with_gate.is_open, score > 0)
    want.backward()
    grad = model.thinking_parts.gate.weight.grad
    assert relative_deviation(ours["thought_parts.gate.weight"], grad) < TOY_GRADIENT
