"""Exact match: a greedy answer through the engine, read, and compared with the right one."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from qstar_eval.answers import last_answer
from qstar_eval.prompts import direct_prompt
from qstar_eval.question_task import QuestionTask, question_seed
from qstar_eval.questions import Question, QuestionKind
from qstar_eval.scoring import Thinking
from qstar_eval.subject import Subject
from qstar_eval.task import Record
from qstar_eval.text_ids import encode_text
from qstar_infer.errors import ContextLengthError
from qstar_infer.outputs import CompletionOutput
from qstar_infer.sampling_params import SamplingParams

_NEXT = ("\nQ:", "\nA:", "\nB:")
"""A base model goes on with a question of its own, or, if it is small, with `B:` and `C:`, as
though `A:` had been the first of a list."""
ANSWER_STOPS: dict[QuestionKind, tuple[str, ...]] = {
    "gsm8k": (*_NEXT, "\n\n\n"),
    "commonsense_qa": (*_NEXT, "\n\n"),
}
"""What ends an answer. The last number of a worked answer is read, so it may have paragraphs, and
ends with two free lines, as the chains of `majority` do. The first letter is read, so what comes
behind a free line is another text. All of them are ours, not the paper's."""

SEQUENCES_PER_CALL = 128
"""Handed to the engine at once: several times what it writes at once, since it fills each place as
it falls free, and has empty ones only at a call's end. Records are kept after each call."""


class GenerationTask(QuestionTask):
    """A task that writes text.

    Records of questions that do not fit the model's context have `left_out`, the reason.
    """

    def __init__(
        self, *, name: str, kind: QuestionKind, questions: Sequence[Question], num_samples: int = 1
    ) -> None:
        """
        Args:
            num_samples: sequences written for each question.
        """
        batch_size = max(1, SEQUENCES_PER_CALL // num_samples)
        super().__init__(name=name, kind=kind, questions=questions, batch_size=batch_size)
        self.num_samples = num_samples

    def supports(self, thinking: Thinking) -> bool:
        """False for random thoughts: the engine samples thoughts, and puts none in their place."""
        return thinking.kind != "random" or thinking.num_thought_tokens == 0

    def measure(self, subject: Subject, indices: Sequence[int]) -> list[Record]:
        """
        Raises:
            RequestError: the model cannot do what is asked.
        """
        try:
            return self.answer(subject, indices)
        except ContextLengthError as error:
            if len(indices) == 1:
                return [{"index": indices[0], "left_out": str(error)}]
        # One of them is too long. Halves, not one by one: the engine is to write many at once.
        middle = len(indices) // 2
        halves = indices[:middle], indices[middle:]
        return [record for half in halves for record in self.measure(subject, half)]

    @abstractmethod
    def answer(self, subject: Subject, indices: Sequence[int]) -> list[Record]:
        """As `measure`, of questions that fit.

        Raises:
            ContextLengthError: one does not.
        """


class ExactMatchTask(GenerationTask):
    """Whether a greedy zero-shot answer is right.

    Records: `text`, `finish_reason` (as the engine's), `parsed` (None where the text holds no
    answer) and `correct`.
    """

    shares = ("exact_match", "no_answer")

    def __init__(
        self,
        *,
        name: str,
        kind: QuestionKind,
        questions: Sequence[Question],
        max_new_tokens: int,
    ) -> None:
        super().__init__(name=name, kind=kind, questions=questions)
        self.max_new_tokens = max_new_tokens

    def answer(self, subject: Subject, indices: Sequence[int]) -> list[Record]:
        """As `GenerationTask.answer`."""
        completions = generate(
            subject,
            [direct_prompt(self.questions[index]) for index in indices],
            seeds=[question_seed(subject, index) for index in indices],
            temperature=0.0,
            max_tokens=self.max_new_tokens,
            stop=ANSWER_STOPS[self.kind],
        )
        return [
            self._record(index, one) for index, (one,) in zip(indices, completions, strict=True)
        ]

    def figures(self, record: Record) -> dict[str, float]:
        """`exact_match`: 1 for a right answer. `no_answer`: 1 for a text that holds none.

        Nothing where the question was left out.
        """
        if "left_out" in record:
            return {}
        return {
            "exact_match": float(record["correct"]),
            "no_answer": float(record["parsed"] is None),
        }

    def _record(self, index: int, completion: CompletionOutput) -> Record:
        question = self.questions[index]
        parsed = last_answer(completion.text, question)
        return {
            "index": index,
            "text": completion.text,
            "finish_reason": completion.finish_reason,
            "parsed": parsed,
            "correct": parsed == question.answer,
        }


def generate(
    subject: Subject, prompts: Sequence[str], *, seeds: Sequence[int], **settings: Any
) -> list[list[CompletionOutput]]:
    """Every prompt's completions, in one batch, by the subject's way of thinking.

    Args:
        seeds: one for each prompt; completion i has `derive_seed(seed, i)`.
        **settings: further fields of `SamplingParams`, the same for all.
    """
    thinking = subject.thinking
    params = [
        SamplingParams(
            seed=seed,
            num_thought_tokens=thinking.num_thought_tokens,
            thought_temperature=thinking.temperature,
            **settings,
        )
        for seed in seeds
    ]
    model = subject.model
    prompt_ids = [encode_text(model.tokenizer, text, model.delimiter_ids) for text in prompts]
    outputs = subject.llm.generate(prompt_ids, params)
    return [output.outputs for output in outputs]
