"""Lightning checkpoints of expz/quiet-star: converted to the same numbers, or refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qstar_infer.checkpoint import load_model, save_model
from qstar_infer.checkpoint.layouts.lightning import convert_lightning
from qstar_infer.checkpoint.tokenizer import load_tokenizer
from qstar_infer.errors import CheckpointError
from qstar_infer.llm import LLM
from qstar_infer.sampling_params import SamplingParams

from .makers.lightning import END, START, make_base, make_lightning, mixed_logits

TEXT = [7, 301, 42, 88, 263, 5]
LENGTH = 3
# Both sides compute in float32 and differ in the order of sums only; logits are below 10.
TOLERANCE = 2e-5

Changer = Callable[[dict[str, Any]], object]
Converter = Callable[..., Path]


@pytest.fixture
def base(tmp_path: Path, plain_tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The model whose config and tokenizer are in `tmp_path / "base"`."""
    return make_base(tmp_path / "base", plain_tokenizer)


def write(path: Path, model: PreTrainedModel, change: Changer | None = None) -> dict[str, Tensor]:
    """Write the file of a model; returns its `state_dict`."""
    content = make_lightning(model)
    if change is not None:
        change(content)
    torch.save(content, path)
    state: dict[str, Tensor] = content.get("state_dict", {})
    return state


def converted(path: Path, **options: Any) -> Path:
    """The native checkpoint of a file whose base is next to it."""
    model = convert_lightning(path, path.parent / "base", **options)
    save_model(model, path.parent / "native")
    return path.parent / "native"


@torch.no_grad()
def assert_same_numbers(
    directory: Path, reference: PreTrainedModel, state: dict[str, Tensor]
) -> None:
    model = load_model(directory, dtype="stored", device="cpu")
    trace = model.think(torch.tensor([TEXT]))
    for index in range(len(TEXT)):
        logits, thought = mixed_logits(reference, state, TEXT[: index + 1], length=LENGTH)
        assert trace.thought_ids[0, index].tolist() == thought
        logits[[START, END]] = -torch.inf
        torch.testing.assert_close(trace.logits[0, index], logits, atol=TOLERANCE, rtol=0)


def test_converted_model_computes_what_the_code_computes(
    base: PreTrainedModel, tmp_path: Path
) -> None:
    state = write(tmp_path / "x.ckpt", base)
    directory = converted(tmp_path / "x.ckpt")
    assert_same_numbers(directory, base, state)
    content = json.loads((directory / "quiet_star.json").read_text(encoding="utf-8"))
    assert content["num_thought_tokens"] == LENGTH
    assert content["num_talk_tokens"] == 2
    assert (content["start_thought_token_id"], content["end_thought_token_id"]) == (START, END)
    assert content["talk_head"]["sigmoid"] is True


def test_the_thoughts_matter(base: PreTrainedModel, tmp_path: Path) -> None:
    """Otherwise the comparison of logits could not tell an inverted weight."""
    write(tmp_path / "x.ckpt", base)
    trace = load_model(converted(tmp_path / "x.ckpt")).think(torch.tensor([TEXT]))
    assert 0.05 < trace.mixing_weight.min() < trace.mixing_weight.max() < 0.95
    kept = trace.logits.isfinite()
    assert (trace.logits - trace.base_logits)[kept].abs().max() > 0.1


def test_completion_with_thoughts(base: PreTrainedModel, tmp_path: Path) -> None:
    """The engine's greedy tokens are those of the rule, one token after the other."""
    state = write(tmp_path / "x.ckpt", base)
    text = list(TEXT)
    with torch.no_grad():
        for _ in range(4):
            logits, _ = mixed_logits(base, state, text, length=LENGTH)
            logits[[START, END]] = -torch.inf
            text.append(int(logits.argmax()))
    llm = LLM(converted(tmp_path / "x.ckpt"), dtype="stored", max_model_len=64)
    (answer,) = llm.generate([TEXT], SamplingParams(temperature=0, max_tokens=4, ignore_eos=True))
    llm.close()
    assert answer.outputs[0].token_ids == text[len(TEXT) :]
    assert all(len(each.thought_token_ids) == LENGTH for each in answer.outputs[0].thoughts)


