"""Measures of answers that the engine generates: exact match, and the majority of k answers.

maj@k is as in the paper's `zero-shotcot-eval.py`: a chain of thought is sampled after `A: Let's
think step by step.`, then `Therefore, the answer (arabic numerals) is` is appended, and the first
number of the short text that follows is the answer. Our departures: that short text is greedy (the
script samples it), a chain also ends where it begins a new question or leaves two blank lines, and
a sample without an answer has no vote.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from qstar_eval.answers import answer_in
from qstar_eval.config import QuestionKind, QuestionSetConfig
from qstar_eval.questions import Question, chain_prompt, conclusion_prompt, direct_prompt
from qstar_eval.task import EvalTarget, QuestionTask, Record, question_seed
from qstar_eval.tokens import encode_text
from qstar_infer.errors import CheckpointError, ContextLengthError, NotFiniteError
from qstar_infer.outputs import CompletionOutput
from qstar_infer.sampling.noise import derive_seed
from qstar_infer.sampling_params import SamplingParams

_NEXT = ("\nQ:", "\nA:", "\nB:")
"""A base model continues with a question of its own or, if it is small, with `B:` and `C:`, as if
`A:` were the first item of a list."""
ANSWER_STOPS: dict[QuestionKind, tuple[str, ...]] = {
    "gsm8k": (*_NEXT, "\n\n\n"),
    "commonsense_qa": (*_NEXT, "\n\n"),
}
"""Stop strings of a greedy answer; ours, not the paper's. The last number of a worked answer is
read, so it may have paragraphs; the first letter is read, so a blank line ends that answer."""
CHAIN_STOPS = ("\nQ:", "\n\n\n")
_CONCLUSION_PARAMS = SamplingParams(temperature=0.0, max_tokens=12, stop=("\nQ:", "\n\n"))
"""12 is the script's `answer_length`."""
SEQUENCES_PER_CALL = 128
"""Sequences handed to the engine in one call: several times what it generates concurrently, so that
it has idle slots only at the end of a call. Records are written after each call."""


