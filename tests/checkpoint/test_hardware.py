"""When bfloat16 counts as fast, and what dtype="auto" becomes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from qstar_infer.checkpoint import init_model, load_model, options, save_model
from qstar_infer.checkpoint.options import LoadOptions
from qstar_infer.hardware import has_fast_bfloat16

ToyMaker = Callable[..., Path]

CPU = torch.device("cpu")


def fake_cpu(
    monkeypatch: pytest.MonkeyPatch,
    *,
    onednn: bool = True,
    capability: str = "AVX512",
    avx512_bf16: bool = False,
    amx: bool = False,
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx"])
def test_a_cpu_with_bfloat16_instructions_is_fast(
    instructions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_cpu(monkeypatch, **{instructions: True})  # type: ignore[arg-type]
    assert has_fast_bfloat16(CPU)


def test_avx512_without_bfloat16_instructions_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cpu(monkeypatch)
    assert not has_fast_bfloat16(CPU)


def test_onednn_without_bfloat16_kernels_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with ONEDNN_MAX_CPU_ISA=AVX2."""
    fake_cpu(monkeypatch, onednn=False, avx512_bf16=True)
    assert not has_fast_bfloat16(CPU)


@pytest.mark.parametrize("capability", ["AVX2", "DEFAULT"])
def test_torch_restricted_below_avx512_is_slow(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with ATEN_CPU_CAPABILITY, which does not change the CPU flags."""
    fake_cpu(monkeypatch, capability=capability, avx512_bf16=True)
    assert not has_fast_bfloat16(CPU)


def test_cuda_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_cpu(monkeypatch, onednn=False)
    assert has_fast_bfloat16(torch.device("cuda"))


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("is_fast", [True, False])
def test_auto_follows_the_checkpoint_only_where_bfloat16_is_fast(
    is_fast: bool, stored: torch.dtype, make_plain: ToyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "has_fast_bfloat16", lambda _: is_fast)
    directory = make_plain(dtype=stored)
    got = load_model(directory, dtype="auto", device="cpu").backbone.dtype
    assert got == (stored if is_fast else torch.float32)


@pytest.mark.parametrize(
    ("is_fast", "compute_dtype"), [(True, torch.bfloat16), (False, torch.float32)]
)
def test_nf4_computes_in_the_fast_dtype(
    is_fast: bool, compute_dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "has_fast_bfloat16", lambda _: is_fast)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    # transformers reads the version of bitsandbytes when it creates the config.
    monkeypatch.setattr("transformers.BitsAndBytesConfig.post_init", lambda _: None)
    resolved = LoadOptions.resolve(dtype="auto", device="cpu", quantization="nf4")
    config = resolved.from_pretrained_arguments()["quantization_config"]
    assert config.bnb_4bit_compute_dtype == compute_dtype


def test_a_new_checkpoint_does_not_depend_on_the_machine(
    make_plain: ToyMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "has_fast_bfloat16", lambda _: False)
    save_model(init_model(make_plain(dtype=torch.bfloat16), device="cpu"), tmp_path / "saved")
    saved = load_model(tmp_path / "saved", dtype="stored", device="cpu")
    assert saved.backbone.dtype == torch.bfloat16
