"""`python -m qstar_train.parity`: what passes, what fails, and the messages of failures."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from qstar_train import parity

from .compare import TOLERANCE, compare_golden, ranked_choice
from .paper_vectors import GOLDEN, KEPT_GRADIENTS, PAD_ID, Recipe, padded_rows, write_vectors
from .vectors import Replay, read_cases

CASES = ["talk1_pass2_argmax", "talk1_pass2_rank"]
Spoil = Callable[[dict[str, Tensor], dict[str, Any]], None]


def run(directory: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The command's exit code."""
    monkeypatch.setattr(sys, "argv", ["parity", str(directory)])
    return parity.main()


def assert_agrees(directory: Path) -> None:
    for quantity, (deviation, case) in compare_golden(directory).items():
        assert deviation <= TOLERANCE, (quantity, case)


def copy_golden(directory: Path, names: list[str], spoil: Spoil) -> None:
    """Some cases of golden A, after `spoil` changed the tensors or the JSON object."""
    content = json.loads((GOLDEN / "train.json").read_text())
    content["cases"] = {name: content["cases"][name] for name in names}
    vectors = load_file(GOLDEN / "train.safetensors")
    spoil(vectors, content)
    (directory / "train.json").write_text(json.dumps(content))
    save_file(vectors, directory / "train.safetensors")
    (directory / "checkpoint").symlink_to(GOLDEN / "checkpoint")


def compare_perturbed(directory: Path, key: str) -> float:
    """The largest deviation after one stored value of the only case was multiplied by 1.0005.

    Args:
        key: of a tensor, or of a value in the JSON, with `.3` or `.name` for a part of it.
    """
    content = json.loads((directory / "train.json").read_text())
    vectors = load_file(directory / "train.safetensors")
    ((name, values),) = content["cases"].items()
    if f"{name}.{key}" in vectors:
        vectors[f"{name}.{key}"] *= 1.0005
        save_file(vectors, directory / "train.safetensors")
    else:
        head, _, part = key.partition(".")
        holder, last = (values[head], part) if part else (values, head)
        holder[int(last) if last.isdigit() else last] *= 1.0005
        (directory / "train.json").write_text(json.dumps(content))
    return max(deviation for deviation, _ in compare_golden(directory).values())


@pytest.fixture(scope="module")
def small_vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("vectors") / "small"
    write_vectors(directory, Recipe(n_ahead=6), *padded_rows([6, 4], seed=0))
    return directory


STORED = [
    *(f"loss_list.{i:02d}" for i in range(7)),
    *(f"action_loglikelihoods.{k:02d}" for k in range(3)),
    *("policy_reward", "mixing_weights", "logits_last"),
    *(f"grad_{kind}.{name}" for kind in ("ce_only", "total") for name in KEPT_GRADIENTS),
    *(f"grad_norms_{kind}.lm_head.weight" for kind in ("ce_only", "total")),
    *(f"loss_mean_per_index.{i}" for i in range(7)),
    *("policy_reward_mean", "dqn_loss_list.0", "dqn_loss_list.2", "dqn_loss"),
    *("loss_ce_only", "loss_total", "policy_loss_beta"),
]


@pytest.mark.parametrize("key", STORED)
def test_a_deviation_of_any_stored_value_fails(
    small_vectors: Path, tmp_path: Path, key: str
) -> None:
    shutil.copytree(small_vectors, tmp_path, dirs_exist_ok=True)
    assert compare_perturbed(tmp_path, key) > TOLERANCE


def test_a_gradient_missing_on_our_side_fails(small_vectors: Path, tmp_path: Path) -> None:
    shutil.copytree(small_vectors, tmp_path, dirs_exist_ok=True)
    content = json.loads((tmp_path / "train.json").read_text())
    (values,) = content["cases"].values()
    values["grad_norms_total"]["another.weight"] = 0.1
    (tmp_path / "train.json").write_text(json.dumps(content))
    assert compare_golden(tmp_path)["gradient norm, total"][0] == 1


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("reinforce_temperature", 2, "log-likelihood"),
        ("original_loss_weight", 0.25, "language loss"),
        ("base_loss_beta", 2, "language loss"),
        ("remove_negative_rewards", False, "policy loss"),
    ],
)
def test_constants_are_read_from_the_file(
    tmp_path: Path, name: str, value: float, what: str
) -> None:
    def change(_: dict[str, Tensor], content: dict[str, Any]) -> None:
        content["constants"][name] = value

    copy_golden(tmp_path, ["talk1_pass2_rank"], change)
    assert compare_golden(tmp_path)[what][0] > TOLERANCE


def test_constants_with_default_values_may_be_left_out(tmp_path: Path) -> None:
    def change(_: dict[str, Tensor], content: dict[str, Any]) -> None:
        del content["constants"]

    copy_golden(tmp_path, ["talk1_pass2_rank"], change)
    assert_agrees(tmp_path)


