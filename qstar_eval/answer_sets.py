"""Answers to one's own questions, measured with and without thoughts, from questions in memory.

A question is a prompt and the answer that should follow it directly. The answer is fed after the
prompt; the model thinks at the prompt's last token and at each token of the answer but the last.
For most question sets the answer is one token, and there is one thought for each question.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from qstar_eval.config import ThoughtKind
from qstar_eval.scoring import ThinkingMode, states_at
from qstar_eval.shuffling import donors_of
from qstar_eval.task import question_seeds
from qstar_eval.tokens import encode_text, texts_of
from qstar_infer.errors import ConfigError, NotFiniteError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.thinking_rule import ThinkingRule
from qstar_train.objective.chunked_logits import LOGITS_AT_ONCE

BATCH_SIZE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerQuestion:
    """A prompt, and the answer that should follow it directly."""

    prompt: str
    answer: str
    group: str | None = None
    """What figures are also computed by, such as a size."""
    working: str | None = None
    """What a perfect thought at the prompt's end begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecord:
    """One measured question. `base` is without thoughts, `mixed` with them."""

    index: int
    """Of the question."""
    base_loss: float
    """Nats of the whole answer."""
    mixed_loss: float
    base_answer: str
    """The most likely token at each place of the answer, the answer before it being right."""
    mixed_answer: str
    is_base_right: bool
    """Whether all of these tokens are the answer's. Greedy decoding then gives the answer."""
    is_mixed_right: bool
    is_base_right_among: bool
    """The same, where only tokens compete that have this place in the answer to some question."""
    is_mixed_right_among: bool
    mixing_weight: float
    """Mean over the answer's tokens; 0 without thoughts."""
    thought_ids: list[int]
    """Of the thought at the prompt's end."""
    thought: str
    """Its text; parts of characters are shown as bytes."""
    is_working: bool | None
    """Whether the thought is the beginning of the working, or begins with all of it. None if the
    question has no working, or without a thought."""
    working_share: float | None
    """Share of the tokens for which that is true, compared place by place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedAnswer:
    """What is fed and what is measured for one question."""

    prompt_ids: list[int]
    answer_ids: list[int]
    working_ids: list[int]
    """Empty if the question has no working."""

    @property
    def input_ids(self) -> list[int]:
        """What is fed: all but the answer's last token, which predicts nothing."""
        return self.prompt_ids + self.answer_ids[:-1]


def measure_answers(
    model: QuietStarModel,
    questions: Sequence[AnswerQuestion],
    *,
    num_thought_tokens: int,
    thoughts: ThoughtKind = "sampled",
    temperature: float = 1.0,
    seed: int = 0,
    thinking: ThinkingRule | None = None,
    batch_size: int = BATCH_SIZE,
    indices: Sequence[int] | None = None,
) -> list[AnswerRecord]:
    """Measure the answers to questions in one thinking mode.

    A record depends on the questions, the mode and the seed, but not on `batch_size` or `indices`.

    Args:
        num_thought_tokens: 0: without thoughts; the mixed figures then equal the base figures.
        thoughts: `shuffled` replaces each thought with the sampled thought of another question. The
            order is a function of the seed, and no question keeps its own thought.
        temperature: of sampled and shuffled thoughts; 0 is greedy.
        seed: of the sampling noise.
        thinking: at which tokens to think; None: as the checkpoint's rule says. Where it does not
            think, the base decides, and the thought is empty.
        batch_size: questions in one batch. Affects speed and memory only.
        indices: of the questions to measure; None: all.

    Returns:
        One record for each index, in order.

    Raises:
        ConfigError: see `encode_questions`; or there are fewer than two questions to shuffle.
        NotFiniteError: a loss is NaN or infinite.
        RequestError: a question is too long for the model, or the model cannot think.
    """
    mode = ThinkingMode(
        num_thought_tokens=num_thought_tokens,
        kind=thoughts,
        temperature=temperature,
        thinking=thinking,
    )
    wanted = range(len(questions)) if indices is None else indices
    encoded = encode_questions(model.tokenizer, questions, model.delimiter_ids)
    run = _Run(model, encoded, mode=mode, seed=seed)
    # Questions of similar length share a batch.
    order = sorted(wanted, key=lambda index: len(encoded[index].input_ids))
    records = {}
    for start in range(0, len(order), batch_size):
        for record in run.measure(order[start : start + batch_size]):
            records[record.index] = record
    return [records[index] for index in wanted]


