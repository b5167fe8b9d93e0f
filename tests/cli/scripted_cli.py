"""Runs `qstar` with a scripted model, in a process of its own. A script, not a test.

    python -m tests.cli.scripted_cli TOKENS ARGUMENT...

TOKENS is a JSON list: for each visible token its text and the thought before it.
"""

import json
import sys

import qstar_infer
from qstar_infer.cli.main import main
from qstar_infer.errors import NotFiniteError

from .conftest import FakeLLM, _make_thought


def fail_at(place: int) -> None:
    """A number that is not finite, at the token whose text is "FAIL"."""
    if llm.script[place].token == "FAIL":
        raise NotFiniteError("the logits are", dtype="float16")


if __name__ == "__main__":
    tokens = json.loads(sys.argv.pop(1))
    llm = FakeLLM([_make_thought(token, thought, 0.5) for token, thought in tokens])
    llm.on_token = fail_at
    vars(qstar_infer)["LLM"] = llm
    main()
