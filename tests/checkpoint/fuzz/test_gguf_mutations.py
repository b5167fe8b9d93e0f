"""Whatever is done to a GGUF file, it loads with the right numbers or is refused.

Right is what llama.cpp computes from the same file, if it is installed, and what a forward pass
written from the format's description computes. Without llama.cpp, a change of a key that this pass
does not know counts as harmless; so a run with it is part of every change to the GGUF loader.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from torch import Tensor

from qstar_infer.checkpoint import load_model
from qstar_infer.errors import QStarError

from .gguf_files import Content, change, logits, make_content, write
from .llama_cpp_judge import IS_INSTALLED, Crashed, LlamaCpp
from .reference import IDS, Unreadable
from .test_mutations import time_limit

pytestmark = pytest.mark.filterwarnings("ignore")

CASES_PER_TEST = 10
TESTS = 60
FAST = 4
TOLERANCE = 5e-3
"""llama.cpp multiplies in another order, and reads F16 weights in F16; logits are about 3."""


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[LlamaCpp | None]:
    judge = LlamaCpp() if IS_INSTALLED else None
    yield judge
    if judge is not None:
        judge.close()


def test_the_unchanged_file_loads_with_the_numbers_of_the_reference(
    llama_cpp: LlamaCpp | None, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    write(make_content(), path)
    assert check_file(make_content(), path, llama_cpp) == "loaded"


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[pytest.mark.slow] * (n >= FAST)) for n in range(TESTS)]
)
def test_a_changed_file_is_read_right_or_refused(
    number: int, llama_cpp: LlamaCpp | None, tmp_path: Path
) -> None:
    failures = []
    for case in range(number * CASES_PER_TEST, (number + 1) * CASES_PER_TEST):
        content = copy.deepcopy(make_content())
        what = change(content, Random(case))
        try:
            with time_limit(30):
                path = tmp_path / f"{case}.gguf"
                write(content, path)
                check_file(content, path, llama_cpp)
        except AssertionError as failure:
            failures.append(f"case {case}, {what}: {failure}")
    assert not failures, "\n".join(failures)


def check_file(content: Content, path: Path, llama_cpp: LlamaCpp | None) -> str:
    """Load the file, and hold it to the references."""
    try:
        model = load_model(path, dtype="float32", device="cpu")
        ours = model.think(IDS, num_thought_tokens=0).base_logits[0]
    except QStarError as refusal:
        text = str(refusal)
        assert text.strip(), "the refusal says nothing"
        assert "\n" not in text, f"the refusal has several lines: {text}"
        return "refused"
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}") from error
    for name, wanted in references(content, path, llama_cpp):
        assert ours.shape == wanted.shape, f"{name} has logits {list(wanted.shape)}"
        difference = (ours - wanted).abs().max().item()
        assert difference < TOLERANCE, f"logits differ from {name} by {difference:.3g}"
    return "loaded"


def references(
    content: Content, path: Path, llama_cpp: LlamaCpp | None
) -> Iterator[tuple[str, Tensor]]:
    """Name and logits of each judge that reads the file."""
    if llama_cpp is not None:
        try:
            yield "llama.cpp", llama_cpp.logits(path, IDS[0].tolist())
        except Crashed:  # it has no kernel for some types that the format allows
            pass
        except Unreadable as reason:
            raise AssertionError(f"loaded, but llama.cpp cannot read it: {reason}") from reason
        else:
            return
    try:
        yield "the description", logits(content, IDS[0])
    except (KeyError, RuntimeError) as reason:
        raise AssertionError(f"loaded, but it describes no model: {reason}") from reason
