"""A talk head of another shape than the paper's is trained and stored as it is."""

from pathlib import Path

import pytest
import torch

from qstar_infer.checkpoint import load_model, save_model
from qstar_infer.model.config import TalkHeadConfig
from qstar_train.trainer.train import train

from ..parity.toy import make_toy
from .trainer_toys import config_of, write_config

HEAD = TalkHeadConfig(hidden_size=32, layers=((24, 64), (1, 24)), biases=(True, True), sigmoid=True)


@pytest.mark.parametrize("lora", [None, {"rank": 2, "alpha": 4}], ids=["full", "lora"])
def test_another_talk_head_is_trained(tmp_path: Path, lora: dict[str, int] | None) -> None:
    config = write_config(tmp_path)
    save_model(make_toy(talk_head=HEAD).model, tmp_path / "other")
    train(config_of(config, model=str(tmp_path / "other"), lora=lora, steps=2))
    trained = load_model(tmp_path / "run" / "model", dtype="float32", device="cpu")
    before = load_model(tmp_path / "other", dtype="float32", device="cpu")
    head = trained.thinking_parts.talk_head
    assert head.config == HEAD
    for name, tensor in before.thinking_parts.talk_head.state_dict().items():
        assert not torch.equal(head.state_dict()[name], tensor), name
