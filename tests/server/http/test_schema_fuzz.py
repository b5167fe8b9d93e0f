"""schemathesis reads `/openapi.json` and sends thousands of right and wrong requests.

`make fuzz` runs this file with 3,000 cases in all of schemathesis' phases; otherwise there are
some hundred. It runs in a process of its own against a real server with a toy model.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.create import create_async_engine
from qstar_infer.engine_args import EngineArgs
from tests.server.fake_engine import MODEL
from tests.server.live_server import LiveServer, start_server
from tests.server.real_engine import save_toy

MIN_CASES = int(os.environ.get("QSTAR_FUZZ_CASES", "200"))
IS_LONG = MIN_CASES > 1000
PHASES = "examples,coverage,fuzzing,stateful" if IS_LONG else "examples,fuzzing"
TIMEOUT_S = 60
"""Of one request; longer is a hang."""
# A right value of each field does not make a right request: the tokens must exist, the prompt must
# fit the context, and fields must not contradict each other.
NOT_CHECKED = "positive_data_acceptance"
# Its own list of refusals lacks 413, which a text of a million characters gets.
SETTINGS = """
[checks.negative_data_rejection]
expected-statuses = [400, 404, 405, 406, 413, 415]
"""


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose context is so short that no request takes long."""
    engine = create_async_engine(
        EngineArgs.of(
            model=str(save_toy(tmp_path_factory.mktemp("toy") / "checkpoint")),
            served_model_name=MODEL,
            max_model_len=96,
            num_thought_tokens=1,
            num_blocks=512,
        )
    )
    server = start_server(engine, ServerConfig(drain_grace_s=0.2, shutdown_grace_s=1))
    yield server
    server.stop()


def run_schemathesis(url: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Its output and exit status, which is not 0 if a check has failed."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json"]
    options = {
        "phases": PHASES,
        "mode": "all",
        "max-examples": str(MIN_CASES // (20 if IS_LONG else 7)),
        "generation-allow-x00": "true",
        "generation-database": "none",
        "request-timeout": str(TIMEOUT_S),
        "exclude-checks": NOT_CHECKED,
        "suppress-health-check": "all",
        "seed": "1",
    }
    command += [f"--{name}={value}" for name, value in options.items()]
    (directory / "schemathesis.toml").write_text(SETTINGS)
    command += ["--continue-on-failure", "--no-shrink", "--no-color"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_no_request_breaks_the_server(fuzzed: LiveServer, tmp_path: Path) -> None:
    """No 5xx, no hang, no status or body that is not documented, nothing wrong accepted."""
    result = run_schemathesis(fuzzed.url, tmp_path)
    assert result.returncode == 0, result.stdout[-10_000:] + result.stderr[-2_000:]
    generated = re.search(r"(\d+) generated", result.stdout)
    assert generated, result.stdout[-2_000:]
    assert int(generated[1]) >= MIN_CASES, result.stdout[-2_000:]
    request = {"model": MODEL, "prompt": "A", "max_tokens": 2}
    assert httpx.post(f"{fuzzed.url}/v1/completions", json=request).status_code == 200