def test_delimiters_keep_their_own_names(base: PreTrainedModel, tmp_path: Path) -> None:
    write(tmp_path / "x.ckpt", base)
    tokenizer = load_model(converted(tmp_path / "x.ckpt")).tokenizer
    names = ["<|startofthought|>", "<|endofthought|>"]
    assert tokenizer.convert_tokens_to_ids(names) == [START, END]
    assert tokenizer.decode([START, 42, END], skip_special_tokens=True) == tokenizer.decode([42])


def test_embedding_that_training_enlarged(
    tmp_path: Path, plain_tokenizer: PreTrainedTokenizerBase
) -> None:
    """A base without spare rows got two more, and its two embeddings are no longer tied."""
    model = make_base(tmp_path / "base", plain_tokenizer, vocab_size=502, tie_word_embeddings=False)
    config = json.loads((tmp_path / "base" / "config.json").read_text(encoding="utf-8"))
    config |= {"vocab_size": 500, "tie_word_embeddings": True}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    state = write(tmp_path / "x.ckpt", model)
    assert_same_numbers(converted(tmp_path / "x.ckpt"), model, state)


def test_bfloat16_is_kept(base: PreTrainedModel, tmp_path: Path) -> None:
    write(tmp_path / "x.ckpt", base.bfloat16())
    model = load_model(converted(tmp_path / "x.ckpt"), dtype="stored")
    assert model.dtype == torch.bfloat16


def test_given_length_wins(base: PreTrainedModel, tmp_path: Path) -> None:
    write(tmp_path / "x.ckpt", base)
    model = convert_lightning(tmp_path / "x.ckpt", tmp_path / "base", num_thought_tokens=5)
    assert model.num_thought_tokens == 5
    assert model.config is not None
    assert "given by the caller" in model.config.notes[0]


def test_generation_config_of_the_base_is_kept(base: PreTrainedModel, tmp_path: Path) -> None:
    base.generation_config.update(do_sample=True, top_k=17)
    base.generation_config.save_pretrained(tmp_path / "base")
    write(tmp_path / "x.ckpt", base)
    assert load_model(converted(tmp_path / "x.ckpt")).backbone.generation_config.top_k == 17


class TrainerConfig:
    """In place of the class of the trainer's settings."""

    thought_length, lookahead_tokens = LENGTH, 2


