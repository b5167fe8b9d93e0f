"""What `scripts/package_lab_model.py` writes is complete, and its card has the measured numbers."""

import json
import re
import sys
from pathlib import Path

import pytest

from qstar_infer import LLM, SamplingParams
from qstar_infer.checkpoint import lab, load_model
from qstar_infer.model.generation_defaults import sampling_defaults
from scripts import package_lab_model

from .reference import solve_digits
from .toy_model import save_toy_lab

COUNT = 40
TEXTS = {".json", ".jinja", ".md"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package data of a toy, in place of an earlier one."""
    tmp_path = tmp_path_factory.mktemp("package")
    output = tmp_path / "lab_model"
    output.mkdir()
    (output / "left-over.json").touch()
    trained = save_toy_lab(tmp_path / "trained")
    parts = trained / "quiet_star.json"
    values = json.loads(parts.read_text(encoding="utf-8"))
    values.pop("thinking", None)  # everywhere
    values["training"] = {"settings": {"model": str(tmp_path / "base"), "steps": 5}}
    parts.write_text(json.dumps(values), encoding="utf-8")
    arguments = [str(trained), "--output", str(output), "--count", str(COUNT)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["package_lab_model", *arguments])
        package_lab_model.main()
    return output


def test_the_package_data_is_complete_and_portable(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {path.name for path in written.iterdir()} == {*lab.LAB_FILES, "README.md"}
    texts = [path.read_text("utf-8") for path in written.iterdir() if path.suffix in TEXTS]
    assert not any(str(written.parent) in text for text in texts)
    monkeypatch.setattr(lab, "LAB_DIRECTORY", written)
    model = load_model("lab")
    assert model.config is not None
    assert model.config.training == {"settings": {"model": "base", "steps": 5}}
    assert model.config.thinking.to_json() == {"where": "behind", "tokens": ["?"]}
    assert sampling_defaults(model).temperature == 0
    assert model.tokenizer.chat_template


def test_the_card_has_the_numbers_of_the_model(written: Path) -> None:
    card = (written / "README.md").read_text(encoding="utf-8")
    assert "$" not in card
    rows = re.findall(r"^\| `(.+)` \| `(\d+)` \| `(.*)` \| `(.*)` \| (.+) \|$", card, re.MULTILINE)
    assert len(rows) == 10
    llm = LLM(written)
    for chain, working, thought, answer, verdict in rows:
        values = [str(value) for value in solve_digits(f"{chain}?")]
        padding = 16 - len(values)
        assert working == "".join(values) + padding * values[-1]
        assert verdict == ("yes" if answer == values[-1] else f"no: {values[-1]}")
        prompt = chain + padding * "." + "?"
        output = llm.generate(prompt, SamplingParams(max_tokens=1, temperature=0.0))[0].outputs[0]
        assert (output.text, output.thoughts[0].thought) == (answer, thought)
    llm.close()
    shares = dict(re.findall(r"^\| (\d+) \| (\d+\.\d) % \[[^]]+\] \|$", card, re.MULTILINE))
    assert list(shares) == ["0", "1", "2", "4", "8", "16"]
    assert all(round(float(share) * COUNT / 100, 6).is_integer() for share in shares.values())
