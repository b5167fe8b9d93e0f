"""A teacher holds the base prediction, and nothing else."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qstar_infer.errors import ConfigError
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.chunked_logits import base_states, teacher_divergence
from qstar_train.objective.objective import Objective, evaluate_objective
from qstar_train.trainer.train import train

from ..device import DEVICE
from ..parity.toy import make_toy
from ..parity.training.compare import ranked_choice
from ..tolerances import TOY_LOGPROBS
from .trainer_toys import config_of, write_config

LORA = {"rank": 2, "alpha": 4, "target_modules": ["q_proj", "v_proj"]}
IDS = torch.randint(0, 256, (2, 12), generator=torch.Generator().manual_seed(3)).to(DEVICE)
EVERY = torch.ones_like(IDS)


def test_the_divergence_is_kl_of_the_teacher_from_the_base() -> None:
    model, teacher = make_toy(seed=0).model, make_toy(seed=1).model
    is_real = EVERY.bool()
    is_real[1, 8:] = False
    with torch.no_grad():
        got = teacher_divergence(
            model, base_states(model, IDS, is_real), teacher, IDS, is_real
        ).item()
        wanted = teacher.think(IDS).base_logits.double().softmax(-1)
        learned = model.think(IDS).base_logits.double().softmax(-1)
    each = (wanted * (wanted / learned).log()).sum(-1)
    assert got == pytest.approx(each[is_real].mean().item(), abs=TOY_LOGPROBS)
    assert got > 0.01


def test_its_gradient_is_zero_at_the_teacher_and_leaves_the_thought_parts_alone() -> None:
    model = make_toy(seed=0).model.requires_grad_(True)
    hidden = base_states(model, IDS, EVERY.bool())
    teacher_divergence(model, hidden, make_toy(seed=0).model, IDS, EVERY.bool()).backward()
    assert max(p.grad.abs().max() for p in model.parameters() if p.grad is not None) < 1e-6
    assert all(parameter.grad is None for parameter in model.thinking_parts.parameters())


def test_it_enters_the_total_by_its_weight() -> None:
    model, teacher = make_toy(seed=0).model, make_toy(seed=1).model

    def objective(weight: float) -> Objective:
        settings = ObjectiveConfig(policy_weight=0, teacher_weight=weight)
        return evaluate_objective(
            model, IDS, EVERY, settings, pick=ranked_choice(2, by_rank=True), teacher=teacher
        )

    alone, taught = objective(0), objective(3)
    assert taught.teacher_divergence == alone.teacher_divergence > 0
    hidden = base_states(model, IDS, EVERY)
    direct = teacher_divergence(model, hidden, teacher, IDS, EVERY.bool())
    torch.testing.assert_close(taught.teacher_divergence, direct, rtol=0, atol=TOY_LOGPROBS)
    want = alone.total + 3 * alone.teacher_divergence
    torch.testing.assert_close(taught.total, want)


def test_a_run_is_pulled_towards_its_teacher(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    common = {"lora": LORA, "teacher": str(tmp_path / "plain"), "steps": 12, "save_every": 12}
    lasts = {}
    for weight in (1e-6, 100.0):
        objective = {"num_talk_tokens": 2, "policy_weight": 1.0, "teacher_weight": weight}
        settings = config_of(
            config, **common, output=str(tmp_path / f"run-{weight}"), objective=objective
        )
        train(settings)
        lines = (tmp_path / f"run-{weight}" / "metrics.jsonl").read_text("utf-8").splitlines()
        lasts[weight] = json.loads(lines[-1])["teacher_divergence"]
    free, held = lasts.values()
    assert 0 < held < free


def test_a_teacher_without_work_is_refused(
    tmp_path: Path,
) -> None:
    config = write_config(tmp_path)
    with pytest.raises(ConfigError, match="give both or neither"):
        config_of(config, teacher=str(tmp_path / "plain"))
    with pytest.raises(ConfigError, match="give both or neither"):
        config_of(config, objective={"teacher_weight": 1.0})


def test_one_assignment_turns_a_recipe_into_its_control(tmp_path: Path) -> None:
    """Its teacher, most often the control itself, need not be there; nor need windows divide."""
    config = write_config(tmp_path)
    objective = {"num_talk_tokens": 2, "teacher_weight": 40.0, "think_every": 3}
    thinking = {"teacher": str(tmp_path / "nowhere"), "objective": objective, "steps": 1}
    weights = {}
    for name, changes in (("control", thinking), ("plain", {"steps": 1})):
        output = tmp_path / name
        train(config_of(config, **changes, output=str(output), num_thought_tokens=0))
        weights[name] = load_file(output / "states" / "step-000001" / "weights.safetensors")
    for key, tensor in weights["plain"].items():
        assert torch.equal(weights["control"][key], tensor), key
