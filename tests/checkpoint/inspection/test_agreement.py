"""Inspecting never disagrees with loading: same outcome, same reason, same facts.

The checkpoints are those of the other tests: each format and layout, whole and damaged.
"""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerBase

from qstar_infer.checkpoint import save_model
from qstar_infer.checkpoint.layouts.lightning import convert_lightning

from ..adapter.toys import QV, Workshop
from ..fuzz.gguf_files import change, make_content, write
from ..fuzz.mutations import mutate
from ..fuzz.seeds import SEEDS, make_all
from ..gguf.toys import ARCHITECTURES, write_toy
from ..layouts.makers import gated, mix_head, mixer_head, ponderlm, reference
from ..layouts.makers.common import Made, make_tokenizer
from ..layouts.makers.lightning import make_base, make_lightning
from .agreement import check_agreement

pytestmark = pytest.mark.filterwarnings("ignore")  # peft and transformers warn about mutations

MAKERS: dict[str, Callable[[Path], object]] = {
    **SEEDS,
    "HansPolo113": mix_head.make_mix_head,
    "dimitriye98": lambda path: mixer_head.make_mixer_head(
        path, hidden_layers=0, has_tokenizer=True
    ),
}
CASES_PER_TEST = 10
TESTS = 60
FAST = 4


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_all(MAKERS, tmp_path_factory)


@pytest.fixture(scope="module")
def workshop(
    tmp_path_factory: pytest.TempPathFactory, plain_tokenizer: PreTrainedTokenizerBase
) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("adapters"), plain_tokenizer)


@pytest.mark.parametrize("name", MAKERS)
def test_formats(name: str, seeds: dict[str, Path]) -> None:
    assert check_agreement(seeds[name]) == "loaded"


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[pytest.mark.slow] * (n >= FAST)) for n in range(TESTS)]
)
def test_changed_checkpoints(number: int, seeds: dict[str, Path], tmp_path: Path) -> None:
    outcomes = set()
    for case in range(number * CASES_PER_TEST, (number + 1) * CASES_PER_TEST):
        random = Random(case)
        name = random.choice(sorted(seeds))
        directory = Path(shutil.copytree(seeds[name], tmp_path / str(case)))
        what = mutate(directory, random)
        try:
            outcomes.add(check_agreement(directory))
        except AssertionError as failure:
            raise AssertionError(f"case {case}, {name}, {what}: {failure}") from failure
        shutil.rmtree(directory)
    assert "refused" in outcomes


LAYOUTS: dict[str, tuple[Callable[[Path], Made], str]] = {
    "paper": (lambda path: reference.make_reference(path, max_thoughts=13), "loaded"),
    "paper, no length": (lambda path: reference.make_reference(path, max_thoughts=2), "refused"),
    "Fast-Quiet-STaR, last stage": (
        lambda path: reference.make_reference(path, max_thoughts=3),
        "loaded",
    ),
    "Fast-Quiet-STaR, no tokenizer": (
        lambda path: reference.make_reference(path, max_thoughts=25, has_tokenizer=False),
        "refused",
    ),
    "HansPolo113": (mix_head.make_mix_head, "loaded"),
    "dimitriye98": (
        lambda path: mixer_head.make_mixer_head(path, hidden_layers=0, has_tokenizer=True),
        "loaded",
    ),
    "dimitriye98, no tokenizer": (mixer_head.make_mixer_head, "refused"),
    "gated": (gated.make_gated, "refused"),
    "gated, edit": (lambda path: gated.make_gated(path, is_edit=True), "refused"),
    "PonderLM-2": (ponderlm.make_ponderlm, "refused"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str, tmp_path: Path) -> None:
    make, outcome = LAYOUTS[name]
    assert check_agreement(make(tmp_path / "checkpoint").directory) == outcome


@pytest.mark.parametrize("name", ["Fast-Quiet-STaR, no tokenizer", "dimitriye98, no tokenizer"])
def test_layouts_with_a_tokenizer_from_elsewhere(name: str, tmp_path: Path) -> None:
    make_tokenizer(with_delimiters=False).save_pretrained(tmp_path / "base")
    make, _ = LAYOUTS[name]
    directory = make(tmp_path / "checkpoint").directory
    assert check_agreement(directory, tokenizer=tmp_path / "base") == "loaded"
    assert check_agreement(directory, tokenizer=tmp_path / "absent") == "refused"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gguf(architecture: str, tmp_path: Path) -> None:
    check_agreement(write_toy(tmp_path / "x.gguf", architecture, tied=architecture == "gemma"))


@pytest.mark.parametrize(
    "change",
    [
        {"keys": {"other.key": 1}},
        {"keys": {"rope.scaling.type": "nonsense"}},
        {"without": ["block_count"]},
        {"without": ["blk.1.ffn_up"]},
        {"tied": True},
        {"biases": ["attn_q"]},
    ],
    ids=str,
)
def test_changed_gguf(change: dict[str, Any], tmp_path: Path) -> None:
    check_agreement(write_toy(tmp_path / "x.gguf", "llama", **change))


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[pytest.mark.slow] * (n >= FAST)) for n in range(TESTS)]
)
def test_randomly_changed_gguf(number: int, tmp_path: Path) -> None:
    outcomes = set()
    for case in range(number * CASES_PER_TEST, (number + 1) * CASES_PER_TEST):
        content = copy.deepcopy(make_content())
        what = change(content, Random(case))
        write(content, tmp_path / f"{case}.gguf")
        try:
            outcomes.add(check_agreement(tmp_path / f"{case}.gguf"))
        except AssertionError as failure:
            raise AssertionError(f"case {case}, {what}: {failure}") from failure
    assert "refused" in outcomes


