"""Reads paths of GGUF files and token ids from stdin, and prints llama.cpp's logits as JSON.

A process of its own, because llama.cpp aborts on some damaged files.
"""

import json
import sys

import llama_cpp

MARK = "answer: "
"""llama.cpp prints to stdout, too."""


def main() -> None:
    for line in sys.stdin:
        path, ids = json.loads(line)
        try:
            model = llama_cpp.Llama(
                path,
                n_ctx=64,
                n_threads=1,
                logits_all=True,
                verbose=False,
                type_k=llama_cpp.GGML_TYPE_F32,
                type_v=llama_cpp.GGML_TYPE_F32,
                flash_attn=False,
            )
            model.eval(ids)
            answer = {"logits": model.scores[: len(ids)].tolist()}
            model.close()
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(f"\n{MARK}{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
