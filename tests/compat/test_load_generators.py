"""Load generators of other projects run without an error."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from qstar_infer import load_model
from tests.compat.conftest import PYTHON, Served, run

NUM_REQUESTS = 12


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model's tokenizer, which the generators need to make prompts."""
    directory = tmp_path_factory.mktemp("tokenizer")
    load_model().tokenizer.save_pretrained(directory)
    return directory


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_guidellm(path: str, served: Served, tokenizer: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    backend = f"kind=openai_http,target={served.root},model={served.model},request_format={path}"
    options = {
        "--backend": backend,
        "--profile": "kind=concurrent,streams=4",
        "--constraint": f"kind=max_requests,count={NUM_REQUESTS}",
        "--tokenizer": f"kind=huggingface_auto,model={tokenizer}",
        "--data": "kind=synthetic_text,prompt_tokens=32,output_tokens=8",
        "--output": f"kind=json,path={report}",
    }
    flat = [part for option in options.items() for part in option]
    run(PYTHON, "-m", "guidellm", "run", "--disable-console", *flat)
    (benchmark,) = json.loads(report.read_text(encoding="utf-8"))["benchmarks"]
    assert len(benchmark["requests"]["successful"]) == NUM_REQUESTS
    assert not benchmark["requests"]["errored"]
    assert not benchmark["requests"]["incomplete"]


@pytest.fixture
def book_url(tmp_path: Path) -> Iterator[str]:
    """A text at an address of this machine: llama-benchy reads its prompts from a URL."""
    text = "The ship sailed on, and nobody looked back. " * 2000
    (tmp_path / "book.txt").write_text(text, encoding="utf-8")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/book.txt"
        server.shutdown()


def test_llama_benchy(served: Served, tokenizer: Path, book_url: str, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    options: list[object] = ["--base-url", served.url, "--model", served.model]
    options += ["--tokenizer", tokenizer, "--book-url", book_url, "--pp", 64, "--tg", 8]
    options += ["--runs", 2, "--concurrency", 1, 2, "--skip-coherence", "--exit-on-first-fail"]
    options += ["--save-result", result, "--format", "json"]
    run(PYTHON.with_name("llama-benchy"), *options)
    assert json.loads(result.read_text(encoding="utf-8"))
