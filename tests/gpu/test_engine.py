"""What differs on a GPU: dtype and device by default, the size of the pool, failures."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import torch

from qstar_infer import LLM, QuietStarModel, RequestFailedError, SamplingParams, load_model
from qstar_infer.config import EngineConfig
from qstar_infer.engine.sizing import bytes_per_slot, num_pool_blocks

from ..device import DEVICE
from ..parity.toy import END_ID, START_ID, Toy, byte_tokenizer, make_toy

PROMPT = [72, 105, 33, 1, 200, 14, 9]
GREEDY = SamplingParams(temperature=0.0, max_tokens=12, ignore_eos=True)
ROOT = Path(__file__).parents[2]


def test_by_default_a_model_is_on_the_gpu_in_its_own_dtype(tmp_path: Path) -> None:
    stock = make_toy().stock.bfloat16()
    stock.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    model = load_model(tmp_path)
    assert model.device == torch.device("cuda:0")
    assert model.dtype == torch.bfloat16
    named = load_model(tmp_path, device="cuda:0", dtype="float32")
    assert (named.device, named.dtype) == (torch.device("cuda:0"), torch.float32)


def test_the_pool_fits_in_free_memory() -> None:
    model = make_toy().model
    many = EngineConfig(max_num_seqs=10**9)
    blocks = num_pool_blocks(model, many, max_model_len=256)
    num_bytes = blocks * many.block_size * bytes_per_slot(model)
    free, _ = torch.cuda.mem_get_info()
    assert 0.8 * free < num_bytes < 0.9 * free
    # Memory that an earlier engine has freed counts as free.
    earlier = torch.empty(free // 2, dtype=torch.uint8, device=DEVICE)
    del earlier
    assert num_pool_blocks(model, many, max_model_len=256) > 0.95 * blocks


def halve(toy: Toy, dtype: torch.dtype) -> QuietStarModel:
    """The toy in this dtype, with its thought parts in float32, as a loader leaves them."""
    toy.model.to(dtype)
    toy.model.thinking_parts.float()
    return toy.model


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.2), (torch.float16, 0.03)])
def test_half_precision_stays_near_float32(dtype: torch.dtype, bound: float) -> None:
    """Logits reach 43, where a unit in the last place of bfloat16 is 0.25."""
    toy = make_toy()
    ids = torch.tensor([[i * 37 % 250 for i in range(100)]])
    with torch.no_grad():
        logits = toy.stock(ids).logits[0, :-1]
    logits[:, [START_ID, END_ID]] = -torch.inf
    want = logits.log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    params = SamplingParams(max_tokens=0, prompt_logprobs=0, num_thought_tokens=0)
    with closing(LLM(model=halve(toy, dtype))) as llm:
        scores = llm.generate(ids.tolist(), params)[0].prompt_logprobs
    assert scores is not None
    pairs = zip(ids[0, 1:].tolist(), scores[1:], strict=True)
    got = torch.tensor([entry[token_id].logprob for token_id, entry in pairs if entry is not None])
    assert float((got - want).abs().mean()) < bound


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_thinks_with_any_speculation(dtype: torch.dtype) -> None:
    """The texts may part where two logits nearly tie, but most tokens agree."""
    model = halve(make_toy(), dtype)
    params = SamplingParams(temperature=0.0, max_tokens=40, ignore_eos=True)
    prompts = [[seed * 31 % 250 + i for i in range(5)] for seed in range(8)]
    texts = []
    for speculation in ("off", "auto"):
        with closing(LLM(model=model, speculation=speculation)) as llm:
            outputs = llm.generate(prompts, params)
        texts.append([output.outputs[0].token_ids for output in outputs])
    assert all(len(text) == 40 for text in texts[1])
    pairs = list(zip(*texts, strict=True))
    assert sum(a[:5] == b[:5] for a, b in pairs) >= 4


def test_the_engine_continues_after_real_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_toy().model
    with closing(LLM(model=model)) as llm:
        want = llm.generate([PROMPT], GREEDY)[0].outputs[0].token_ids
        whole = model.logits

        def fill(hidden: torch.Tensor) -> torch.Tensor:
            torch.empty(2**42, dtype=torch.uint8, device=DEVICE)
            return whole(hidden)

        with monkeypatch.context() as patch:
            patch.setattr(model, "logits", fill)
            with pytest.raises(RequestFailedError) as caught:
                llm.generate([PROMPT], GREEDY)
        assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
        assert llm.generate([PROMPT], GREEDY)[0].outputs[0].token_ids == want


BREAK = """
import queue
import torch
from qstar_infer import EngineDeadError
from qstar_infer.engine.async_engine import AsyncEngine
from qstar_infer.engine.llm_engine import LLMEngine
from tests.engine.test_async_engine import request, submit
from tests.parity.toy import make_toy

model = make_toy().model
thread = AsyncEngine(LLMEngine(model))
embed = model.embed
model.embed = lambda ids: embed(ids + 10**6)  # an index out of range: a device-side assert
news = queue.Queue()
submit(thread, [request("a")], news.put)
told = news.get(timeout=60)
print(type(told).__name__, thread.is_alive)
"""


def test_a_real_device_failure_ends_the_engine() -> None:
    """In a process of its own, because no later call of CUDA works in it."""
    done = subprocess.run(
        [sys.executable, "-c", BREAK], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "EngineDeadError False" in done.stdout, done.stdout + done.stderr[-3000:]
