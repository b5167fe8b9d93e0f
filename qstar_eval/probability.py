"""The paper's zero-shot measure: the probability of the right answer among the answer tokens.

Paper, section 5, as its public evaluation (`eval_helpers.py`) has it. The right answer is fed
after the prompt `Q: ...\\nA:`, token by token. At each of its tokens the softmax is restricted to a
fixed list; the measure is the product over the answer's tokens, and its mean over questions. It is
not exact match and cannot be compared with it.

The public evaluation restricts the softmax to eleven ids of Mistral's tokenizer for numbers (ten
digits and the newline) and to six for letters (A to E with the space before them, and the newline).
It scores an answer up to and including the newline that ends it. Mistral makes the space before a
number a separate token; it is not scored.

Tokens of other tokenizers follow the same rule, from how they encode the answer after `A:`. A space
that is a separate token belongs to the prompt; one that is part of the digit or letter is scored
with it. Every digit is one token, even if the tokenizer would merge several: otherwise an answer's
probability would depend on merges, and the list on the answer. If ` 1` is one token, the list for
the first digit differs from the list for later digits.

Two departures: the public evaluation takes a random window of a prompt over 256 tokens, and skips
the characters of `1,000` or `-5` that are not digits. We leave such questions out and count them,
but write `1,000` as `1000`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from qstar_eval.answers import LETTERS
from qstar_eval.config import QuestionKind
from qstar_eval.questions import ANSWER_MARKER, Question, direct_prompt
from qstar_eval.scoring import score_anchors
from qstar_eval.task import EvalTarget, QuestionTask, Record, question_seed
from qstar_eval.tokens import encode_text
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel

MAX_TOKENS = 256
"""Most tokens of a question with its answer; the public evaluation's `max_length`."""
DIGITS = "0123456789"
_PROBE = f"Q: ?{ANSWER_MARKER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTokens:
    """How one tokenizer writes one kind of answer after `A:`."""

    lead_ids: tuple[int, ...]
    """What the prompt ends with after `A:`: the token of the space, or nothing."""
    first_ids: dict[str, int]
    """Each digit or letter, as the first of an answer."""
    later_ids: dict[str, int]
    """Each digit after another; empty for letters, since one letter is the whole answer."""
    newline_id: int

    def answer_ids(self, answer: str) -> list[int]:
        """The scored tokens: the characters of an answer, and the newline that ends it."""
        later = [self.later_ids[character] for character in answer[1:]]
        return [self.first_ids[answer[0]], *later, self.newline_id]

    def allowed_ids(self, place: int) -> list[int]:
        """The restricted list for token `place` of an answer, from 0; the newline comes last."""
        is_first = place == 0 or not self.later_ids
        return [*(self.first_ids if is_first else self.later_ids).values(), self.newline_id]


