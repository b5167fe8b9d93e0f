"""The paper's zero-shot measure: the probability of the right answer among the answer tokens.

Paper, section 5, as its public evaluation has it. The prompt is `Q: ...\\nA:`; behind it the
right answer is fed, token by token. At each of its tokens the softmax is restricted to the fixed
list of `answer_tokens`; the measure is the product over the answer's tokens, and its mean over
questions. It is no exact match, and not to be compared with one.

Where the public evaluation does otherwise: of a prompt over 256 tokens it takes a random window,
and of an answer like `1,000` or `-5` it skips the characters that are not digits. We leave such
questions out and count them, except that we write `1,000` as `1000`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from qstar_eval import scoring
from qstar_eval.answer_tokens import AnswerTokens, answer_tokens
from qstar_eval.prompts import direct_prompt
from qstar_eval.question_task import QuestionTask, question_seed
from qstar_eval.questions import Question
from qstar_eval.subject import Subject
from qstar_eval.task import Record
from qstar_eval.text_ids import encode_text
from qstar_infer.errors import CheckpointError
from qstar_infer.model.quiet_star import QuietStarModel

MAX_TOKENS = 256
"""Most tokens of a question with its answer; the public evaluation's `max_length`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedQuestion:
    """What is fed and what is scored for one question."""

    prompt_ids: list[int]
    answer_ids: list[int]
    allowed_ids: list[list[int]]
    """The restricted list at each of `answer_ids`."""

    @property
    def input_ids(self) -> list[int]:
        """What is fed; nothing is predicted from the last token of the answer."""
        return self.prompt_ids + self.answer_ids[:-1]

    @property
    def anchors(self) -> list[int]:
        """The index before each token of the answer."""
        first = len(self.prompt_ids) - 1
        return list(range(first, first + len(self.answer_ids)))


def encode_question(
    question: Question,
    tokens: AnswerTokens,
    tokenizer: PreTrainedTokenizerBase,
    delimiter_ids: Sequence[int] = (),
) -> EncodedQuestion:
    """A question whose answer the restricted tokens can write."""
    answer_ids = tokens.answer_ids(question.answer)
    prompt_ids = encode_text(tokenizer, direct_prompt(question), delimiter_ids)
    return EncodedQuestion(
        prompt_ids=[*prompt_ids, *tokens.lead_ids],
        answer_ids=answer_ids,
        allowed_ids=[tokens.allowed_ids(place) for place in range(len(answer_ids))],
    )


def answer_probability(logits: Tensor, question: EncodedQuestion) -> float:
    """Product over the answer's tokens of the softmax restricted to the allowed ones.

    Args:
        logits: `[answer or more, vocab]`, float32: what predicts each token of the answer.
    """
    probability = 1.0
    for place, token_id in enumerate(question.answer_ids):
        allowed = question.allowed_ids[place]
        shares = logits[place, allowed].double().softmax(dim=-1)
        probability *= float(shares[allowed.index(token_id)])
    return probability


class ProbabilityTask(QuestionTask):
    """The measure for every question, with and without thoughts, by the oracle.

    Records: `base_probability` and `mixed_probability`, or `left_out` with the reason.
    """

    def measure(self, subject: Subject, indices: Sequence[int]) -> list[Record]:
        """
        Raises:
            ConfigError: the subject's tokenizer cannot write answers digit by digit.
            CheckpointError: a probability is not finite.
        """
        tokens = answer_tokens(subject.model.tokenizer, self.kind)
        records: dict[int, Record] = {}
        encoded: dict[int, EncodedQuestion] = {}
        for index in indices:
            found = _encode_or_reason(self.questions[index], tokens, subject.model)
            if isinstance(found, str):
                records[index] = {"index": index, "left_out": found}
            else:
                encoded[index] = found
        if encoded:
            records |= self._measured(subject, encoded)
        return [records[index] for index in indices]

    def figures(self, record: Record) -> dict[str, float]:
        """Both probabilities and their difference; nothing where the question was left out."""
        if "left_out" in record:
            return {}
        base, mixed = record["base_probability"], record["mixed_probability"]
        return {"base_probability": base, "mixed_probability": mixed, "gain": mixed - base}

    def _measured(self, subject: Subject, encoded: dict[int, EncodedQuestion]) -> dict[int, Record]:
        questions = list(encoded.values())
        scores = scoring.score_anchors(
            subject.model,
            *_padded([question.input_ids for question in questions]),
            anchors=_anchors(questions),
            seeds=torch.tensor([question_seed(subject, index) for index in encoded]),
            thinking=subject.thinking,
        )
        records = {}
        for row, (index, question) in enumerate(encoded.items()):
            base = answer_probability(scores.base_logits[row], question)
            mixed = answer_probability(scores.logits[row], question)
            if not (math.isfinite(base) and math.isfinite(mixed)):
                raise CheckpointError(
                    f"{subject.label}: question {index} of {self.name} has a probability that is "
                    "not finite. Its weights are broken, or its dtype is too narrow: try "
                    "dtype=float32."
                )
            records[index] = {
                "index": index,
                "base_probability": base,
                "mixed_probability": mixed,
            }
        return records


def _encode_or_reason(
    question: Question, tokens: AnswerTokens, model: QuietStarModel
) -> EncodedQuestion | str:
    """A question to measure, or why it is left out."""
    if question.choices is None and not question.answer.isdigit():
        return f"the answer {question.answer} is not a whole number of at least 0"
    found = encode_question(question, tokens, model.tokenizer, model.delimiter_ids)
    num_tokens = len(found.prompt_ids) + len(found.answer_ids)
    if num_tokens > MAX_TOKENS:
        return f"{num_tokens} tokens with the answer; the most is {MAX_TOKENS}"
    return found


def _padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask, `[batch, seq]`, int64, padded on the right."""
    seq = max(map(len, rows))
    ids = torch.tensor([row + [0] * (seq - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (seq - len(row)) for row in rows])
    return ids, mask


def _anchors(questions: list[EncodedQuestion]) -> Tensor:
    """`[batch, anchors]`, int64. Answers shorter than the longest repeat their last anchor."""
    most = max(len(question.anchors) for question in questions)
    return torch.tensor(
        [
            question.anchors + question.anchors[-1:] * (most - len(question.anchors))
            for question in questions
        ]
    )