def test_every_golden_training_case_agrees() -> None:
    assert_agrees(GOLDEN)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(n_ahead=4, n_ahead_talk=1),
        Recipe(n_ahead=6, n_ahead_talk=2, n_passes=3, window=4),
        Recipe(n_ahead=5, n_ahead_talk=5, n_passes=1, rule="argmax"),
    ],
    ids=lambda recipe: f"{recipe.n_ahead}_{recipe.name}",
)
def test_any_number_of_thought_and_talk_tokens_and_passes_agrees(
    tmp_path: Path, recipe: Recipe
) -> None:
    """`max_thoughts` is n_ahead + n_ahead_talk + 1, so neither length follows from it alone."""
    write_vectors(tmp_path, recipe, *padded_rows([8, 5, 1], seed=0))
    assert_agrees(tmp_path)


def test_eos_inside_a_row_is_not_a_label(tmp_path: Path) -> None:
    """The paper pads with eos and ignores labels with that id, but tokens attend to them. Here one
    eos is a talk token, one is the last token, and one has padding after it."""
    ids, mask = padded_rows([9, 6], seed=0)
    ids[0, 4] = ids[0, 8] = ids[1, 5] = PAD_ID
    write_vectors(tmp_path, Recipe(n_ahead_talk=3), ids, mask)
    assert_agrees(tmp_path)


def test_thoughts_of_an_unknown_rule_are_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_vectors(tmp_path, Recipe(rule="sample"), *padded_rows([8, 5], seed=0))
    assert run(tmp_path, monkeypatch) == 0
    assert "the rule 'sample' is unknown" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("column", [0, 2, 6, 8], ids=["start", "sampled", "end", "forced"])
def test_a_wrong_token_fails(tmp_path: Path, column: int) -> None:
    def change(vectors: dict[str, Tensor], _: dict[str, Any]) -> None:
        vectors["talk4_pass2_argmax.token_history"][1, 3, column] -= 1

    copy_golden(tmp_path, ["talk4_pass2_argmax"], change)
    assert compare_golden(tmp_path)["thought and talk tokens"][0] == 1


