"""maj@k: the most frequent of k answers, each after a sampled zero-shot chain of thought.

As the paper's `zero-shotcot-eval.py`: the chain is sampled behind `A: Let's think step by step.`,
then `Therefore, the answer (arabic numerals) is` is appended, and the first number of the short
text behind it is the answer. Ours: that short text is greedy (the script goes on sampling), a
chain ends also where it begins a new question or leaves two lines free, and a sample without an
answer has no vote.
"""

from collections import Counter
from collections.abc import Sequence

from qstar_eval.answers import first_answer
from qstar_eval.generation import GenerationTask, generate
from qstar_eval.prompts import chain_prompt, conclusion_prompt
from qstar_eval.question_task import question_seed
from qstar_eval.questions import Question, QuestionKind
from qstar_eval.subject import Subject
from qstar_eval.task import Record
from qstar_infer.outputs import CompletionOutput
from qstar_infer.sampling.noise import derive_seed

CHAIN_STOPS = ("\nQ:", "\n\n\n")
CONCLUSION_STOPS = ("\nQ:", "\n\n")
MAX_CONCLUSION_TOKENS = 12
"""The script's `answer_length`."""


class MajorityTask(GenerationTask):
    """Whether the vote of `num_samples` chains of thought is right.

    Records: `chains` and their `finish_reasons` (as the engine's), `answers` (None where a sample
    has none), `voted`, `correct`, and `single_sample`, the share of samples that are right by
    themselves.
    """

    def __init__(
        self,
        *,
        name: str,
        kind: QuestionKind,
        questions: Sequence[Question],
        num_samples: int,
        temperature: float,
        max_new_tokens: int,
    ) -> None:
        super().__init__(name=name, kind=kind, questions=questions, num_samples=num_samples)
        self.temperature = temperature
        self.max_new_tokens = max_new_tokens
        self.shares = (f"maj@{num_samples}",)

    def answer(self, subject: Subject, indices: Sequence[int]) -> list[Record]:
        """As `GenerationTask.answer`; a chain and its conclusion must fit as well."""
        chains = generate(
            subject,
            [chain_prompt(self.questions[index]) for index in indices],
            seeds=[question_seed(subject, index) for index in indices],
            n=self.num_samples,
            temperature=self.temperature,
            max_tokens=self.max_new_tokens,
            stop=CHAIN_STOPS,
        )
        conclusions = self._conclude(subject, indices, chains)
        return [
            self._record(index, samples, texts)
            for index, samples, texts in zip(indices, chains, conclusions, strict=True)
        ]

    def figures(self, record: Record) -> dict[str, float]:
        """`maj@8`: 1 for a right vote of 8; the number is in the name, as those of other numbers
        are another measure. `single_sample`: the share of samples that are right by themselves.
        `no_answer`: that of samples without an answer.

        Nothing where the question was left out.
        """
        if "left_out" in record:
            return {}
        answers = record["answers"]
        return {
            f"maj@{self.num_samples}": float(record["correct"]),
            "single_sample": record["single_sample"],
            "no_answer": answers.count(None) / len(answers),
        }

    def _conclude(
        self, subject: Subject, indices: Sequence[int], chains: list[list[CompletionOutput]]
    ) -> list[list[str]]:
        """The short greedy text behind each chain."""
        prompts = [
            conclusion_prompt(self.questions[index], chain.text, self.kind)
            for index, samples in zip(indices, chains, strict=True)
            for chain in samples
        ]
        # A chain's own seed again: noise depends on the position, and these lie behind the chain.
        sample_seeds = [
            derive_seed(question_seed(subject, index), sample)
            for index in indices
            for sample in range(self.num_samples)
        ]
        completions = generate(
            subject,
            prompts,
            seeds=sample_seeds,
            temperature=0.0,
            max_tokens=MAX_CONCLUSION_TOKENS,
            stop=CONCLUSION_STOPS,
        )
        return _grouped([one.text for (one,) in completions], self.num_samples)

    def _record(self, index: int, chains: list[CompletionOutput], conclusions: list[str]) -> Record:
        question = self.questions[index]
        answers = [first_answer(text, question) for text in conclusions]
        voted = majority_vote(answers)
        num_correct = answers.count(question.answer)
        return {
            "index": index,
            "chains": [chain.text for chain in chains],
            "finish_reasons": [chain.finish_reason for chain in chains],
            "answers": answers,
            "voted": voted,
            "correct": voted == question.answer,
            "single_sample": num_correct / len(answers),
        }


def majority_vote(answers: Sequence[str | None]) -> str | None:
    """The most frequent answer; of equally frequent ones the first sampled. None: no answers."""
    # Counter keeps the order of first appearance among equals.
    votes = Counter(answer for answer in answers if answer is not None)
    return votes.most_common(1)[0][0] if votes else None


def _grouped(texts: list[str], size: int) -> list[list[str]]:
    return [texts[start : start + size] for start in range(0, len(texts), size)]
