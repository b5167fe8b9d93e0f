"""Think at every position of a text and show the tokens that the thoughts changed most.

    python examples/read_thoughts.py [--model CHECKPOINT] [--text TEXT]

`model.think` is the method in its plain form, all positions at once: what training and evaluation
use. It needs no engine and gives tensors.
"""

import argparse

from torch import Tensor

from qstar_infer import load_model

TEXT = (
    "The Nile is the longest river in Africa. It flows north through Uganda, Sudan and Egypt, "
    "and ends in the Mediterranean Sea."
)
NUM_SHOWN = 8


def logprobs_of_next(logits: Tensor, token_ids: Tensor) -> Tensor:
    """Log-probability of each token but the first: `[seq, vocab]`, `[seq]` -> `[seq - 1]`."""
    return logits[:-1].log_softmax(-1).gather(-1, token_ids[1:, None])[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="checkpoint directory; the default model if left out")
    parser.add_argument("--text", default=TEXT)
    args = parser.parse_args()

    model = load_model(args.model)
    token_ids: Tensor = model.tokenizer(args.text, return_tensors="pt").input_ids
    trace = model.think(token_ids, temperature=0.5, seed=0)
    ids = token_ids[0].to(model.device)
    base = logprobs_of_next(model.mask_delimiters(trace.base_logits[0]), ids)
    gain = logprobs_of_next(trace.logits[0], ids) - base
    print(f"{gain.mean():+.4f} nats per token from thinking")
    print("the largest changes: token, log-probability without its thought, change")
    for at in gain.abs().topk(min(NUM_SHOWN, len(gain))).indices.tolist():
        token = model.tokenizer.decode([int(ids[at + 1])])
        thought_ids = trace.thought_ids[0, at].tolist() if trace.is_thinking[0, at] else []
        thought = model.tokenizer.decode(thought_ids)
        print(f"{token!r:16} {base[at]:7.3f} {gain[at]:+.3f}  thought {thought!r}")


if __name__ == "__main__":
    main()
