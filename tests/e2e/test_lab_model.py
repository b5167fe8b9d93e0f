"""The packaged lab model itself: small, exact, and right because it thinks."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

from qstar_infer import LLM, SamplingParams, load_model
from qstar_infer.checkpoint.lab import LAB_DIRECTORY, LAB_FILES

from .conftest import serving

QSTAR = (sys.executable, "-m", "qstar_infer.cli.main")
COUNT = 400
LEAST_RIGHT = 0.95
CHANCE = 1 / 7


def qstar(*arguments: str, text: str = "") -> str:
    """What a command prints."""
    return subprocess.run(
        [*QSTAR, *arguments], input=text, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture(scope="module")
def questions() -> list[dict[str, str]]:
    lines = qstar("lab", "questions", "--count", str(COUNT), "--seed", "5").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """`qstar serve lab`."""
    with serving("lab", "--device", "cpu") as url:
        yield url


def share_right(url: str, questions: list[dict[str, str]], **fields: object) -> float:
    """Share of completions that begin with the answer."""
    texts: list[str] = []
    for begin in range(0, len(questions), 100):
        prompts = [each["prompt"] for each in questions[begin : begin + 100]]
        body = {
            "model": "qstar-lab",
            "prompt": prompts,
            "max_tokens": 2,
            "temperature": 0,
            **fields,
        }
        response = httpx.post(f"{url}/v1/completions", json=body, timeout=300)
        assert response.status_code == 200, response.text
        texts += [choice["text"] for choice in response.json()["choices"]]
    pairs = zip(texts, questions, strict=True)
    return sum(text.startswith(each["answer"]) for text, each in pairs) / len(questions)


def test_the_package_data_is_small_and_float32() -> None:
    assert {path.name for path in LAB_DIRECTORY.iterdir()} == {*LAB_FILES, "README.md"}
    assert sum(path.stat().st_size for path in LAB_DIRECTORY.iterdir()) < 4_000_000
    assert load_model("lab", dtype="stored", device="cpu").dtype == torch.float32


def test_the_served_model_answers_with_thoughts_and_only_with_them(
    url: str, questions: list[dict[str, str]]
) -> None:
    assert share_right(url, questions) >= LEAST_RIGHT
    assert abs(share_right(url, questions, num_thought_tokens=0) - CHANCE) < 0.05


def test_the_engine_gives_the_tokens_of_the_definition(questions: list[dict[str, str]]) -> None:
    """Thoughts and answers, greedily, in float32."""
    model = load_model("lab", dtype="float32", device="cpu")
    llm = LLM(model=model)
    params = SamplingParams(max_tokens=1, temperature=0.0)
    prompts = [each["prompt"] for each in questions[:100]]
    outputs = [request.outputs[0] for request in llm.generate(prompts, params)]
    llm.close()
    ids = torch.tensor(model.tokenizer(prompts)["input_ids"])
    with torch.no_grad():
        trace = model.think(ids, temperature=0.0)
    assert [output.token_ids[0] for output in outputs] == trace.logits[:, -1].argmax(-1).tolist()
    thoughts = [output.thoughts[0].thought_token_ids for output in outputs]
    assert thoughts == trace.thought_ids[:, -1].tolist()


def test_a_chat_is_answered_and_shows_its_working() -> None:
    assert qstar("chat", "lab", text="5*3-2+4\n5 + 1 ?\n") == "3\n6\n"
    (line,) = qstar("chat", "lab", "--show-thoughts", text="5*3-2+4\n").splitlines()
    assert line == "3⟨1633333333333333⟩"


def test_the_card_is_that_of_the_package() -> None:
    card = (LAB_DIRECTORY / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# The lab model\n")
    assert (Path(__file__).parents[2] / "scripts" / "lab_model_card.md").is_file()
    assert "$" not in card