def answer_tokens(tokenizer: PreTrainedTokenizerBase, kind: QuestionKind) -> AnswerTokens:
    """Find out how a tokenizer writes answers.

    Raises:
        ConfigError: it has no token of its own for some character of an answer.
    """
    characters = DIGITS if kind == "gsm8k" else LETTERS
    prompt_ids = encode_text(tokenizer, _PROBE)
    answers = {each: _ids_after(tokenizer, prompt_ids, f"{_PROBE} {each}") for each in characters}
    leads = {tuple(ids[:-1]) for ids in answers.values()}
    if len(leads) > 1:
        raise _unusable(f"encodes {_PROBE + ' '!r} in different ways before {characters}")
    later_ids = {}
    if kind == "gsm8k":
        # No tokenizer joins a newline with what follows, so the last token is the digit alone.
        later_ids = {digit: encode_text(tokenizer, f"\n{digit}")[-1] for digit in DIGITS}
        for digit, token_id in later_ids.items():
            if tokenizer.decode([token_id]) != digit:
                raise _unusable(f"has no token that is {digit!r} alone")
    first = characters[0]
    answered_ids = [*prompt_ids, *answers[first]]
    newline_ids = _ids_after(tokenizer, answered_ids, f"{_PROBE} {first}\n")
    if len(newline_ids) != 1:
        raise _unusable(f"encodes the newline after an answer as {len(newline_ids)} tokens")
    first_ids = {character: ids[-1] for character, ids in answers.items()}
    for ids in (first_ids, later_ids):
        if len(set(ids.values())) != len(ids):
            raise _unusable(f"gives some of {''.join(ids)} the same token")
    return AnswerTokens(
        lead_ids=leads.pop(), first_ids=first_ids, later_ids=later_ids, newline_id=newline_ids[0]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedQuestion:
    """What is fed and what is scored for one question."""

    prompt_ids: list[int]
    answer_ids: list[int]
    allowed_ids: list[list[int]]
    """The restricted list at each of `answer_ids`."""

    @property
    def input_ids(self) -> list[int]:
        """What is fed: all but the answer's last token, which predicts nothing."""
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
    """Encode a question whose answer consists of the restricted tokens."""
    answer_ids = tokens.answer_ids(question.answer)
    prompt_ids = encode_text(tokenizer, direct_prompt(question), delimiter_ids)
    return EncodedQuestion(
        prompt_ids=[*prompt_ids, *tokens.lead_ids],
        answer_ids=answer_ids,
        allowed_ids=[tokens.allowed_ids(place) for place in range(len(answer_ids))],
    )


def answer_probability(logits: Tensor, question: EncodedQuestion) -> float:
    """Multiply the restricted softmax over the answer's tokens.

    Args:
        logits: `[answer or more, vocab]`, float32; row i predicts token i of the answer.
    """
    probability = 1.0
    for place, token_id in enumerate(question.answer_ids):
        allowed = question.allowed_ids[place]
        shares = logits[place, allowed].double().softmax(dim=-1)
        probability *= float(shares[allowed.index(token_id)])
    return probability


class ProbabilityTask(QuestionTask):
    """The measure for every question, with and without thoughts, by `score_anchors`.

    Records: `base_probability` and `mixed_probability`, or `left_out` with the reason.
    """

    measure_name = "probability"

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Check that a tokenizer writes answers character by character.

        Raises:
            ConfigError: it does not.
        """
        answer_tokens(tokenizer, self.config.kind)

    def measure(self, target: EvalTarget, indices: Sequence[int]) -> list[Record]:
        """As `Task.measure`.

        Raises:
            ConfigError: the tokenizer cannot write answers digit by digit.
            CheckpointError: a probability is not finite.
        """
        tokens = answer_tokens(target.model.tokenizer, self.config.kind)
        records: dict[int, Record] = {}
        encoded: dict[int, EncodedQuestion] = {}
        for index in indices:
            found = _encode_or_reason(self.questions[index], tokens, target.model)
            if isinstance(found, str):
                records[index] = {"index": index, "left_out": found}
            else:
                encoded[index] = found
        if encoded:
            records |= self._measured(target, encoded)
        return [records[index] for index in indices]

    def figures(self, record: Record) -> dict[str, float]:
        """Both probabilities and their difference."""
        base, mixed = record["base_probability"], record["mixed_probability"]
        return {"base_probability": base, "mixed_probability": mixed, "gain": mixed - base}

    def _measured(
        self, target: EvalTarget, encoded: dict[int, EncodedQuestion]
    ) -> dict[int, Record]:
        questions = list(encoded.values())
        scores = score_anchors(
            target.model,
            [question.input_ids for question in questions],
            anchors=_anchors(questions),
            seeds=torch.tensor([question_seed(target, index) for index in encoded]),
            mode=target.mode,
        )
        records = {}
        for row, (index, question) in enumerate(encoded.items()):
            base = answer_probability(scores.base_logits[row], question)
            mixed = answer_probability(scores.logits[row], question)
            if not (math.isfinite(base) and math.isfinite(mixed)):
                raise target.not_finite(
                    f"question {index} of {self.name} has a probability that is"
                )
            records[index] = {"index": index, "base_probability": base, "mixed_probability": mixed}
        return records


def _ids_after(tokenizer: PreTrainedTokenizerBase, prompt_ids: list[int], text: str) -> list[int]:
    """The ids of a text after those of the prompt it begins with; at least one."""
    ids = encode_text(tokenizer, text)
    length = len(prompt_ids)
    if ids[:length] != prompt_ids or len(ids) == length:
        raise _unusable(f"does not encode {text!r} as its prompt and then the answer")
    return ids[length:]


def _unusable(reason: str) -> ConfigError:
    return ConfigError(
        f"the probability measure needs one token for each digit or letter, and this tokenizer "
        f"{reason}. Measure exact_match instead."
    )


def _encode_or_reason(
    question: Question, tokens: AnswerTokens, model: QuietStarModel
) -> EncodedQuestion | str:
    """A question to measure, or the reason to leave it out."""
    if question.choices is None and not question.answer.isdigit():
        return f"the answer {question.answer} is not a whole number of at least 0"
    found = encode_question(question, tokens, model.tokenizer, model.delimiter_ids)
    num_tokens = len(found.prompt_ids) + len(found.answer_ids)
    if num_tokens > MAX_TOKENS:
        return f"{num_tokens} tokens with the answer; the most is {MAX_TOKENS}"
    return found


def _anchors(questions: list[EncodedQuestion]) -> Tensor:
    """`[batch, anchors]`, int64. Answers shorter than the longest repeat their last anchor."""
    most = max(len(question.anchors) for question in questions)
    rows = [question.anchors for question in questions]
    return torch.tensor([row + row[-1:] * (most - len(row)) for row in rows])
