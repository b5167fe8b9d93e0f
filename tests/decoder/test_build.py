"""The engine uses fused layers where they are known and proven, and the modules elsewhere."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from qstar_infer import LLM, SamplingParams
from qstar_infer.decoder import build, fused_layer, row_ops_library
from qstar_infer.decoder.build import build_decoder
from qstar_infer.decoder.fused_decoder import FusedDecoder
from qstar_infer.decoder.module_decoder import ModuleDecoder
from qstar_infer.decoder.native_row_ops import build_row_ops
from qstar_infer.decoder.row_ops import RowOps, TorchRowOps
from qstar_infer.kernels.fbgemm import Float16WeightKernel
from qstar_infer.kernels.linear_kernel import LinearKernel
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.model.quiet_star import QuietStarModel

from ..device import DEVICE
from ..parity.architectures import ARCHITECTURES, make_config, reason_to_skip
from ..parity.toy import byte_tokenizer, make_toy
from .models import VARIANTS, make_model

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="fused layers run on a CPU only")


def refusal(model: QuietStarModel, caplog: pytest.LogCaptureFixture) -> str:
    """The line that says why the modules run."""
    with caplog.at_level(logging.DEBUG, logger="qstar_infer.decoder"):
        assert isinstance(build_decoder(model), ModuleDecoder)
    (line,) = [r.getMessage() for r in caplog.records if r.name.endswith("decoder.build")]
    return line


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_known_models_are_fused(variant: str, dtype: torch.dtype) -> None:
    assert isinstance(build_decoder(make_model(variant).to(dtype)), FusedDecoder)


OTHERS = set(ARCHITECTURES.split()) - {model_type for model_type, _ in VARIANTS.values()}


# GPTBigCode compiles three functions when an older transformers imports it.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("model_type", sorted(OTHERS))
def test_other_models_run_as_they_are(model_type: str, caplog: pytest.LogCaptureFixture) -> None:
    if reason := reason_to_skip(model_type):
        pytest.skip(reason)
    backbone = AutoModelForCausalLM.from_config(make_config(model_type)).float()
    model = QuietStarModel(backbone, byte_tokenizer()).eval()
    assert f"the layers of {backbone.config.model_type} are not known" in refusal(model, caplog)


class OtherLinear(nn.Linear):
    """Stands for a quantised layer of another library."""


def _replace_linear(model: QuietStarModel) -> None:
    mlp = model.backbone.get_submodule("model.layers.1.mlp")
    mlp.down_proj = OtherLinear(48, 32, bias=False)


def _hook(model: QuietStarModel) -> None:
    layer = model.backbone.get_submodule("model.layers.0.mlp")
    layer.register_forward_hook(lambda *call: call[-1] * 2)


def _own_forward(model: QuietStarModel) -> None:
    norm = model.backbone.get_submodule("model.norm")
    norm.forward = lambda states: states * 2


def _activation(model: QuietStarModel) -> None:
    model.backbone.get_submodule("model.layers.0.mlp").act_fn = nn.GELU()


def _norm(model: QuietStarModel) -> None:
    model.backbone.get_submodule("model").norm = nn.LayerNorm(32)


def _more_parts(model: QuietStarModel) -> None:
    model.backbone.get_submodule("model.layers.1").adapter = nn.Linear(32, 32)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_replace_linear, "OtherLinear"),
        (_hook, "has a hook"),
        (_own_forward, "a forward of its own"),
        (_activation, "the activation GELU is not silu"),
        (_norm, "the norm LayerNorm is not known"),
        (_more_parts, "has other parts: ['adapter']"),
    ],
)
def test_a_changed_model_runs_as_it_is(
    change: Callable[[QuietStarModel], None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model()
    change(model)
    assert reason in refusal(model, caplog)


def test_a_lora_adapter_is_not_ignored(caplog: pytest.LogCaptureFixture) -> None:
    model = make_model()
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    peft.inject_adapter_in_model(config, model.backbone)
    assert "cannot be packed" in refusal(model, caplog)


def _scaled(fused: Any) -> Any:
    def pack_layer(*args: Any) -> Any:
        layer = fused(*args)
        output = layer.output
        return type(layer)(
            **{
                **{name: getattr(layer, name) for name in layer.__slots__},
                "output": lambda states: output(states) * 1.1,
            }
        )

    return pack_layer


def test_fused_layers_that_differ_are_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        "qstar_infer.decoder.fused_decoder.pack_layer", _scaled(fused_layer.pack_layer)
    )
    assert "layer 0 differs from the model's own modules by" in refusal(make_model(), caplog)


def test_an_epsilon_that_is_read_wrongly_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It hardly matters for states of usual length."""
    read = fused_layer.read_norm

    def with_other_epsilon(module: nn.Module) -> Any:
        norm = read(module)
        return type(norm)(weight=norm.weight, eps=norm.eps * 2)

    monkeypatch.setattr(fused_layer, "read_norm", with_other_epsilon)
    assert "differs from the model's own modules" in refusal(make_model(), caplog)


