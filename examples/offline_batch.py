"""Complete several prompts in one batch, without a server, and keep the best of four candidates.

    python examples/offline_batch.py [--model CHECKPOINT]

`best_of` generates four completions of each prompt; a `Ranker` picks the best. This one prefers
completions whose thoughts helped most. `LLM()` without a ranker takes the likeliest.
"""

import argparse

from qstar_infer import LLM, CompletionOutput, SamplingParams

PROMPTS = [
    "The capital of France is",
    "Water boils when",
    "The three primary colours are",
]


class HelpfulThoughts:
    """Scores a completion by what its thoughts added to the log-probability of its tokens."""

    def score(self, output: CompletionOutput) -> float:
        """Nats per token; 0 for a completion without tokens."""
        gains = [step.logprob - step.base_logprob for step in output.thoughts]
        return sum(gains) / max(1, len(gains))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="checkpoint directory; the default model if left out")
    args = parser.parse_args()

    ranker = HelpfulThoughts()
    llm = LLM(args.model, ranker=ranker)
    params = SamplingParams(best_of=4, max_tokens=12, temperature=0.7, seed=1)
    for request in llm.generate(PROMPTS, params):
        best = request.outputs[0]
        print(repr(request.prompt), "->", repr(best.text))
        print(f"    {ranker.score(best):+.3f} nats per token from its thoughts")
    stats = llm.stats()
    print(f"{stats.tokens} tokens, {stats.thought_tokens} thought tokens, {stats.steps} passes")


if __name__ == "__main__":
    main()
