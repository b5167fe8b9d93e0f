"""Records llama.cpp's numbers for the toy files: `python -m tests.checkpoint.gguf.make_golden`.

Needs llama-cpp-python (`pip install -e '.[llama-cpp]'`).
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.checkpoint.gguf import golden, reference
from tests.checkpoint.gguf.cases import CASES, IDS
from tests.checkpoint.gguf.quantised import TYPES, blocks, quantised_toy
from tests.checkpoint.gguf.texts import TEXTS
from tests.checkpoint.gguf.toys import write_toy
from tests.checkpoint.gguf.vocabularies import VOCABULARIES


def main() -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "toy.gguf"
        numbers = {}
        for name, case in CASES.items():
            write_toy(path, **case)
            numbers[name] = golden.excerpt(reference.log_probs(path, IDS))
        _write(golden.NUMBERS, numbers)
        ids = {}
        for name, vocabulary in VOCABULARIES.items():
            write_toy(path, vocabulary=vocabulary)
            ids[name] = [reference.token_ids(path, text) for text in TEXTS]
        _write(golden.TOKENS, ids)
        _write(golden.TYPES, {kind.name: _type_record(path, kind) for kind in TYPES})


def _type_record(path: Path, kind: Any) -> dict[str, Any]:
    rows = reference.quantised(kind, blocks())
    quantised_toy(path, kind, rows)
    return {
        "blocks": rows.tobytes().hex(),
        "log_probs": golden.excerpt(reference.log_probs(path, IDS)),
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in content.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