def test_a_model_that_fills_the_memory_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(build, "_MEMORY_SHARE", 0.0)
    assert "do not fit in memory" in refusal(make_model(), caplog)


def texts(model: QuietStarModel) -> list[list[int]]:
    llm = LLM(model=model)
    params = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True)
    prompts = [[72, 105, 33, 1], [5], [90, 91, 92]]
    outputs = [output.outputs[0].token_ids for output in llm.generate(prompts, params)]
    llm.close()
    return outputs


def test_a_running_engine_uses_changed_weights() -> None:
    model, changed = make_toy().model, make_toy().model
    llm = LLM(model=model)
    with torch.no_grad():
        for weights in (model, changed):
            weights.backbone.get_parameter("model.layers.0.mlp.down_proj.weight").mul_(-2)
    params = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True)
    found = llm.generate([[72, 105, 33, 1], [5], [90, 91, 92]], params)
    llm.close()
    assert [output.outputs[0].token_ids for output in found] == texts(changed)
    assert texts(changed) != texts(make_toy().model)


def fresh_library(monkeypatch: pytest.MonkeyPatch, cache: Path) -> RowOps:
    monkeypatch.setenv("QSTAR_CACHE", str(cache))
    row_ops_library.load_row_ops_library.cache_clear()
    try:
        return build_row_ops(torch.bfloat16, head_dim=64)
    finally:
        row_ops_library.load_row_ops_library.cache_clear()


def test_without_a_compiler_torch_computes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert isinstance(fresh_library(monkeypatch, tmp_path / "cache"), TorchRowOps)


def test_a_library_that_was_built_before_needs_no_compiler(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if isinstance(fresh_library(monkeypatch, tmp_path), TorchRowOps):
        pytest.skip("this machine has no C compiler")
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith("row-ops-")
    monkeypatch.setenv("PATH", "")
    assert not isinstance(fresh_library(monkeypatch, tmp_path), TorchRowOps)


def test_a_cache_that_cannot_be_written_is_no_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert isinstance(fresh_library(monkeypatch, file), TorchRowOps)


def test_heads_that_are_too_wide_for_the_library() -> None:
    assert isinstance(build_row_ops(torch.bfloat16, head_dim=1024), TorchRowOps)


@pytest.mark.parametrize(
    "kernel",
    [each for each in (OneDnnKernel(torch.float32), Float16WeightKernel()) if each.is_available()],
    ids=lambda kernel: kernel.name,
)
def test_a_row_of_a_pass_does_not_depend_on_the_others(
    kernel: LinearKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "choose_kernel", lambda _backbone: kernel)
    model = make_model("qwen3, norms of heads")
    if kernel.bytes_per_weight < 4:
        model.backbone.to(torch.bfloat16)  # type: ignore[arg-type]  # wrapped method
    decoder = build_decoder(model)
    assert isinstance(decoder, FusedDecoder)
    ids, positions = torch.arange(8) + 3, torch.arange(8)

    class Alone:
        def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
            del layer, key
            return value.repeat_interleave(query.shape[1] // value.shape[1], 1).transpose(1, 2)

    with torch.inference_mode():
        states = decoder.hidden(decoder.embed(ids), positions, Alone())
        order = torch.tensor([5, 1, 7, 0, 2, 6, 3, 4])
        mixed = decoder.hidden(decoder.embed(ids[order]), positions[order], Alone())
        for count in (1, 2, 7):
            few = decoder.hidden(decoder.embed(ids[:count]), positions[:count], Alone())
            assert torch.equal(few, states[:count])
    assert torch.equal(mixed, states[order])
