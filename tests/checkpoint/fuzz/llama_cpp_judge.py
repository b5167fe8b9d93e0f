"""llama.cpp as the judge of a GGUF file, in a process that may die."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from .reference import Unreadable

MARK = "answer: "
IS_INSTALLED = importlib.util.find_spec("llama_cpp") is not None


class Crashed(Unreadable):
    """llama.cpp ended its process."""


class LlamaCpp:
    """Starts a worker when it needs one."""

    def __init__(self) -> None:
        self._worker: subprocess.Popen[str] | None = None

    def logits(self, path: Path, ids: list[int]) -> Tensor:
        """`[seq, vocab]`, float32.

        Raises:
            Unreadable: llama.cpp refuses the file.
            Crashed: it ends its process.
        """
        if self._worker is None or self._worker.poll() is not None:
            self._worker = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("llama_cpp_worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=os.environ | {"GGML_NO_BACKTRACE": "1"},  # taken by a fork, which may hang
            )
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.write(json.dumps([str(path), ids]) + "\n")
        self._worker.stdin.flush()
        lines = iter(self._worker.stdout.readline, "")
        text = next((line for line in lines if line.startswith(MARK)), None)
        if text is None:
            self._worker.wait()
            self._worker = None
            raise Crashed("llama.cpp crashed")
        answer = json.loads(text.removeprefix(MARK))
        if "error" in answer:
            raise Unreadable(answer["error"])
        return torch.tensor(answer["logits"])

    def close(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()
