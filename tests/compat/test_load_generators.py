"""Load generators of other projects run without an error."""

import json
from pathlib import Path

from tests.compat.conftest import PYTHON, Served, run


def test_guidellm(served: Served, tokenizer_directory: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [PYTHON, "-m", "guidellm", "run", "--disable-console"]
    run(
        *command,
        "--backend", f"kind=openai_http,target={served.root},model={served.model}",
        "--profile", "kind=concurrent,streams=4",
        "--constraint", "kind=max_requests,count=12",
        "--tokenizer", f"kind=huggingface_auto,model={tokenizer_directory}",
        "--data", "kind=synthetic_text,prompt_tokens=32,output_tokens=8",
        "--output", f"kind=json,path={report}",
    )  # fmt: skip
    (benchmark,) = json.loads(report.read_text())["benchmarks"]
    requests = benchmark["requests"]
    assert len(requests["successful"]) >= 12
    assert not requests["errored"]
