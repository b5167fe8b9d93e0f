"""The trainer: restarts, accumulation and checkpointing change nothing; bad numbers stop it."""

import contextlib
import gc
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from qstar_infer.checkpoint import load_model, save_model
from qstar_infer.errors import CheckpointError, ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.config import TrainConfig
from qstar_train.data.windows import WindowStream
from qstar_train.trainer.model_setup import load_to_train, model_to_train
from qstar_train.trainer.objective_module import ObjectiveModule
from qstar_train.trainer.processes import TrainingError
from qstar_train.trainer.run_directory import RunDirectory
from qstar_train.trainer.state import saved_states, state_step
from qstar_train.trainer.train import train

from ..parity.toy import byte_tokenizer
from ..tolerances import TOY_LOGPROBS, assert_adam_close
from .trainer_toys import config_of, write_config

LORA = {"rank": 2, "alpha": 4}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("train"))


def metrics_of(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "tokens_per_s"} for line in lines]


def run(config: Path, directory: Path, *, resume: bool = False, **changes: Any) -> Path:
    train(config_of(config, output=str(directory), **changes), resume=resume)
    return directory


@pytest.mark.parametrize(
    "changes",
    [{}, {"lora": LORA}, {"thought_lengths": [1, 2, 3], "true_thought_share": 0.5}],
    ids=["full", "lora", "several lengths"],
)
def test_resumed_equals_uninterrupted_bit_for_bit(
    config: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    whole = run(config, tmp_path / "whole", **changes)
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)  # as if it had ended after step 2, while writing a log line
    shutil.rmtree(cut / "states" / "step-000004")
    shutil.rmtree(cut / "model")
    log = (whole / "metrics.jsonl").read_text()
    (cut / "metrics.jsonl").write_text(log[: len(log) * 3 // 4])
    run(config, cut, resume=True, **changes)
    for name in ("weights", "optimizer"):
        file = f"states/step-000004/{name}.safetensors"
        assert (whole / file).read_bytes() == (cut / file).read_bytes()
    for name in ("model", "quiet_star"):
        file = f"model/{name}.safetensors"
        assert (whole / file).read_bytes() == (cut / file).read_bytes()
    assert metrics_of(whole) == metrics_of(cut)


@pytest.mark.parametrize("changes", [{"micro_batch_size": 1}, {"gradient_checkpointing": True}])
def test_how_the_work_is_cut_changes_nothing(
    config: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    want = load_file(
        run(config, tmp_path / "a", steps=2) / "states/step-000002/weights.safetensors"
    )
    other = run(config, tmp_path / "b", steps=2, **changes)
    got = load_file(other / "states/step-000002/weights.safetensors")
    for name, tensor in want.items():
        assert_adam_close(got[name], tensor, learning_rate=1e-3, num_steps=2, name=name)


@pytest.mark.parametrize("model", ["toy", "plain"])  # plain: tied embeddings, fresh parts
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_everything_that_learns_moves_and_nothing_else(
    config: Path, tmp_path: Path, model: str, lora: dict[str, int] | None
) -> None:
    changes: dict[str, Any] = {"model": str(config.parent / model), "lora": lora}
    settings = config_of(config, **changes)
    before = ObjectiveModule(model_to_train(settings, device="cpu"), settings.objective)
    state = run(config, tmp_path / "run", steps=4, **changes) / "states" / "step-000004"
    after = load_file(state / "weights.safetensors")
    learning = {name: p for name, p in before.named_parameters() if p.requires_grad}
    assert set(learning) == set(after)
    assert not [name for name in after if torch.equal(after[name], learning[name])]


def test_windows_that_are_not_thought_about_train_the_base_alone(config: Path) -> None:
    settings = config_of(config, objective={"num_passes": 1, "think_every": 2})
    module = ObjectiveModule(model_to_train(settings, device="cpu"), settings.objective)
    ids = torch.randint(0, 256, (4, 12), generator=torch.Generator().manual_seed(1))
    numbers = torch.arange(4)
    some = module(ids, numbers, seed=0)
    every = ObjectiveModule(module.model, settings.objective.model_copy(update={"think_every": 1}))
    thinking = every(ids[[0, 2]], numbers[[0, 2]], seed=0)
    assert torch.equal(some["thought_ids"], thinking["thought_ids"])
    logits = module.model.think(ids).base_logits.float()
    base = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none").mean(1)
    weight = settings.objective.base_loss_weight
    want = thinking["loss"] + weight * (base.mean() - base[[0, 2]].mean())
    torch.testing.assert_close(some["loss"], want, rtol=0, atol=TOY_LOGPROBS)


def test_the_checkpoint_loads_and_the_adapter_is_the_same_model(
    config: Path, tmp_path: Path
) -> None:
    plain = str(config.parent / "plain")
    objective = {"num_talk_tokens": 2, "thought_temperature": 0.6}
    directory = run(config, tmp_path / "run", lora=LORA, model=plain, objective=objective)
    ids = torch.randint(0, 256, (1, 9), generator=torch.Generator().manual_seed(1))
    merged = load_model(directory / "model", dtype="float32", device="cpu")
    adapted = load_model(directory / "adapter", dtype="float32", device="cpu")
    assert merged.config is not None
    assert merged.config.training is not None
    assert merged.config.num_talk_tokens == 2
    assert merged.config.thought_temperature == 0.6  # requests take the one it was trained at
    got, want = adapted.think(ids), merged.think(ids)
    # Both are merged in float32, once by the trainer and once by the loader.
    torch.testing.assert_close(got.base_logits, want.base_logits, rtol=1e-5, atol=1e-5)
    for name, tensor in merged.thinking_parts.state_dict().items():
        assert torch.equal(adapted.thinking_parts.state_dict()[name], tensor), name


def test_a_loss_that_is_not_finite_stops_before_the_update(config: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Step 1: total_loss is inf"):
        run(config, tmp_path / "run", objective={"policy_weight": 1e39})
    assert not list((tmp_path / "run").glob("states/*"))


def test_weights_that_are_not_finite_stop_before_the_update(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NaN logits once sampled a token past the vocabulary, and the run ended with an IndexError."""

    def poisoned(config: TrainConfig, **options: Any) -> tuple[QuietStarModel, TrainConfig]:
        model, config = load_to_train(config, **options)
        weight = model.backbone.base_model.get_parameter("layers.0.mlp.up_proj.weight")
        weight.data[0, 0] = float("nan")
        return model, config

    monkeypatch.setattr("qstar_train.trainer.train.load_to_train", poisoned)
    with pytest.raises(TrainingError, match="total_loss is nan"):
        run(config, tmp_path / "run")
    assert not list((tmp_path / "run").glob("states/*"))


@pytest.mark.parametrize("stops", [False, True])
def test_modules_are_gone_before_the_process_group_ends(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: bool
) -> None:
    """DDP as the last to hold gloo's group waited for its threads, and they for the interpreter."""
    left: list[int] = []

    def end(accelerator: Accelerator) -> None:
        del accelerator
        left.append(sum(type(item) is ObjectiveModule for item in gc.get_objects()))

    monkeypatch.setattr(Accelerator, "end_training", end)
    gc.collect()
    before = sum(type(item) is ObjectiveModule for item in gc.get_objects())
    if stops:
        monkeypatch.setattr("qstar_train.trainer.loop._check_finite", fail)
    with contextlib.suppress(TrainingError):
        run(config, tmp_path / "run", steps=1)
    assert left == [before]


def fail(*_: object, **__: object) -> None:
    raise TrainingError("stopped")


def test_a_run_is_neither_overwritten_nor_resumed_with_other_settings(
    config: Path, tmp_path: Path
) -> None:
    directory = run(config, tmp_path / "run", steps=1)
    with pytest.raises(ConfigError, match="already holds a run.*--resume"):
        run(config, directory, steps=1)
    with pytest.raises(ConfigError, match=r"other settings: seed was 0 and is 3\. Resume"):
        run(config, directory, steps=1, seed=3, resume=True)
    with pytest.raises(ConfigError, match=r": objective\.policy_weight was 1000000\.0 and is 3\.0"):
        run(config, directory, steps=1, **{"objective.policy_weight": 3}, resume=True)
    run(config, directory, steps=1, gradient_checkpointing=True, resume=True)


def test_a_run_goes_on_with_other_rates_and_for_longer(
    config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that stopped at NaN was told to go on with a smaller rate, and then refused that."""
    directory = run(config, tmp_path / "run", steps=2)
    changes: dict[str, Any] = {
        "optimizer.learning_rate": 1e-4,
        "optimizer.schedule": "constant",
    }
    run(config, directory, steps=3, **changes, resume=True)
    assert (
        "continues with other settings: optimizer.learning_rate was 0.001 and is 0.0001"
        in caplog.text
    )
    assert [line["step"] for line in metrics_of(directory)] == [1, 2, 3]
    assert metrics_of(directory)[-1]["learning_rate"] == 1e-4
    with pytest.raises(ConfigError, match=r"steps = 2, but .* has already made 3 updates"):
        run(config, directory, steps=2, **changes, resume=True)


def test_a_run_goes_on_with_the_models_and_text_that_it_began_with(
    config: Path, tmp_path: Path
) -> None:
    """Another text or model under the same name went in without a word, and another came out."""
    for name in ("toy", "plain"):
        shutil.copytree(config.parent / name, tmp_path / name)
    text = tmp_path / "text.txt"
    text.write_text((config.parent / "text.txt").read_text())
    changes: dict[str, Any] = {
        "model": str(tmp_path / "toy"),
        "teacher": str(tmp_path / "plain"),
        "objective.teacher_weight": 1,
        "data.sources": [{"path": str(text)}],
        "steps": 1,
    }
    directory = run(config, tmp_path / "run", **changes)
    run(config, directory, **changes, resume=True)
    before = text.read_text()
    text.write_text(before.replace("cat", "dog"))
    with pytest.raises(ConfigError, match=r"other content of data\.sources\.0\. Restore the old"):
        run(config, directory, **changes, resume=True)
    text.write_text(before)
    for name, option in (("toy", "model"), ("plain", "teacher")):
        file = tmp_path / name / "config.json"
        before = file.read_text()
        file.write_text(before + "\n")
        with pytest.raises(ConfigError, match=f"other content of {option}"):
            run(config, directory, **changes, resume=True)
        file.write_text(before)
    (directory / "inputs.json").write_text("[")
    with pytest.raises(ConfigError, match="inputs.json is damaged"):
        run(config, directory, **changes, resume=True)


def test_a_damaged_run_is_named(config: Path, tmp_path: Path) -> None:
    """Each of these ended in a traceback."""
    directory = run(config, tmp_path / "run", steps=1)
    (directory / "metrics.jsonl").write_text('{"step": 1}\n{"loss": 2.0}\n')
    with pytest.raises(ConfigError, match=r"metrics.jsonl, line 2 has no step"):
        run(config, directory, steps=1, resume=True)
    moments = directory / "states" / "step-000001" / "optimizer.safetensors"
    moments.write_bytes(moments.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"optimizer.safetensors cannot be read.*Delete"):
        run(config, directory, steps=1, resume=True)
    (directory / "settings.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"settings.yaml holds no settings"):
        run(config, directory, steps=1, resume=True)
    (directory / "settings.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match=r"settings.yaml cannot be read"):
        run(config, directory, steps=1, resume=True)


def test_line_separators_within_thoughts_end_no_log(config: Path, tmp_path: Path) -> None:
    """A sample with U+2028 in it, and all that followed, was lost when its run was resumed."""
    directory = RunDirectory(tmp_path)
    for step in (1, 2):
        directory.append(directory.samples, {"step": step, "thought": "a\u2028b"})
    before = directory.samples.read_text(encoding="utf-8")
    directory.begin(config_of(config), {}, 2)
    after = directory.samples.read_text(encoding="utf-8")
    assert [json.loads(line) for line in after.split("\n")[:-1]] == [
        json.loads(line) for line in before.split("\n")[:-1]
    ]


def test_an_output_that_is_no_directory_is_named_before_the_model_is_loaded(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "qstar_train.trainer.train.load_to_train", lambda *_, **__: pytest.fail("loaded")
    )
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ConfigError, match=r"output = .*file.* cannot be created"):
            run(config, output)


@pytest.mark.parametrize(
    ("layers", "message"),
    [(["embed_tokens"], "model.embed_tokens is an embedding"), ("(", "target_modules = '\\('")],
)
def test_layers_that_cannot_have_an_adapter_are_named(
    config: Path, layers: str | list[str], message: str
) -> None:
    """They ended in an AssertionError and in an error of the pattern."""
    settings = config_of(config, lora={"target_modules": layers})
    with pytest.raises(ConfigError, match=message):
        model_to_train(settings, device="cpu")


def test_states_are_ordered_by_their_step(tmp_path: Path) -> None:
    """As text step-1000000 came before step-999900, so the newest was removed, not resumed from."""
    for step in ("000100", "999900", "1000000", "copy"):
        (tmp_path / f"step-{step}").mkdir()
        (tmp_path / f"step-{step}" / "state.json").write_text("{}")
    names = [path.name for path in saved_states(tmp_path)]
    assert names == ["step-000100", "step-999900", "step-1000000"]


@pytest.mark.parametrize(
    ("keep_every", "kept"), [(None, [4, 5]), (1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (3, [3, 4, 5])]
)
def test_states_to_study_are_kept(
    config: Path, tmp_path: Path, keep_every: int | None, kept: list[int]
) -> None:
    """The newest two, and the multiples of `keep_every`."""
    run(config, tmp_path, steps=5, save_every=1, keep_every=keep_every)
    states = saved_states(tmp_path / "states")
    assert [state_step(state) for state in states] == kept


def test_a_length_that_was_never_trained_is_not_kept(config: Path) -> None:
    """A plain model that thought for 2 tokens at each step came out as one that thinks for 5."""
    plain = {"model": str(config.parent / "plain"), "thought_lengths": [1, 2]}
    model = model_to_train(config_of(config, **plain), device="cpu")
    assert model.num_thought_tokens == 2
    model = model_to_train(config_of(config, **plain, num_thought_tokens=1), device="cpu")
    assert model.num_thought_tokens == 1
    assert not model_to_train(
        config_of(config, **plain, num_thought_tokens=0), device="cpu"
    ).can_think
    trained = config_of(config, thought_lengths=[1, 2])
    assert model_to_train(trained, device="cpu").num_thought_tokens == 3
    with pytest.raises(ConfigError, match=r"num_thought_tokens = 5 is not among.*\[1, 2\]"):
        config_of(config, **plain, num_thought_tokens=5)


def test_a_window_with_its_thoughts_fits_the_positions(config: Path, tmp_path: Path) -> None:
    """A table of positions that ended within a thought ended the run with an IndexError."""
    backbone = GPT2LMHeadModel(
        GPT2Config(vocab_size=260, n_positions=30, n_embd=32, n_layer=1, n_head=2)
    )
    save_model(QuietStarModel(backbone, byte_tokenizer()), tmp_path / "gpt2")
    changes = {"model": str(tmp_path / "gpt2"), "thought_lengths": [1, 3]}
    settings = config_of(config, **changes)
    module = ObjectiveModule(model_to_train(settings, device="cpu"), settings.objective)
    ids = torch.ones(1, settings.data.window, dtype=torch.long)
    module(ids, torch.arange(1), seed=0)  # the last position that there is
    too_long = config_of(config, **changes, **{"data.window": 26})
    with pytest.raises(
        ConfigError, match=r"window = 26, thoughts of 3 .*= 2 need 32 .*has 30.*2\."
    ):
        model_to_train(too_long, device="cpu")
    silent = config_of(config, **changes, **{"data.window": 30, "num_thought_tokens": 0})
    assert model_to_train(silent, device="cpu").num_positions == 30


def test_dropout_is_off(config: Path, tmp_path: Path) -> None:
    """Its noise was of no seed: no two runs were the same, nor was one that was resumed."""
    sizes: dict[str, Any] = {
        "vocab_size": 260,
        "n_positions": 64,
        "n_embd": 32,
        "n_layer": 1,
        "n_head": 2,
    }
    backbone = GPT2LMHeadModel(GPT2Config(**sizes, resid_pdrop=0.5, embd_pdrop=0.5))
    save_model(QuietStarModel(backbone, byte_tokenizer()), tmp_path / "gpt2")
    changes: dict[str, Any] = {
        "model": str(tmp_path / "gpt2"),
        "thought_lengths": [2],
        "steps": 2,
    }
    first, second = (run(config, tmp_path / name, **changes) for name in "ab")
    assert metrics_of(first) == metrics_of(second)


def test_samples_show_thoughts_in_their_place(config: Path, tmp_path: Path) -> None:
    directory = run(config, tmp_path / "run")
    samples = [json.loads(line) for line in (directory / "samples.jsonl").read_text().splitlines()]
    assert {sample["step"] for sample in samples} == {2, 4}
    assert {"context", "thought", "next_token", "gain", "mixing_weight"} < set(samples[0])


def test_tensorboard_is_written(config: Path, tmp_path: Path) -> None:
    directory = run(config, tmp_path / "run", steps=1, tracker="tensorboard")
    assert list(directory.rglob("events.out.tfevents.*"))


def test_an_adapter_is_trained_further(config: Path, tmp_path: Path) -> None:
    """With rates near 0 it comes out as it went in, over the same base."""
    source = str(config.parent / "plain")
    first = run(config, tmp_path / "first", model=source, lora=LORA) / "adapter"
    still = {"learning_rate": 1e-12, "warmup_steps": 0}
    again: dict[str, Any] = {
        "model": str(first),
        "lora": LORA,
        "optimizer": still,
        "steps": 1,
    }
    second = run(config, tmp_path / "second", **again) / "adapter"
    assert json.loads((second / "adapter_config.json").read_text()) == json.loads(
        (first / "adapter_config.json").read_text()
    )
    named = [json.loads((path / "quiet_star.json").read_text()) for path in (first, second)]
    assert named[0]["base_model"] == named[1]["base_model"] == source
    for name in ("adapter_model", "quiet_star"):
        want = load_file(first / f"{name}.safetensors")
        got = load_file(second / f"{name}.safetensors")
        assert got.keys() == want.keys()
        for key, tensor in want.items():
            torch.testing.assert_close(got[key], tensor, rtol=0, atol=1e-6, msg=key)
    assert any(tensor.any() for key, tensor in want.items() if "talk_head" in key)
    with pytest.raises(ConfigError, match=r"lora\.rank was 2 and is 4"):
        run(config, tmp_path / "third", **{**again, "lora": {"rank": 4, "alpha": 4}})


@pytest.mark.parametrize("model", ["toy", "plain"])
def test_without_thoughts_it_is_plain_fine_tuning(config: Path, tmp_path: Path, model: str) -> None:
    """The first loss is transformers' own, and a plain checkpoint comes out."""
    directory = tmp_path / "run"
    source = str(config.parent / model)
    run(config, directory, model=source, num_thought_tokens=0, lora=LORA)
    assert (directory / "adapter" / "adapter_model.safetensors").exists() == (model == "plain")
    assert not (directory / "model" / "quiet_star.json").exists()
    assert not load_model(directory / "model").can_think

    settings = config_of(config, model=source)
    loaded = load_model(source)
    stream = WindowStream(
        settings.data.sources,
        loaded.tokenizer,
        window=settings.data.window,
        seed=settings.seed,
        excluded_ids=loaded.delimiter_ids,
    )
    ids = torch.stack([w.token_ids for w, _ in zip(stream.windows(0), range(4), strict=False)])
    stock = AutoModelForCausalLM.from_pretrained(source)
    with torch.no_grad():
        want = stock(input_ids=ids, labels=ids).loss
    metrics = metrics_of(directory)
    assert metrics[0]["base_loss"] == pytest.approx(float(want), abs=TOY_LOGPROBS)
    assert metrics[0]["mixed_loss"] == metrics[0]["total_loss"] == metrics[0]["base_loss"]
    assert metrics[-1]["mixing_weight"] == 0
