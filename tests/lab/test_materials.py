"""What the lab trains from."""

from pathlib import Path

import pytest

from qstar_infer.checkpoint import load_model
from qstar_lab.work.materials import make_materials

SHAPE = {"num_layers": 1, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2}


@pytest.mark.parametrize(("task", "chats"), [("digit_chains", True), ("pointer_hops", False)])
def test_a_model_of_digit_chains_can_chat(tmp_path: Path, task: str, chats: bool) -> None:
    make_materials(
        result=str(tmp_path / "model"),
        text=str(tmp_path / "text"),
        task=task,
        shape=SHAPE,
        num_visible=2,
        num_direct=2,
        num_held_out=2,
        seed=0,
    )
    tokenizer = load_model(tmp_path / "model", device="cpu").tokenizer
    assert (tokenizer.chat_template is not None) == chats
