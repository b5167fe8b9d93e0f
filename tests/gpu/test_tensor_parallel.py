"""Two GPUs share a model through NCCL."""

from pathlib import Path

import pytest
import torch

from qstar_infer import LLM, SamplingParams
from qstar_infer.checkpoint import save_model

from ..parity.toy import make_toy


def test_two_gpus_give_what_one_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip(f"needs two GPUs, and torch sees {torch.cuda.device_count()}")
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    monkeypatch.delenv("NCCL_SOCKET_IFNAME", raising=False)
    save_model(make_toy().model, tmp_path / "toy")
    params = SamplingParams(max_tokens=16, temperature=0.0, ignore_eos=True)
    texts = []
    for num_gpus in (1, 2):
        llm = LLM(
            str(tmp_path / "toy"), device="cuda", dtype="float32", tensor_parallel_size=num_gpus
        )
        (output,) = llm.generate("abc", params)
        texts.append(output.outputs[0].token_ids)
        llm.close()
    assert texts[0] == texts[1]
