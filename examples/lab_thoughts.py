"""Ask the lab model held-out questions with longer and longer thoughts: the longer, the better.

    python examples/lab_thoughts.py [--model CHECKPOINT] [--count N]

A question is a chain of up to 16 operations, from left to right, modulo 7. The model answers with
one digit, at once; its thought before that digit is the working. Chance is 1 in 7.
"""

import argparse
from random import Random

from qstar_infer import LLM, SamplingParams
from qstar_lab.tasks.digit_chains import DigitChains

NUM_SHOWN = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="lab", help="a checkpoint; the lab model if left out")
    parser.add_argument("--count", type=int, default=300, help="how many questions")
    args = parser.parse_args()

    task, random = DigitChains(), Random(0)
    problems = [task.draw(random, held_out=True) for _ in range(args.count)]
    prompts = [problem.prompt for problem in problems]
    llm = LLM(args.model)
    for length in (0, *task.thought_lengths):
        params = SamplingParams(max_tokens=1, temperature=0.0, num_thought_tokens=length)
        answers = [request.outputs[0] for request in llm.generate(prompts, params)]
        pairs = list(zip(problems, answers, strict=True))
        num_right = sum(answer.text == problem.answer for problem, answer in pairs)
        print(f"{length:2} thought tokens: {num_right / len(pairs):6.1%} right")

    print("question, working, thought, answer")  # of the last, longest thoughts
    for problem, answer in pairs[:NUM_SHOWN]:
        chain = problem.prompt.rstrip(".?")
        working = "".join(problem.working)
        print(f"{chain:33} {working} {answer.thoughts[0].thought} {answer.text}")


if __name__ == "__main__":
    main()
