"""`qstar inspect` on the command line: its text, its JSON and its exit code."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qstar_infer.checkpoint.inspection.facts import Inspection, SafetyFacts
from qstar_infer.cli.inspection_text import inspection_lines
from qstar_infer.cli.main import main

Runner = Callable[..., tuple[int, str]]
GOLDEN = Path(__file__).parents[1] / "golden" / "A" / "checkpoint"
TEXT = """\
checkpoint    {path}
kind          checkpoint of another code base
layout        the paper's public code (ezelikman/quiet-star)

model         mistral (MistralForCausalLM), 2 layers, hidden size 64
parameters    138,304
embedding     502 rows, apart from the output embedding
context       512 tokens (max_position_embeddings = 512)
rope          rope_theta = 10000.0, rope_type = default
stored        151,040 values as F32 in 28 tensors, 590.0 KiB
              in 1 file
tokenizer     TokenizersBackend, 502 tokens, ids up to 501

thoughts      of 5 tokens
thinks        before each token
training      trained; 4 tokens predicted after each thought
talk head     128 -> 64 -> 64 -> 1 (bias, bias, no bias), no sigmoid
start         <|startthought|>, id 500; vector: row 0 of start_embedding, times 100
end           <|endthought|>, id 501; vector: row 0 of end_embedding, times 100

sampling      none of its own
pickles       none
code          none named

notes         - num_thought_tokens = 5 was inferred from max_thoughts = 13"""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Runner:
    """Run `qstar inspect`; returns the exit code and what it printed."""

    def runner(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["qstar", "inspect", *(str(a) for a in arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out if out else err

    return runner


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "checkpoint"))


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


def test_text(run: Runner) -> None:
    code, text = run(GOLDEN)
    assert code == 0
    assert text.startswith(TEXT.format(path=GOLDEN))
    assert text.endswith("\nverdict       would load\n")


def test_json_says_the_same(run: Runner) -> None:
    code, text = run(GOLDEN, "--json")
    content = json.loads(text)
    assert code == 0
    assert content["would_load"] is True
    assert content["problems"] == []
    assert content["thinking"]["num_thought_tokens"] == 5
    assert content["thinking"]["thinking"] == {"where": "everywhere"}
    assert content["thinking"]["has_gate"] is False
    assert content["model"]["num_parameters"] == 138304
    assert content["weights"]["by_dtype"]["F32"]["num_bytes"] == 604160


def test_all_problems_are_listed(run: Runner, published: Path) -> None:
    edit(published / "config.json", max_thoughts=2, num_hidden_layers=3)
    (published / "tokenizer.json").unlink()
    code, text = run(published)
    assert code == 1
    assert "would be refused:" in text
    for number, problem in enumerate(
        ("has no tokenizer", "lacks 9 tensors", "max_thoughts = 2 gives no thought length"), start=1
    ):
        assert problem in text
        assert f"              {number}. " in text
    assert json.loads(run(published, "--json")[1])["would_load"] is False


def test_every_key_that_names_code_is_listed(run: Runner, published: Path) -> None:
    edit(published / "config.json", auto_map={"AutoConfig": "code.Config"})
    edit(published / "tokenizer_config.json", auto_map={"AutoTokenizer": "code.Tokenizer"})
    (published / "pytorch_model.bin").write_bytes(b"")
    code, text = run(published)
    assert code == 1
    assert "code          config.json: auto_map, tokenizer_config.json: auto_map" in text
    assert "pickles       pytorch_model.bin (never opened)" in text
    assert text.count("has the key 'auto_map'") == 2


def test_a_pickle_beside_safetensors_is_no_reason_to_refuse(run: Runner, published: Path) -> None:
    (published / "pytorch_model.bin").write_bytes(b"")
    code, text = run(published)
    assert code == 0
    assert "pickles       pytorch_model.bin (never opened)" in text


def test_missing_source(run: Runner, tmp_path: Path) -> None:
    code, text = run(tmp_path / "absent")
    assert code == 1
    assert "neither a directory, nor a .gguf file, nor a hub id" in text


def test_revision_of_a_local_checkpoint_is_a_wrong_argument(run: Runner) -> None:
    code, text = run(GOLDEN, "--revision", "main")
    assert code == 2
    assert "only a hub repository has revisions" in " ".join(text.split())


def test_tokenizer_from_elsewhere(run: Runner, published: Path, tmp_path: Path) -> None:
    shutil.copytree(published, tmp_path / "tokenizer")
    (published / "tokenizer.json").unlink()
    assert run(published)[0] == 1
    code, text = run(published, "--tokenizer", tmp_path / "tokenizer")
    assert code == 0
    assert "502 tokens" in text


def test_lines_are_wrapped_and_hold_no_control_characters() -> None:
    """Names and notes come from the files of a stranger."""
    inspection = Inspection(
        source="\x1b[31mred\x07",
        kind="native checkpoint",
        notes=["word " * 40 + "\x1b]0;title\x07", "two\nlines"],
        safety=SafetyFacts(pickles=["\x9b2J.bin"]),
        problems=["a problem " * 20],
    )
    lines = list(inspection_lines(inspection, width=60))
    assert max(map(len, lines)) <= 60
    assert all(line.isprintable() for line in lines)
    assert sum(line.startswith("notes") for line in lines) == 1


def test_help(run: Runner) -> None:
    code, text = run("--help")
    assert code == 0
    for option in ("--json", "--tokenizer", "--revision"):
        assert option in text
