"""Whatever is done to a checkpoint's files, it loads with the right numbers or is refused.

Each case changes one thing in a valid checkpoint. If it loads, its numbers are those that the
reference implementation reads from the same files; if not, the refusal is one line.
"""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
import torch

from qstar_infer.checkpoint import load_model
from qstar_infer.errors import QStarError

from .mutations import mutate
from .reference import IDS, Unreadable, reference_logits
from .seeds import SEEDS, make_all

pytestmark = pytest.mark.filterwarnings("ignore")  # the reference warns about what we refuse

CASES_PER_TEST = 10
TESTS = 100
FAST = 8

TOLERANCE = 2e-4
"""Both compute in float32 with other attention kernels; logits of the seeds are about 10."""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_all(SEEDS, tmp_path_factory)


@pytest.mark.parametrize("name", SEEDS)
def test_the_unchanged_checkpoint_loads_with_the_numbers_of_the_reference(
    name: str, seeds: dict[str, Path]
) -> None:
    assert check(seeds[name]) == "loaded"


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[pytest.mark.slow] * (n >= FAST)) for n in range(TESTS)]
)
def test_a_changed_checkpoint_is_read_right_or_refused(
    number: int, seeds: dict[str, Path], tmp_path: Path
) -> None:
    failures = []
    for case in range(number * CASES_PER_TEST, (number + 1) * CASES_PER_TEST):
        random = Random(case)
        name = random.choice(sorted(seeds))
        directory = Path(shutil.copytree(seeds[name], tmp_path / str(case)))
        what = mutate(directory, random)
        try:
            with time_limit(30):
                check(directory)
        except AssertionError as failure:
            failures.append(f"case {case}, {name}, {what}: {failure}")
        shutil.rmtree(directory)
    assert not failures, "\n".join(failures)


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Fail instead of waiting for a case that never ends, such as a model of 10**9 layers."""

    def stop(*_: object) -> None:
        raise AssertionError(f"neither loaded nor refused within {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(directory: Path) -> str:
    """Load the checkpoint, and hold it to the reference."""
    try:
        model = load_model(directory, dtype="float32", device="cpu")
        trace = model.think(IDS)
    except QStarError as refusal:
        text = str(refusal)
        assert text.strip(), "the refusal says nothing"
        assert "\n" not in text, f"the refusal has several lines: {text}"
        return "refused"
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    try:
        wanted = reference_logits(directory)
    except Unreadable as reason:
        raise AssertionError(f"loaded, but the reference cannot read it: {reason}") from reason
    ours = trace.logits[0]
    assert ours.shape == wanted.shape, f"logits {list(ours.shape)}, not {list(wanted.shape)}"
    known = torch.isfinite(wanted)
    assert torch.equal(torch.isfinite(ours), known), "other tokens are masked"
    difference = (ours - wanted)[known].abs().max().item()
    assert difference < TOLERANCE, f"logits differ by {difference:.3g}"
    return "loaded"
