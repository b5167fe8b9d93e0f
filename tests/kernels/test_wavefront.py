"""With each kernel and each quantisation, the wavefront gives what thinking in turn does.

The tokens and the thoughts are the same; log-probabilities to the rounding of attention.
"""

import pytest
import torch

from qstar_infer.config import EngineConfig
from qstar_infer.decoder import build
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.kernels.choose import choose_kernel
from qstar_infer.kernels.fbgemm import Float16WeightKernel
from qstar_infer.kernels.linear_kernel import LinearKernel
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.kernels.plain import PlainKernel
from qstar_infer.kernels.quantised_linear import FORMATS, quantise_layers
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_infer.sampling_params import SamplingParams

from ..parity.toy import make_toy

KERNELS: list[LinearKernel] = [
    OneDnnKernel(torch.bfloat16),
    OneDnnKernel(torch.float32),
    Float16WeightKernel(),
    PlainKernel(torch.float32),
]
AVAILABLE = [kernel for kernel in KERNELS if kernel.is_available()]


def toy(dtype: torch.dtype) -> QuietStarModel:
    model = make_toy(intermediate_size=64, seed=3).model.to("cpu")
    model.backbone.to(dtype)  # type: ignore[arg-type]  # wrapped method
    return model


def generate(
    model: QuietStarModel, speculation: str | int
) -> tuple[dict[str, CompletionOutput], int]:
    """Outputs of three requests, and how many drafts were accepted."""
    engine = LLMEngine(model, EngineConfig(speculation=speculation, num_blocks=200))  # type: ignore[arg-type]
    outputs: dict[str, CompletionOutput] = {}
    for index, temperature in enumerate((0.0, 0.0, 0.9)):
        name = f"r{index}"
        outputs[name] = CompletionOutput(index=0)
        params = SamplingParams(
            max_tokens=24, temperature=temperature, seed=index, ignore_eos=True, logprobs=0
        )
        prompt = list(range(10 * index, 10 * index + 7 + 5 * index))
        request = EngineRequest(request_id=name, prompt_token_ids=prompt, params=params)
        engine.add_request(engine.admission.admit(request))
    while engine.has_work:
        for delta in engine.step():
            assert isinstance(delta, RequestOutput)
            outputs[delta.request_id].extend(delta.outputs[0])
    return outputs, engine.stats().accepted


def check_equal(model: QuietStarModel, computed_in: torch.dtype) -> None:
    in_turn, none_accepted = generate(model, "off")
    wavefront, accepted = generate(model, "auto")
    assert none_accepted == 0
    assert accepted > 5
    for name, want in in_turn.items():
        got = wavefront[name]
        assert got.token_ids == want.token_ids
        assert len(got.token_ids) == 24
        for ours, theirs in zip(got.thoughts, want.thoughts, strict=True):
            assert ours.thought_token_ids == theirs.thought_token_ids
            assert ours.logprob == pytest.approx(theirs.logprob, abs=TOLERANCE[computed_in])


TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""By the dtype of the products. Without a C compiler attention adds in the order of its batch: what
differs in the last bit of float32 may be rounded to another bfloat16, a unit of 2^-7 away."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kernel", AVAILABLE, ids=lambda kernel: kernel.name)
def test_a_kernel(
    kernel: LinearKernel, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "choose_kernel", lambda _backbone: kernel)
    check_equal(toy(dtype), kernel.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FORMATS)
def test_a_quantisation(name: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy(dtype)
    # The kernel of the output layer, which is not rounded, is chosen by time: once for both runs.
    kernel = choose_kernel(model.backbone)
    monkeypatch.setattr(build, "choose_kernel", lambda _backbone: kernel)
    quantise_layers(model.backbone, name, kept=[model.backbone.lm_head])
    check_equal(model, torch.bfloat16)
