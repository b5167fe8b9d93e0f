"""An inspection reads headers and JSON: it needs neither the weights nor memory for them."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from transformers import LlamaConfig, PreTrainedTokenizerBase

from qstar_infer.checkpoint.inspection.inspect import inspect_checkpoint

from ..gguf.toys import write_toy

HIDDEN, LAYERS, INNER, ROWS = 8192, 40, 28672, 32000


def shapes() -> dict[str, tuple[int, int] | tuple[int]]:
    """The tensors of a Llama of 34 billion parameters."""
    layer: dict[str, tuple[int, int] | tuple[int]] = {
        **{f"self_attn.{each}_proj.weight": (HIDDEN, HIDDEN) for each in "qkvo"},
        "mlp.gate_proj.weight": (INNER, HIDDEN),
        "mlp.up_proj.weight": (INNER, HIDDEN),
        "mlp.down_proj.weight": (HIDDEN, INNER),
        "input_layernorm.weight": (HIDDEN,),
        "post_attention_layernorm.weight": (HIDDEN,),
    }
    return {
        "model.embed_tokens.weight": (ROWS, HIDDEN),
        "lm_head.weight": (ROWS, HIDDEN),
        "model.norm.weight": (HIDDEN,),
        **{f"model.layers.{n}.{name}": each for n in range(LAYERS) for name, each in layer.items()},
    }


def write_header_only(path: Path) -> int:
    """A safetensors file whose tensors are one hole of a sparse file; returns their bytes."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes().items():
        start, end = end, end + 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return end


def test_a_checkpoint_larger_than_memory(
    tmp_path: Path, plain_tokenizer: PreTrainedTokenizerBase
) -> None:
    num_bytes = write_header_only(tmp_path / "model.safetensors")
    assert num_bytes > 60 * 2**30
    LlamaConfig(
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=64,
        vocab_size=ROWS,
    ).save_pretrained(tmp_path)
    plain_tokenizer.save_pretrained(tmp_path)
    inspection = inspect_checkpoint(tmp_path)
    assert inspection.problems == []
    assert inspection.model is not None
    assert inspection.model.num_parameters == num_bytes // 2
    assert inspection.weights is not None
    assert inspection.weights.by_dtype["BF16"].num_bytes == num_bytes


@pytest.fixture
def no_tensor_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading weights fails, but for the last layer of a talk head, a row of numbers."""

    def fail(*_: object) -> None:
        raise AssertionError("weights were read")

    class HeaderOnly:
        """`safe_open` without its other reading."""

        def __init__(self, *arguments: Any, **settings: Any) -> None:
            self._file = real(*arguments, **settings)

        def __enter__(self) -> "HeaderOnly":
            self._file.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self._file.__exit__(*error)

        def get_tensor(self, name: str) -> Any:
            assert name.startswith("talk_head.4."), f"{name} was read"
            return self._file.get_tensor(name)

        def __getattr__(self, name: str) -> Any:
            assert name in ("keys", "metadata", "get_slice"), f"{name} was called"
            return getattr(self._file, name)

    real = safetensors.safe_open
    monkeypatch.setattr("qstar_infer.checkpoint.tensors.safe_open", HeaderOnly)
    monkeypatch.setattr("qstar_infer.checkpoint.gguf.data.read_values", fail)
    monkeypatch.setattr("qstar_infer.checkpoint.gguf.data.raw_bytes", fail)
    monkeypatch.setattr(torch, "load", fail)


@pytest.mark.usefixtures("no_tensor_is_read")
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("kind", ["native", "adapted", "published"])
def test_no_tensor_is_read(kind: str, request: pytest.FixtureRequest) -> None:
    directory: Path = request.getfixturevalue(kind)
    assert inspect_checkpoint(directory).problems == []


@pytest.mark.usefixtures("no_tensor_is_read")
def test_no_tensor_of_a_gguf_file_is_read(tmp_path: Path) -> None:
    assert inspect_checkpoint(write_toy(tmp_path / "x.gguf")).problems == []


@pytest.mark.parametrize("suffix", [".ckpt", ".bin", ".pt", ".PKL"])
def test_a_pickle_is_not_opened(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"never read")
    path.chmod(0)
    inspection = inspect_checkpoint(path)
    assert inspection.kind == "pickle, which is never opened"
    assert "qstar convert FILE.ckpt DST --base BASE" in inspection.problems[0]