def test_gguf_that_was_cut_off(tmp_path: Path) -> None:
    path = write_toy(tmp_path / "x.gguf")
    path.write_bytes(path.read_bytes()[:-100])
    assert check_agreement(path) == "refused"


ADAPTERS: dict[str, dict[str, Any]] = {
    "lora": QV,
    "dora": QV | {"use_dora": True},
    "rslora": QV | {"use_rslora": True},
    "patterns": QV | {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    "biases": QV | {"bias": "all"},
    "saved embedding": QV | {"modules_to_save": ["embed_tokens"]},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "tokens": QV | {"trainable_token_indices": [3, 4]},
    "pissa": QV | {"init_lora_weights": "pissa"},
}


@pytest.mark.parametrize("base", ["llama", "tied"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters(name: str, base: str, workshop: Workshop) -> None:
    adapter = workshop.adapter(f"inspect-{base}-{name}", workshop.base(base), **ADAPTERS[name])
    check_agreement(adapter)


def test_adapter_of_another_base(workshop: Workshop, tmp_path: Path) -> None:
    adapter = Path(
        shutil.copytree(workshop.adapter("other", workshop.base("llama"), **QV), tmp_path / "a")
    )
    tensors = load_file(adapter / "adapter_model.safetensors")
    wider = {name: torch.cat([each, each], dim=-1) for name, each in tensors.items()}
    save_file(wider, adapter / "adapter_model.safetensors")
    assert check_agreement(adapter) == "refused"


def test_adapter_whose_base_is_gone(workshop: Workshop, edit_json: Any, tmp_path: Path) -> None:
    adapter = Path(
        shutil.copytree(workshop.adapter("gone", workshop.base("llama"), **QV), tmp_path / "a")
    )
    edit_json(adapter / "adapter_config.json", base_model_name_or_path=str(tmp_path / "absent"))
    assert check_agreement(adapter) == "refused"


def test_sources_that_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello", encoding="utf-8")
    torch.save({}, tmp_path / "x.ckpt")
    torch.save({}, tmp_path / "x.bin")
    for name in ("empty", "absent", "text.txt", "x.ckpt", "x.bin"):
        assert check_agreement(tmp_path / name) == "refused"


def test_a_converted_lightning_file(
    tmp_path: Path, plain_tokenizer: PreTrainedTokenizerBase
) -> None:
    model = make_base(tmp_path / "base", plain_tokenizer)
    torch.save(make_lightning(model), tmp_path / "x.ckpt")
    save_model(convert_lightning(tmp_path / "x.ckpt", tmp_path / "base"), tmp_path / "native")
    assert check_agreement(tmp_path / "native") == "loaded"


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.7, "top_k": 20, "do_sample": True},
        {"temperature": 3.0, "do_sample": True},
        {"eos_token_id": [1, 2]},
        {"eos_token_id": "x"},
    ],
    ids=str,
)
def test_generation_configs(values: dict[str, Any], make_plain: Any, edit_json: Any) -> None:
    directory = make_plain()
    edit_json(directory / "generation_config.json", **values)
    check_agreement(directory)
