"""Charts say what they were given, in files that open everywhere."""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from qstar_eval import plots
from qstar_eval.plots import Curve, Interval
from qstar_infer.errors import ConfigError

RISING = [
    (group + 1, (0.01 * group, 0.01 * group - 0.02, 0.01 * group + 0.02)) for group in range(10)
]


def texts(path: Path) -> str:
    """Every word of an SVG file."""
    return "|".join(ElementTree.parse(path).getroot().itertext())


def curves(label: str = "tuned") -> list[Curve]:
    changes: list[tuple[int, Interval]] = [(8, (-0.2, -0.3, -0.1)), (2, (0.1, 0.0, 0.2))]
    return [
        Curve(label=label, kind="sampled", points=changes, note="base loss 3.250"),
        Curve(label=label, kind="random", points=changes),
    ]


def gains(label: str = "tuned") -> Curve:
    return Curve(label=label, kind="sampled", points=RISING, note="4-sampled")


def test_loss_chart_names_its_axes_units_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "loss.svg"
    plots.plot_loss_against_thought_length(curves(), path)
    words = texts(path)
    for word in ("nats per token", "(tokens)", "tuned", "random tokens", "no thoughts", "95 %"):
        assert word in words
    assert "base loss 3.250" in words


def test_loss_chart_has_no_key_to_lines_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "loss.svg"
    plots.plot_loss_against_thought_length(curves()[:1], path)
    assert "random tokens" not in texts(path)


def test_a_single_length_shows_its_interval(tmp_path: Path) -> None:
    """A band over one length had no area: the legend promised an interval that was not there."""
    path = tmp_path / "loss.svg"
    curve = Curve(label="tuned", kind="sampled", points=[(4, (-0.2, -0.3, -0.1))])
    plots.plot_loss_against_thought_length([curve], path)
    ids = [item.get("id", "") for item in ElementTree.parse(path).iter()]
    assert sum(name.startswith("LineCollection") for name in ids) == 1


@pytest.mark.parametrize("label", ["_hidden", "cost $5 and $6", "<b>&", "日本語"])
def test_any_name_of_a_checkpoint_is_shown_as_it_is(tmp_path: Path, label: str) -> None:
    """A name with two dollar signs was read as a formula; one with a leading _ got no legend."""
    plots.plot_loss_against_thought_length(curves(label), tmp_path / "loss.svg")
    plots.plot_gain_by_difficulty([gains(label)], tmp_path / "gain.svg")
    plots.plot_mixing_weights({label: [0.1, 0.2]}, tmp_path / "weights.svg")
    for name in ("loss", "gain", "weights"):
        assert label in texts(tmp_path / f"{name}.svg")


def test_a_long_name_keeps_its_end(tmp_path: Path) -> None:
    plots.plot_gain_by_difficulty([gains("runs/" * 20 + "step-500")], tmp_path / "gain.svg")
    assert "runs/step-500" in texts(tmp_path / "gain.svg")
    assert "runs/" * 20 not in texts(tmp_path / "gain.svg")


def test_weights_that_are_all_the_same_are_a_distribution_too(tmp_path: Path) -> None:
    plots.plot_mixing_weights({"zero head": [0.0] * 50, "wide": [-0.5, 3.0]}, tmp_path / "w.svg")
    words = texts(tmp_path / "w.svg")
    assert "median 0.000" in words
    assert "median 1.250" in words


def test_extreme_weights_are_counted_at_the_ends(tmp_path: Path) -> None:
    weights = [index / 1000 for index in range(1000)] + [90.0]
    plots.plot_mixing_weights({"tuned": weights}, tmp_path / "w.svg")
    words = texts(tmp_path / "w.svg")
    assert "end bins" in words
    assert "80" not in words.split("|")


def test_gain_chart_has_every_group_of_every_checkpoint(tmp_path: Path) -> None:
    plots.plot_gain_by_difficulty([gains("early"), gains("late")], tmp_path / "gain.svg")
    words = texts(tmp_path / "gain.svg").split("|")
    assert {str(group) for group in range(1, 11)} | {"early", "late"} <= set(words)


def test_the_same_numbers_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        plots.plot_loss_against_thought_length(curves(), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_without_matplotlib_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match="pip install"):
        plots.plot_gain_by_difficulty([gains()], tmp_path / "gain.svg")
