"""`read_gguf_facts` describes a file without its weights, and converted files compute the same."""

from pathlib import Path

import torch

from qstar_infer.checkpoint import init_model, load_model, save_model
from qstar_infer.checkpoint.gguf.facts import read_gguf_facts
from tests.checkpoint.gguf.cases import CASES, IDS
from tests.checkpoint.gguf.toys import write_toy


def test_facts_of_a_file_that_can_be_loaded(tmp_path: Path) -> None:
    path = write_toy(tmp_path / "toy.gguf", keys={"general.name": "a \x1b[2J toy"})
    facts = read_gguf_facts(path)
    assert facts.refusal == ""
    assert facts.name == r"'a \x1b[2J toy'"
    assert facts.architecture == "llama"
    assert facts.types == {"F32": 21}
    assert facts.tokenizer == "gpt2"
    assert facts.file is not None
    assert facts.file.config.num_hidden_layers == 2
    parameters = load_model(path).backbone.parameters()
    assert facts.num_parameters == sum(weight.numel() for weight in parameters)


def test_facts_do_not_read_weights(tmp_path: Path) -> None:
    """Weights that no loader accepts do not matter to them."""
    path = write_toy(tmp_path / "toy.gguf")
    content = path.read_bytes()
    path.write_bytes(content[:-5000] + b"\xff" * 5000)
    assert read_gguf_facts(path).refusal == ""


def test_saved_model_computes_the_same(tmp_path: Path) -> None:
    """Factors of frequencies are not weights of the saved model, so its config must hold them."""
    for name in ("rope_freqs", "yarn", "longrope, equal factors", "8 layers, gemma3"):
        path = write_toy(tmp_path / "toy.gguf", **CASES[name])
        model = init_model(path, num_thought_tokens=2, dtype="float32")
        save_model(model, tmp_path / name)
        loaded = load_model(tmp_path / name, dtype="float32")
        want, got = (
            each.think(torch.tensor([IDS]), num_thought_tokens=0) for each in (model, loaded)
        )
        assert torch.equal(got.base_logits, want.base_logits), name
