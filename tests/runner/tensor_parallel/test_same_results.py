"""Two ranks give what one process gives: the same tokens, the same thoughts, in float32.

All tests share two ranks, because a rank takes seconds to start. No rank can pickle anything.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from torch.distributed.tensor import DTensor

from qstar_infer.checkpoint import load_from_args, save_model
from qstar_infer.checkpoint.gguf.save import save_gguf
from qstar_infer.config import EngineConfig
from qstar_infer.engine.failure import RequestFailure
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.engine_args import EngineArgs
from qstar_infer.kv_cache.layer_shape import LayerShape
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.outputs import CompletionOutput, RequestOutput
from qstar_infer.runner.tensor_parallel import follower_process
from qstar_infer.runner.tensor_parallel.ranks import Ranks
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.thinking_rule import ThinkingRule

from ...checkpoint.adapter.toys import Workshop
from ...parity.toy import ARCHITECTURES, byte_tokenizer, make_toy
from ...tolerances import TOY_LOGPROBS, TOY_MIXING_WEIGHT
from . import follower_without_pickle

CONFIG = EngineConfig(block_size=4, max_rows=9, num_blocks=60, speculation=3)
"""Small, so that prompts come in chunks and drafts run ahead."""
REQUESTS = [
    SamplingParams(temperature=0.0, max_tokens=24, ignore_eos=True, thought_top_logprobs=4),
    SamplingParams(seed=5, max_tokens=9, ignore_eos=True, top_k=20, top_p=0.9, logprobs=3, n=2),
    SamplingParams(
        seed=6,
        max_tokens=7,
        min_tokens=2,
        repetition_penalty=1.2,
        presence_penalty=0.5,
        logit_bias={15: 2.0, 7: -1.5},
        allowed_token_ids=tuple(range(0, 24, 3)),
    ),
    SamplingParams(seed=7, max_tokens=3, prompt_logprobs=2),
]
"""With token ids that the smallest vocabulary, the lab model's, has."""


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    script = str(follower_without_pickle.__file__)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            patch.setenv(name, "")
            patch.delenv(name)  # what the ranks set is taken back
        patch.setattr(follower_process, "COMMAND", (sys.executable, script))
        for name in ("_pickler", "_unpickler"):
            patch.setattr(f"torch.distributed.distributed_c10d.{name}", None)
        group = Ranks(2, device_type="cpu", num_threads=1)
        yield group
        group.close()


def args_of(path: str | Path, **settings: object) -> EngineArgs:
    return EngineArgs.of(model=str(path), dtype="float32", device="cpu", **settings)


def generate(model: QuietStarModel, ranks: Ranks | None = None) -> dict[str, RequestOutput]:
    """What an engine makes of all requests at the same time."""
    engine = LLMEngine(model, CONFIG, ranks=ranks)
    outputs: dict[str, RequestOutput] = {}
    for i, params in enumerate(REQUESTS):
        prompt = [(i * 31 + j * 7) % 23 + 1 for j in range(5 + 3 * i)]
        request = EngineRequest(request_id=str(i), prompt_token_ids=prompt, params=params)
        admitted = engine.admission.admit(request)
        outputs[str(i)] = admitted.empty_output(None)
        engine.add_request(admitted)
    while engine.has_work:
        for news in engine.step():
            assert not isinstance(news, RequestFailure), news
            outputs[news.request_id].extend(news)
    engine.check_idle()
    return outputs


def check_same(ranks: Ranks, args: EngineArgs) -> QuietStarModel:
    """Compare two ranks with one process; returns the shard of rank 0."""
    alone = generate(load_from_args(args))
    sharded = ranks.load(EngineArgs.of(**args.settings() | {"tensor_parallel_size": 2}))
    together = generate(sharded, ranks)
    for request_id, output in alone.items():
        for one, other in zip(output.outputs, together[request_id].outputs, strict=True):
            _check_same_completion(one, other)
    _check_same_scores(alone["3"], together["3"])
    return sharded


def _check_same_completion(one: CompletionOutput, other: CompletionOutput) -> None:
    assert one.token_ids == other.token_ids
    assert one.finish_reason == other.finish_reason
    for thought, same in zip(one.thoughts, other.thoughts, strict=True):
        assert thought.thought_token_ids == same.thought_token_ids
        assert thought.mixing_weight == pytest.approx(same.mixing_weight, abs=TOY_MIXING_WEIGHT)
        assert thought.logprob == pytest.approx(same.logprob, abs=TOY_LOGPROBS)
        assert thought.base_logprob == pytest.approx(same.base_logprob, abs=TOY_LOGPROBS)
        for name in ("top_logprobs", "base_top_logprobs"):
            likely = [each.logprob for each in getattr(thought, name) or []]
            others = [each.logprob for each in getattr(same, name) or []]
            assert likely == pytest.approx(others, abs=TOY_LOGPROBS)
    for scores, same_scores in zip(one.logprobs or [], other.logprobs or [], strict=True):
        assert scores.keys() == same_scores.keys()


