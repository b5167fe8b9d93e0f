"""Means over seeds, the headline numbers and the claims, from files with known numbers."""

import json
import math
import statistics
from pathlib import Path

import pytest

from qstar_eval.bootstrap import Estimate
from qstar_lab.claims import claims, headlines
from qstar_lab.figures import mean_estimate

from .measured import CHANCE, HALF, LENGTHS, accuracy_of, figures, write_measures


def exact(value: float) -> Estimate:
    return Estimate(value=value, low=value, high=value)


def test_one_seed_keeps_its_bootstrap_interval() -> None:
    estimate = Estimate(value=0.5, low=0.4, high=0.7)
    assert mean_estimate([estimate]) is estimate


@pytest.mark.parametrize(
    ("values", "quantile"),
    [((0.9, 0.96, 0.93), 4.302653), ((0.2, 0.4), 12.7062), ((0.1, 0.2, 0.3, 0.5, 0.6), 2.776445)],
)
def test_several_seeds_have_students_interval(values: tuple[float, ...], quantile: float) -> None:
    """Against the definition, with quantiles from a printed table of Student's t."""
    found = mean_estimate([exact(value) for value in values])
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    assert found.value == pytest.approx(statistics.fmean(values))
    assert found.high - found.value == pytest.approx(half, rel=1e-3)
    assert found.value - found.low == pytest.approx(half, rel=1e-3)


def test_measures_of_another_lab_are_left_out(tmp_path: Path) -> None:
    """Its files are still there if a control is taken out of the recipe."""
    directories = [write_measures(tmp_path, seed=seed) for seed in (0, 1)]
    path = directories[0] / "measures" / "silent.json"
    (path.with_name("left-over.json")).write_text(path.read_text())
    assert set(figures(directories).scores) == {"base", "thinking", "silent", "random", "no-policy"}


def test_figures_of_one_seed_are_those_of_its_files(tmp_path: Path) -> None:
    task = figures([write_measures(tmp_path, seed=0)])
    assert task.lengths == list(LENGTHS)
    assert task.best.accuracy.value == accuracy_of("greedy", 8, 0)
    assert task.best.accuracy.low == accuracy_of("greedy", 8, 0) - HALF
    assert task.without.nats.value == 2 - CHANCE
    assert task.best.by_size[8].value == 1.0
    score = task.score("thinking", "sampled", 2)
    assert score is not None
    assert score.by_size[3].value == CHANCE
    assert task.score("thinking", "sampled", 3) is None
    assert task.over_training[-1].exact.value == 0.8
    assert task.served.exact.value == 0.8
    assert task.examples[0].thought == [("b", True), ("<", False)]
    assert task.speeds[0].ratio == pytest.approx(0.85)


def test_figures_of_several_seeds_are_means(tmp_path: Path) -> None:
    directories = [write_measures(tmp_path, seed=seed) for seed in range(3)]
    task = figures(directories)
    assert task.best.accuracy.value == pytest.approx(accuracy_of("greedy", 8, 1))
    assert task.seed_accuracies == [accuracy_of("greedy", 8, seed) for seed in range(3)]
    half = 4.302653 * 0.01 / math.sqrt(3)
    assert task.best.accuracy.high - task.best.accuracy.value == pytest.approx(half, rel=1e-3)
    assert task.served.num_tokens == 300


def test_the_five_numbers(tmp_path: Path) -> None:
    task = figures([write_measures(tmp_path, seed=0)])
    shown = [number.value.replace("\N{NO-BREAK SPACE}", " ") for number in headlines(task)]
    assert shown == ["12.5 %", "92.5 %", "12.5 %", "80.0 %", "85.0 %"]


def test_claims_say_what_holds(tmp_path: Path) -> None:
    """92.5 % are fewer than 97 %, and 80 % fewer than 85 %; all else holds."""
    task = figures([write_measures(tmp_path, seed=0)])
    assert [claim.text.split(" (")[0] for claim in claims(task) if not claim.holds] == [
        "8 tokens of thought answer at least 97.0\N{NO-BREAK SPACE}%",
        "at least 85.0\N{NO-BREAK SPACE}% of the thoughts are the exact working",
    ]


def test_one_other_token_is_not_the_definition(tmp_path: Path) -> None:
    task = figures([write_measures(tmp_path, seed=0, engine={"num_same_tokens": 99})])
    (claim,) = [claim for claim in claims(task) if "definition" in claim.text]
    assert not claim.holds
    assert claim.measured == "99.0\N{NO-BREAK SPACE}% of 100 tokens"
    many = {"num_tokens": 100_000, "num_same_tokens": 99_999}
    task = figures([write_measures(tmp_path / "many", seed=0, engine=many)])
    (claim,) = [claim for claim in claims(task) if "definition" in claim.text]
    assert claim.measured == "less than 100.0\N{NO-BREAK SPACE}% of 100000 tokens"


def test_a_longer_thought_that_is_worse_breaks_the_claim(tmp_path: Path) -> None:
    directory = write_measures(tmp_path, seed=0)
    path = directory / "measures" / "thinking.json"
    text = path.read_text().replace('"greedy", "length": 8', '"greedy", "length": 3')
    path.write_text(text)
    (claim,) = [claim for claim in claims(figures([directory])) if "longer" in claim.text]
    assert not claim.holds


def test_the_worst_length_of_a_control_counts(tmp_path: Path) -> None:
    """Random thoughts that help at one length would show that their words do not matter."""
    directory = write_measures(tmp_path, seed=0)
    path = directory / "measures" / "thinking.json"
    values = json.loads(path.read_text())
    for score in values["scores"]:
        if (score["kind"], score["length"]) == ("random", 2):
            score["accuracy"] = [0.3, 0.29, 0.31]
    path.write_text(json.dumps(values))
    failed = [claim for claim in claims(figures([directory])) if not claim.holds]
    assert [
        claim.measured for claim in failed if claim.text.startswith("random tokens as thoughts")
    ] == ["30.0\N{NO-BREAK SPACE}%"]
