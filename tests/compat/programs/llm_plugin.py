"""The command `llm`, with the server as an extra model: python llm_plugin.py URL MODEL."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

URL, MODEL = sys.argv[1:3]
MODELS = """
- model_id: served-chat
  model_name: {model}
  api_base: {url}
- model_id: served-text
  model_name: {model}
  api_base: {url}
  completion: true
"""


def main() -> None:
    """Run all."""
    with tempfile.TemporaryDirectory() as home:
        Path(home, "extra-openai-models.yaml").write_text(
            MODELS.format(model=MODEL, url=URL), encoding="utf-8"
        )
        for model, options in (
            ("served-chat", []),
            ("served-chat", ["--no-stream"]),
            ("served-text", ["-o", "max_tokens", "6", "-o", "temperature", "0"]),
        ):
            command = [
                Path(sys.executable).with_name("llm"),
                "-m",
                model,
                *options,
                "Once upon a time",
            ]
            done = subprocess.run(
                command,
                env={**os.environ, "LLM_USER_PATH": home, "OPENAI_API_KEY": "none"},
                capture_output=True,
                text=True,
                timeout=240,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip(), done.stderr


if __name__ == "__main__":
    main()