def test_identical_passes_leave_only_rounding_in_the_policy_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reward minus the mean of equal rewards is only rounding, times 1e6 in the total."""
    recipe = Recipe(n_passes=3, rule="argmax")
    write_vectors(tmp_path, recipe, *padded_rows([9, 6], seed=0))
    content = json.loads((tmp_path / "train.json").read_text())
    (values,) = content["cases"].values()
    # The rounding error of three float32 passes, on any machine.
    values["dqn_loss_list"], values["dqn_loss"] = [3e-7, 1e-7], 2e-7
    values["loss_total"] = values["loss_ce_only"] + 0.2
    (tmp_path / "train.json").write_text(json.dumps(content))
    assert run(tmp_path, monkeypatch) == 0
    assert "its advantages are 0 but for rounding" in " ".join(capsys.readouterr().out.split())
    worst = compare_golden(tmp_path)
    assert "total loss" in worst
    assert "gradient, total" not in worst


@pytest.mark.parametrize("name", ["talk4_pass2_argmax", "talk4_pass2_rank_fresh"])
@pytest.mark.parametrize(
    "quantity", ["policy loss", "total loss", "gradient, total", "gradient norm, total"]
)
def test_a_real_deviation_fails_even_if_advantages_are_only_rounding(
    tmp_path: Path, name: str, quantity: str
) -> None:
    def change(vectors: dict[str, Tensor], content: dict[str, Any]) -> None:
        values = content["cases"][name]
        values["loss_total"] *= 1.0005
        values["grad_norms_total"]["lm_head.weight"] *= 1.0005
        values["dqn_loss_list"][1] += 0.1
        vectors[f"{name}.grad_total.model.norm.weight"] *= 1.0005

    copy_golden(tmp_path, [name], change)
    assert compare_golden(tmp_path)[quantity][0] > TOLERANCE


def test_the_mean_reward_may_cancel_to_rounding(tmp_path: Path) -> None:
    """The rounding error of rewards exceeds the tolerance of such a mean."""
    write_vectors(tmp_path, Recipe(n_ahead=4, n_ahead_talk=1), *padded_rows([6, 4], seed=174))
    content = json.loads((tmp_path / "train.json").read_text())
    ((name, values),) = content["cases"].items()
    rewards = load_file(tmp_path / "train.safetensors")[f"{name}.policy_reward"]
    size = float(rewards.abs().mean())
    assert abs(values["policy_reward_mean"]) < 0.01 * size
    values["policy_reward_mean"] += 2e-6 * size
    (tmp_path / "train.json").write_text(json.dumps(content))
    assert_agrees(tmp_path)


def test_either_of_two_equally_likely_tokens_is_accepted(tmp_path: Path) -> None:
    write_vectors(tmp_path, Recipe(), *padded_rows([5], seed=0))
    (case,) = read_cases(tmp_path)
    replay = Replay(case, ranked_choice(2, by_rank=True))
    anchors = torch.arange(5).expand(2, 5)
    stored = replay.history[:, :, 1]
    logits = torch.zeros(2, 5, 502)
    logits.scatter_(-1, stored.unsqueeze(-1), 10.0)
    logits[..., 7] = 10.0 + 1e-6  # pass 0 takes the first, pass 1 the second
    assert torch.equal(replay(logits, 1, anchors), stored)
    assert not replay.differs.any()
    logits[..., 7] += 0.01
    replay(logits, 1, anchors)
    assert replay.differs[..., 0].tolist() == [[True] * 5, [False] * 5]


def _poison(vectors: dict[str, Tensor], _: dict[str, Any]) -> None:
    vectors[f"{CASES[0]}.policy_reward"].fill_(float("nan"))


def _drop_gradients(vectors: dict[str, Tensor], _: dict[str, Any]) -> None:
    for key in [key for key in vectors if ".grad_" in key]:
        del vectors[key]


def _drop_norms(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["cases"][CASES[0]]["grad_norms_total"] = {}


def _drop_cases(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["cases"] = {}


def _drop_all(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content.clear()


def _claim_another_length(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["n_ahead"] = 6


def _claim_no_sampled_token(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["n_ahead"] = 3


def _claim_no_number(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["n_ahead"] = "8"


def _change_mode(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["constants"]["trice_mode"] = False


def _spoil_case(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["cases"][CASES[0]] = 8


def _flatten_ids(vectors: dict[str, Tensor], _: dict[str, Any]) -> None:
    vectors["input_ids"] = vectors["input_ids"].flatten()


def _empty_rewards(vectors: dict[str, Tensor], _: dict[str, Any]) -> None:
    vectors[f"{CASES[0]}.policy_reward"] = torch.empty(0, 25)


def _spoil_passes(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["cases"][CASES[0]]["n_passes"] = 0


def _list_weight(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["constants"]["original_loss_weight"] = []


def _spoil_weight(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["constants"]["original_loss_weight"] = "half"


def _spoil_number(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["cases"][CASES[0]]["dqn_loss"] = None


def _invent_token(vectors: dict[str, Tensor], _: dict[str, Any]) -> None:
    vectors[f"{CASES[0]}.token_history"][0, 0, 1] = 502


def _cut_rewards(vectors: dict[str, Tensor], _: dict[str, Any]) -> None:
    key = f"{CASES[0]}.policy_reward"
    vectors[key] = vectors[key][:, 1:].contiguous()


def _lengthen_talk(_: dict[str, Tensor], content: dict[str, Any]) -> None:
    content["cases"][CASES[0]]["n_ahead_talk"] = 26


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (_poison, 1, ""),
        (_drop_gradients, 2, f"lack {CASES[0]}.grad_ce_only.start_embedding"),
        (_drop_norms, 2, f"lack {CASES[0]}.grad_norms_total.model.embed_tokens.weight"),
        (_drop_cases, 2, "train.json holds no cases"),
        (_drop_all, 2, "train.json holds no cases"),
        (_claim_another_length, 2, "token_history has shape [4, 27, 8]; n_ahead = 6"),
        (_claim_no_sampled_token, 2, "n_ahead = 3"),
        (_claim_no_number, 2, "n_ahead = '8'"),
        (_change_mode, 2, "trice_mode = False"),
        (_spoil_case, 2, f"{CASES[0]} = 8"),
        (_flatten_ids, 2, "input_ids has shape [54]"),
        (_empty_rewards, 2, f"{CASES[0]}: reward has shape [0, 25]"),
        (_spoil_passes, 2, "num_passes = 0: Input should be greater than or equal to 1"),
        (_list_weight, 2, "original_loss_weight = [], which is no number"),
        (_spoil_weight, 2, "original_loss_weight = 'half'"),
        (_spoil_number, 2, f"{CASES[0]}.dqn_loss = None"),
        (_invent_token, 2, "token_history holds the id 502"),
        (_cut_rewards, 2, f"{CASES[0]}: reward has shape [4, 24] in the vectors, [4, 25] here"),
        (_lengthen_talk, 2, "rows of 27 tokens are too short for n_ahead_talk = 26"),
    ],
)
def test_parity_fails_if_nothing_was_compared(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Spoil,
    code: int,
    message: str,
) -> None:
    """NaN in one case used to be overwritten by the next, and missing values used to pass."""
    copy_golden(tmp_path, CASES, spoil)
    assert run(tmp_path, monkeypatch) == code
    assert message in capsys.readouterr().err


def test_a_missing_thought_length_is_inferred_from_the_tokens(tmp_path: Path) -> None:
    write_vectors(tmp_path, Recipe(n_ahead=4), *padded_rows([6], seed=0))
    path = tmp_path / "train.json"
    content = json.loads(path.read_text())
    del content["n_ahead"]
    path.write_text(json.dumps(content))
    assert_agrees(tmp_path)


def test_the_command_runs_in_a_checkout(small_vectors: Path) -> None:
    command = [sys.executable, "-m", "qstar_train.parity", str(small_vectors)]
    root = Path(parity.__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "thought and talk tokens" in done.stdout


def test_the_command_says_that_it_needs_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parity, "CHECKOUT", tmp_path)
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path, monkeypatch)
    assert "Run the command in a checkout" in capsys.readouterr().err


def test_the_error_names_a_directory_without_vectors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Path("/nonexistent"), monkeypatch) == 2
    assert "error: /nonexistent/train.json does not exist" in capsys.readouterr().err