class _Run:
    """Measures batches of encoded questions in one thinking mode."""

    def __init__(
        self,
        model: QuietStarModel,
        encoded: Sequence[EncodedAnswer],
        *,
        mode: ThinkingMode,
        seed: int,
    ) -> None:
        self._model = model
        self._encoded = encoded
        self._mode = mode
        self._seed = seed
        is_shuffled = mode.kind == "shuffled" and mode.num_thought_tokens > 0
        self._donors = donors_of(len(encoded), seed) if is_shuffled else None
        # By place of an answer: the ids that some answer has there.
        columns = zip_longest(*(question.answer_ids for question in encoded))
        self._candidates = [torch.tensor(sorted(set(ids) - {None})) for ids in columns]

    @torch.no_grad()
    def measure(self, indices: Sequence[int]) -> list[AnswerRecord]:
        questions = [self._encoded[index] for index in indices]
        places = max(len(question.answer_ids) for question in questions)
        states = states_at(
            self._model,
            [question.input_ids for question in questions],
            anchors=_anchors(questions, places),
            seeds=question_seeds(self._seed, indices),
            mode=self._mode,
            thought_ids=self._thoughts_of_donors(indices, places),
        )
        base = self._read(states.hidden_base, questions)
        mixed = (
            self._read(states.hidden_mixed, questions) if self._mode.num_thought_tokens else base
        )
        # At the prompt's end; none where the rule does not think.
        is_thinking = states.is_thinking[:, 0].tolist()
        thoughts = [
            ids if thinks else []
            for ids, thinks in zip(states.thought_ids[:, 0].tolist(), is_thinking, strict=True)
        ]
        weights = states.mixing_weights.tolist()
        return [
            self._record(index, base[row], mixed[row], weights=weights[row], thought=thoughts[row])
            for row, index in enumerate(indices)
        ]

    def _thoughts_of_donors(self, indices: Sequence[int], places: int) -> Tensor | None:
        """`[batch, places, num_thought_tokens]`, int64; None unless thoughts are shuffled.

        Beyond its own answer a donor gives its last thought again.
        """
        if self._donors is None:
            return None
        donors = [self._donors[index] for index in indices]
        questions = [self._encoded[donor] for donor in donors]
        return states_at(
            self._model,
            [question.input_ids for question in questions],
            anchors=_anchors(questions, places),
            seeds=question_seeds(self._seed, donors),
            mode=self._mode,
        ).thought_ids

    def _read(self, states: Tensor, questions: Sequence[EncodedAnswer]) -> list["_Reading"]:
        """What the states predict: `[batch, places, hidden]`, a few rows at a time."""
        step = max(1, LOGITS_AT_ONCE // (self._model.vocab_size * states.shape[1]))
        readings = []
        for start in range(0, len(questions), step):
            rows = states[start : start + step]
            logits = self._model.mask_delimiters(self._model.logits(rows)).cpu()
            logprobs = logits.log_softmax(-1)
            likely = logits.argmax(-1).tolist()
            among = [
                ids[logits[:, place, ids].argmax(-1)].tolist()
                for place, ids in enumerate(self._candidates[: logits.shape[1]])
            ]
            for row, question in enumerate(questions[start : start + step]):
                count = len(question.answer_ids)
                of_answer = logprobs[row, range(count), question.answer_ids]
                readings.append(
                    _Reading(
                        loss=-float(of_answer.sum()),
                        likely_ids=likely[row][:count],
                        likely_among=[among[place][row] for place in range(count)],
                    )
                )
        return readings

    def _record(
        self,
        index: int,
        base: "_Reading",
        mixed: "_Reading",
        *,
        weights: list[float],
        thought: list[int],
    ) -> AnswerRecord:
        question = self._encoded[index]
        if not (math.isfinite(base.loss) and math.isfinite(mixed.loss)):
            dtype = str(self._model.dtype).removeprefix("torch.")
            raise NotFiniteError(f"the answer to question {index} has a loss that is", dtype=dtype)
        answer_ids, tokenizer = question.answer_ids, self._model.tokenizer
        texts = texts_of(tokenizer, [base.likely_ids, mixed.likely_ids, thought])
        weights = weights[: len(answer_ids)]
        # zip ends with the shorter one: a working may go on after the thought, and conversely.
        places = [one == other for one, other in zip(thought, question.working_ids, strict=False)]
        return AnswerRecord(
            index=index,
            base_loss=base.loss,
            mixed_loss=mixed.loss,
            base_answer=texts[0],
            mixed_answer=texts[1],
            is_base_right=base.likely_ids == answer_ids,
            is_mixed_right=mixed.likely_ids == answer_ids,
            is_base_right_among=base.likely_among == answer_ids,
            is_mixed_right_among=mixed.likely_among == answer_ids,
            mixing_weight=sum(weights) / len(weights),
            thought_ids=thought,
            thought=texts[2],
            is_working=all(places) if places else None,
            working_share=sum(places) / len(places) if places else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What the model predicts for one answer."""

    loss: float
    likely_ids: list[int]
    likely_among: list[int]
    """The most likely of the candidates."""


def encode_questions(
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[AnswerQuestion],
    delimiter_ids: Sequence[int] = (),
) -> list[EncodedAnswer]:
    """Encode questions, so that prompt, answer and working have tokens of their own.

    Args:
        delimiter_ids: as for `encode_text`.

    Raises:
        ConfigError: the tokenizer joins the end of a prompt with the beginning of its answer or
            working, one of them has no tokens, or the vocabulary lacks a part of answer or working.
            Names the question, counted from 0.
    """

    def encode(text: str) -> list[int]:
        return encode_text(tokenizer, text, delimiter_ids)

    encoded = [_encode(encode, index, question) for index, question in enumerate(questions)]
    for index, question in enumerate(encoded):
        if tokenizer.unk_token_id in question.answer_ids + question.working_ids:
            raise ConfigError(
                f"question {index}: the vocabulary has no token for a part of the answer "
                f"{questions[index].answer!r} or of its working, so no model could write it. "
                "Correct it."
            )
    return encoded


def _encode(
    encode: Callable[[str], list[int]], index: int, question: AnswerQuestion
) -> EncodedAnswer:
    prompt_ids = encode(question.prompt)
    if not prompt_ids:
        raise ConfigError(f"question {index} has a prompt without tokens. Give it a text.")

    def after_prompt(text: str, what: str) -> list[int]:
        ids = encode(question.prompt + text)
        if ids[: len(prompt_ids)] != prompt_ids or len(ids) == len(prompt_ids):
            raise ConfigError(
                f"question {index}: the tokenizer does not encode {what} {text!r} by itself after "
                f"the prompt that ends in {question.prompt[-20:]!r}. Move the characters that it "
                "joins, such as a space, from the prompt's end to the beginning of the answer."
            )
        return ids[len(prompt_ids) :]

    return EncodedAnswer(
        prompt_ids=prompt_ids,
        answer_ids=after_prompt(question.answer, "the answer"),
        working_ids=after_prompt(question.working, "the working") if question.working else [],
    )


def _anchors(questions: Sequence[EncodedAnswer], places: int) -> Tensor:
    """The index before each token of the answer: `[batch, places]`, int64. Answers shorter than
    `places` repeat their last anchor."""
    first = torch.tensor([len(question.prompt_ids) - 1 for question in questions])
    last = torch.tensor([len(question.input_ids) - 1 for question in questions])
    return torch.minimum(first.unsqueeze(1) + torch.arange(places), last.unsqueeze(1))