class GenerationTask(QuestionTask):
    """A task that generates text.

    A question that does not fit the model's context has `left_out` in its record, with the reason.
    """

    has_base_figures = False
    num_samples = 1
    """Sequences for each question."""

    def __init__(self, config: QuestionSetConfig, questions: Sequence[Question]) -> None:
        batch_size = max(1, SEQUENCES_PER_CALL // self.num_samples)
        super().__init__(config, questions, batch_size=batch_size)

    def measure(self, target: EvalTarget, indices: Sequence[int]) -> list[Record]:
        """As `Task.measure`.

        Raises:
            RequestError: the engine cannot generate with these settings.
        """
        try:
            return self.answer(target, indices)
        except ContextLengthError as error:
            if len(indices) == 1:
                return [{"index": indices[0], "left_out": str(error)}]
        # One question is too long. Halving keeps batches large; one by one would not.
        middle = len(indices) // 2
        halves = indices[:middle], indices[middle:]
        return [record for half in halves for record in self.measure(target, half)]

    @abstractmethod
    def answer(self, target: EvalTarget, indices: Sequence[int]) -> list[Record]:
        """As `measure`, for questions that fit the context.

        Raises:
            ContextLengthError: a question does not fit.
        """


class ExactMatchTask(GenerationTask):
    """Whether a greedy zero-shot answer is right.

    Records: `text`, `finish_reason` (the engine's), `parsed` (None if the text holds no answer) and
    `correct`.
    """

    measure_name = "exact_match"
    shares = ("exact_match", "no_answer")

    def answer(self, target: EvalTarget, indices: Sequence[int]) -> list[Record]:
        """As `GenerationTask.answer`."""
        completions = generate(
            target,
            [direct_prompt(self.questions[index]) for index in indices],
            seeds=[question_seed(target, index) for index in indices],
            params=SamplingParams(
                temperature=0.0,
                max_tokens=self.config.max_new_tokens,
                stop=ANSWER_STOPS[self.config.kind],
            ),
        )
        return [
            self._record(index, one) for index, (one,) in zip(indices, completions, strict=True)
        ]

    def figures(self, record: Record) -> dict[str, float]:
        """`exact_match`: 1 for a right answer. `no_answer`: 1 for a text without an answer."""
        return {
            "exact_match": float(record["correct"]),
            "no_answer": float(record["parsed"] is None),
        }

    def _record(self, index: int, completion: CompletionOutput) -> Record:
        question = self.questions[index]
        parsed = answer_in(completion.text, question.choices, place=-1)
        return {
            "index": index,
            "text": completion.text,
            "finish_reason": completion.finish_reason,
            "parsed": parsed,
            "correct": parsed == question.answer,
        }


class MajorityTask(GenerationTask):
    """Whether the majority vote of `num_samples` chains of thought is right.

    Records: `chains` and their `finish_reasons` (the engine's), `answers` (None for a sample
    without one), `voted`, `correct`, and `single_sample`, the share of samples that are right.
    """

    measure_name = "majority"

    def __init__(self, config: QuestionSetConfig, questions: Sequence[Question]) -> None:
        self.num_samples = config.num_samples
        self.shares = (f"maj@{config.num_samples}",)
        super().__init__(config, questions)

    def answer(self, target: EvalTarget, indices: Sequence[int]) -> list[Record]:
        """As `GenerationTask.answer`; a chain with its conclusion must fit as well."""
        chains = generate(
            target,
            [chain_prompt(self.questions[index]) for index in indices],
            seeds=[question_seed(target, index) for index in indices],
            params=SamplingParams(
                n=self.num_samples,
                temperature=self.config.sample_temperature,
                max_tokens=self.config.max_new_tokens,
                stop=CHAIN_STOPS,
            ),
        )
        conclusions = self._conclude(target, indices, chains)
        return [
            self._record(index, samples, texts)
            for index, samples, texts in zip(indices, chains, conclusions, strict=True)
        ]

    def figures(self, record: Record) -> dict[str, float]:
        """`maj@8`: 1 for a right vote of 8. `single_sample`: the share of samples that are right.
        `no_answer`: the share of samples without an answer."""
        answers = record["answers"]
        return {
            f"maj@{self.num_samples}": float(record["correct"]),
            "single_sample": record["single_sample"],
            "no_answer": answers.count(None) / len(answers),
        }

    def _conclude(
        self, target: EvalTarget, indices: Sequence[int], chains: list[list[CompletionOutput]]
    ) -> list[list[str]]:
        """The short greedy text after each chain, by question."""
        prompts = [
            conclusion_prompt(self.questions[index], chain.text, self.config.kind)
            for index, samples in zip(indices, chains, strict=True)
            for chain in samples
        ]
        # The seed of each chain again: noise depends on the position, and these come later.
        sample_seeds = [
            derive_seed(question_seed(target, index), sample)
            for index in indices
            for sample in range(self.num_samples)
        ]
        completions = generate(
            target,
            prompts,
            seeds=sample_seeds,
            params=_CONCLUSION_PARAMS,
        )
        texts = [one.text for (one,) in completions]
        size = self.num_samples
        return [texts[start : start + size] for start in range(0, len(texts), size)]

    def _record(self, index: int, chains: list[CompletionOutput], conclusions: list[str]) -> Record:
        question = self.questions[index]
        answers = [answer_in(text, question.choices, place=0) for text in conclusions]
        voted = majority_vote(answers)
        return {
            "index": index,
            "chains": [chain.text for chain in chains],
            "finish_reasons": [chain.finish_reason for chain in chains],
            "answers": answers,
            "voted": voted,
            "correct": voted == question.answer,
            "single_sample": answers.count(question.answer) / len(answers),
        }


def majority_vote(answers: Sequence[str | None]) -> str | None:
    """The most frequent answer, the first sampled among equals; None if there are no answers."""
    # Counter keeps the order of first appearance among equals.
    votes = Counter(answer for answer in answers if answer is not None)
    return votes.most_common(1)[0][0] if votes else None


def generate(
    target: EvalTarget, prompts: Sequence[str], *, seeds: Sequence[int], params: SamplingParams
) -> list[list[CompletionOutput]]:
    """Generate every prompt's completions in one call, in the target's thinking mode.

    Args:
        seeds: one for each prompt; completion i has `derive_seed(seed, i)`.
        params: for all prompts; their seed and thoughts are set here.

    Raises:
        CheckpointError: the model computed a number that is not finite.
    """
    model, mode = target.model, target.mode
    params = replace(
        params,
        num_thought_tokens=mode.num_thought_tokens,
        thought_temperature=mode.thought_temperature,
        thinking=mode.thinking if mode.num_thought_tokens else None,
    )
    encoded = [encode_text(model.tokenizer, text, model.delimiter_ids) for text in prompts]
    try:
        outputs = target.llm.generate(encoded, [replace(params, seed=seed) for seed in seeds])
    except NotFiniteError as error:
        raise CheckpointError(f"{target.label}: {error}.") from error
    return [output.outputs for output in outputs]