def test_the_lines_of_the_documentation_make_a_file_plain(
    base: PreTrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_trained(content: dict[str, Any]) -> None:
        content["hyper_parameters"]["config"] = TrainerConfig()

    monkeypatch.chdir(tmp_path)
    write(tmp_path / "FILE.ckpt", base, as_trained)
    with pytest.raises(CheckpointError, match="wants to run code: .*TrainerConfig"):
        convert_lightning(tmp_path / "FILE.ckpt", tmp_path / "base")
    page = (Path(__file__).parents[3] / "docs" / "loading.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(import torch\n.+?)```", page, flags=re.DOTALL)
    assert block is not None
    exec(block[1], {})
    model = convert_lightning(tmp_path / "plain.ckpt", tmp_path / "base")
    assert model.num_thought_tokens == LENGTH


def _set(name: str, value: Any) -> Changer:
    """Set a tensor; `...` removes it."""

    def change(content: dict[str, Any]) -> None:
        state = content["state_dict"]
        if value is ...:
            del state[name]
        else:
            state[name] = value(state[name]) if callable(value) else value

    return change


def _config(**values: Any) -> Changer:
    """Set keys of `hyper_parameters.config`; `...` removes one."""

    def change(content: dict[str, Any]) -> None:
        config = content["hyper_parameters"]["config"] | values
        kept = {key: value for key, value in config.items() if value is not ...}
        content["hyper_parameters"]["config"] = kept

    return change


def _everywhere(ending: str, change: Callable[[Tensor], Tensor]) -> Changer:
    """Change all tensors whose names end so, and their copies."""

    def change_all(content: dict[str, Any]) -> None:
        state = content["state_dict"]
        state |= {name: change(state[name]) for name in state if name.endswith(ending)}

    return change_all


REFUSED = {
    "copy of the embedding differs": (_set("tok_emb.weight", lambda t: t + 1), "tok_emb.weight"),
    "copy of a layer differs": (
        _set("layers.1.mlp.up_proj.weight", lambda t: t * 2),
        "layers.1.mlp.up_proj.weight .*differs from model.model.layers.1.mlp.up_proj.weight",
    ),
    "copy of the output embedding differs": (_set("lm_head.weight", lambda t: -t), "lm_head"),
    "copy of another dtype": (_set("ln.weight", lambda t: t.double()), "ln.weight .*differs"),
    "unknown tensor": (_set("gate.weight", torch.ones(2)), "does not use.*|gate.weight"),
    "copy of nothing": (_set("layers.7.mlp.up_proj.weight", torch.ones(2)), "layers.7"),
    "third layer of the head": (_set("mixing_mlp.4.weight", torch.ones(1)), "mixing_mlp.4"),
    "missing layer": (_set("model.model.layers.0.mlp.up_proj.weight", ...), "lacks 1 tensor"),
    "missing head": (_set("mixing_mlp.2.bias", ...), "lacks 1 tensor .mixing_mlp.2.bias"),
    "missing embedding": (_set("model.model.embed_tokens.weight", ...), "embed_tokens"),
    "transposed head": (_set("mixing_mlp.2.weight", lambda t: t.T), "mixing_mlp.2.weight"),
    "integers": (_set("mixing_mlp.0.bias", lambda t: t.int()), "mixing_mlp.0.bias .*int32"),
    "not a number": (_set("mixing_mlp.0.bias", lambda t: t / 0 * 0), "NaN"),
    "infinite weight": (_everywhere("up_proj.weight", lambda t: t / 0), "NaN"),
    "sparse": (_set("ln.weight", lambda t: t.to_sparse()), "ln.weight .*not a dense tensor"),
    "a number for a tensor": (_set("ln.weight", 3), "ln.weight .*not a dense tensor"),
    "no length": (_config(thought_length=...), "thought_length"),
    "length of 0": (_config(thought_length=0), "thought_length = 0"),
    "length of True": (_config(thought_length=True), "thought_length = True"),
    "negative lookahead": (_config(lookahead_tokens=-1), "lookahead_tokens = -1"),
    "unknown setting": (_config(mixing_mode="sum"), "mixing_mode"),
    "unknown key": (lambda content: content.update(ema={}), "ema"),
    "no settings": (lambda content: content.pop("hyper_parameters"), "hyper_parameters"),
    "no weights": (lambda content: content.pop("state_dict"), "state_dict"),
    "settings in a list": (lambda content: content.update(hyper_parameters=[]), "list"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_refused(base: PreTrainedModel, tmp_path: Path, case: str) -> None:
    change, message = REFUSED[case]
    write(tmp_path / "x.ckpt", base, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        convert_lightning(tmp_path / "x.ckpt", tmp_path / "base")
    assert "\n" not in str(caught.value)


def test_another_base_is_refused(
    base: PreTrainedModel, tmp_path: Path, plain_tokenizer: PreTrainedTokenizerBase
) -> None:
    write(tmp_path / "x.ckpt", base)
    make_base(tmp_path / "other", plain_tokenizer, num_hidden_layers=3)
    with pytest.raises(CheckpointError, match="lacks 12 tensors"):
        convert_lightning(tmp_path / "x.ckpt", tmp_path / "other")


def test_tokenizer_with_too_many_ids_is_refused(base: PreTrainedModel, tmp_path: Path) -> None:
    write(tmp_path / "x.ckpt", base)
    tokenizer = load_tokenizer(tmp_path / "base")
    tokenizer.add_tokens([f"more{index}" for index in range(20)])
    tokenizer.save_pretrained(tmp_path / "base")
    with pytest.raises(CheckpointError, match="512 embedding rows.*up to 521"):
        convert_lightning(tmp_path / "x.ckpt", tmp_path / "base")


def test_tokenizer_with_one_delimiter_is_refused(base: PreTrainedModel, tmp_path: Path) -> None:
    write(tmp_path / "x.ckpt", base)
    tokenizer = load_tokenizer(tmp_path / "base")
    tokenizer.add_tokens(["<|endofthought|>"])
    tokenizer.save_pretrained(tmp_path / "base")
    with pytest.raises(CheckpointError, match="lacks the other of the delimiters"):
        convert_lightning(tmp_path / "x.ckpt", tmp_path / "base")


def test_base_with_code_is_refused(base: PreTrainedModel, tmp_path: Path) -> None:
    write(tmp_path / "x.ckpt", base)
    config = json.loads((tmp_path / "base" / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoConfig": "code.Config"}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match="auto_map"):
        convert_lightning(tmp_path / "x.ckpt", tmp_path / "base")