def _check_same_scores(one: RequestOutput, other: RequestOutput) -> None:
    assert one.prompt_logprobs is not None
    assert other.prompt_logprobs is not None
    for scores, others in zip(one.prompt_logprobs[1:], other.prompt_logprobs[1:], strict=True):
        assert scores is not None
        assert others is not None
        assert scores.keys() == others.keys()
        for token_id, score in scores.items():
            assert score.logprob == pytest.approx(others[token_id].logprob, abs=TOY_LOGPROBS)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_gives_the_same(
    ranks: Ranks, architecture: str, tied: bool, tmp_path: Path
) -> None:
    save_model(make_toy(architecture, ties_embeddings=tied).model, tmp_path / "toy")
    model = check_same(ranks, args_of(tmp_path / "toy"))
    embedding, head = model.backbone.get_input_embeddings(), model.backbone.lm_head
    assert (embedding.weight is head.weight) == tied


def test_a_model_that_does_not_think_gives_the_same(ranks: Ranks, tmp_path: Path) -> None:
    save_model(make_toy().model, tmp_path / "toy")
    model = check_same(ranks, args_of(tmp_path / "toy", ignore_thought_parts=True))
    assert not model.can_think


def test_a_gate_decides_the_same(ranks: Ranks, tmp_path: Path) -> None:
    save_model(make_toy(thinking=ThinkingRule(where="gate")).model, tmp_path / "toy")
    check_same(ranks, args_of(tmp_path / "toy"))


def _golden(_: Path) -> str:
    return str(Path(__file__).parents[2] / "golden" / "A" / "checkpoint")


def _gguf(directory: Path) -> str:
    save_gguf(make_toy(ties_embeddings=True).model, directory / "toy", kind="f32")
    return str(directory / "toy")


def _adapter(directory: Path) -> str:
    workshop = Workshop(directory, byte_tokenizer())
    base = workshop.base("tied")
    return str(workshop.adapter("adapter", base, target_modules=["q_proj", "down_proj"]))


@pytest.mark.parametrize(
    "make",
    [lambda _: "lab", _golden, _gguf, _adapter],
    ids=["lab", "published", "gguf", "adapter"],
)
def test_every_kind_of_checkpoint_gives_the_same(
    ranks: Ranks, make: Callable[[Path], str], tmp_path: Path
) -> None:
    check_same(ranks, args_of(make(tmp_path)))


def test_a_rank_holds_its_share_only(ranks: Ranks, tmp_path: Path) -> None:
    toy = make_toy().model
    save_model(toy, tmp_path / "toy")
    model = ranks.load(args_of(tmp_path / "toy", tensor_parallel_size=2))
    assert model.layer_shapes == [
        LayerShape(num_kv_heads=1, key_dim=8, value_dim=8, window=None) for _ in range(2)
    ]
    whole = dict(toy.backbone.named_parameters())
    for name, weight in model.backbone.named_parameters():
        part = weight.to_local() if isinstance(weight, DTensor) else weight
        assert part.numel() * (1 if "norm" in name else 2) == whole[name].numel(), name


def test_no_rank_listens_where_other_machines_could_reach_it(ranks: Ranks) -> None:
    follower = ranks._followers[0]
    for pid in (psutil.Process().pid, follower.pid):
        listening = [
            each.laddr.ip
            for each in psutil.Process(pid).net_connections(kind="inet")
            if each.status == psutil.CONN_LISTEN
        ]
        assert listening, "gloo listens for the other rank"
        assert set(listening) == {"127.0.0.1"}


def test_a_number_that_is_not_finite_ends_one_request(ranks: Ranks, tmp_path: Path) -> None:
    """No rank stops: the pass of a broken row has been computed like any other."""
    toy = make_toy().model
    save_model(toy, tmp_path / "toy")
    model = ranks.load(args_of(tmp_path / "toy", tensor_parallel_size=2))
    assert model.thought_parts is not None
    with torch.no_grad():
        model.thought_parts.talk_head.last_layer.weight.fill_(float("nan"))
    engine = LLMEngine(model, CONFIG, ranks=ranks)
    for name, length in (("thinks", None), ("plain", 0)):
        params = SamplingParams(max_tokens=3, ignore_eos=True, num_thought_tokens=length)
        request = EngineRequest(request_id=name, prompt_token_ids=[1, 2, 3], params=params)
        engine.add_request(engine.admission.admit(request))
    failed, finished = set(), set()
    while engine.has_work:
        for news in engine.step():
            if isinstance(news, RequestFailure):
                failed.add(news.request_id)
            elif news.finished:
                finished.add(news.request_id)
    assert (failed, finished) == ({"thinks"}, {"plain"})
