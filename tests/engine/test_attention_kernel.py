"""Which kernels the engine leaves torch to choose from."""

from contextlib import closing
from typing import Any

import pytest
import torch
from torch import Tensor

from qstar_infer import LLM, SamplingParams
from qstar_infer.attention.padded_sdpa import PaddedSdpaBackend, PaddedSdpaState
from qstar_infer.runner import forward_pass

from ..parity.toy import make_toy


@pytest.mark.parametrize("before", [True, False])
def test_steps_do_without_cudnn_and_leave_the_setting_as_it_was(
    monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    seen = []
    attend = PaddedSdpaState.attend

    def watched(*arguments: Any, **named: Any) -> Tensor:
        seen.append(torch._C._get_cudnn_sdp_enabled())
        return attend(*arguments, **named)

    at_first = torch._C._get_cudnn_sdp_enabled()
    monkeypatch.setattr(forward_pass, "choose_attention", PaddedSdpaBackend)
    monkeypatch.setattr(PaddedSdpaState, "attend", watched)
    with closing(LLM(model=make_toy().model, max_model_len=64)) as llm:
        seen.clear()  # the model's own checks
        torch.backends.cuda.enable_cudnn_sdp(before)
        try:
            llm.generate([[1, 2, 3]], SamplingParams(max_tokens=3))
            assert torch._C._get_cudnn_sdp_enabled() is before
        finally:
            torch.backends.cuda.enable_cudnn_sdp(at_first)
    assert seen
    assert not any(seen)
