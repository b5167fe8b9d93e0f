"""Training on a GPU: the numbers of the CPU, and a run from its start to a checkpoint."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from qstar_infer.checkpoint import load_model
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.objective import evaluate_objective
from qstar_train.trainer.train import train

from ..device import DEVICE
from ..parity.toy import make_toy
from ..parity.training.compare import ranked_choice, relative_deviation
from ..tolerances import TOY_GRADIENT
from ..train.trainer_toys import config_of, write_config


def gradients(model: QuietStarModel) -> dict[str, Tensor]:
    model.requires_grad_(True)
    ids = torch.randint(0, 256, (2, 12), generator=torch.Generator().manual_seed(0))
    ids = ids.to(model.device)
    settings = ObjectiveConfig(num_talk_tokens=2, thought_loss_weight=0.5)
    pick = ranked_choice(2, by_rank=True)
    evaluate_objective(model, ids, torch.ones_like(ids), settings, pick=pick).total.backward()
    return {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}


def test_gradients_are_those_of_the_cpu() -> None:
    got, want = gradients(make_toy().model.to(DEVICE)), gradients(make_toy().model.cpu())
    assert got.keys() == want.keys()
    for name, gradient in want.items():
        assert relative_deviation(got[name], gradient) < TOY_GRADIENT, name


def test_a_run_in_bfloat16_ends_with_a_checkpoint_that_loads(tmp_path: Path) -> None:
    config = config_of(write_config(tmp_path), dtype="bfloat16")
    train(config)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 4
    for line in lines:
        numbers = [value for value in json.loads(line).values() if value is not None]
        assert all(math.isfinite(number) for number in numbers), line
    model = load_model(tmp_path / "run" / "model")
    assert model.device.type == "cuda"
    assert model.think(torch.tensor([[1, 2, 3]])).logits[..., :256].isfinite().all()
