"""The fixed tokens among which a right answer's probability is taken (paper, section 5; see below).

What is known: the paper's public evaluation (`eval_helpers.py`) restricts the softmax to eleven
ids of Mistral's tokenizer for numbers, the ten digits and the newline, and to six for letters, A to
E with the space before them and the newline. The answer is scored up to and with the newline that
ends it, for numbers and for letters. Mistral makes the space before a number a token of its own; it
is not scored.

What is ours: tokens of other tokenizers are chosen by the same rule, from how the answer is
encoded behind `A:`. A space that is its own token belongs to the prompt; one that is part of the
digit or letter is scored with it. Every digit is one token, also where the tokenizer would merge
several: else an answer's probability would hang on its merges, and the list on the answer. Where
` 1` is one token, the list for the first digit differs from that for the digits after it.
"""

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from qstar_eval.prompts import ANSWER_MARKER
from qstar_eval.questions import LETTERS, QuestionKind
from qstar_eval.text_ids import encode_text
from qstar_infer.errors import ConfigError

DIGITS = "0123456789"
_PROBE = f"Q: ?{ANSWER_MARKER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTokens:
    """How one tokenizer writes one kind of answer behind `A:`."""

    lead_ids: tuple[int, ...]
    """What the prompt ends with beyond `A:`: the token of the space, or nothing."""
    first_ids: dict[str, int]
    """Each digit or letter, as the first of an answer."""
    later_ids: dict[str, int]
    """Each digit behind another; no letters, since one letter is the whole answer."""
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
    """Ask a tokenizer.

    Raises:
        ConfigError: it does not give each character of an answer a token of its own.
    """
    characters = DIGITS if kind == "gsm8k" else LETTERS
    prompt_ids = encode_text(tokenizer, _PROBE)
    behind = {
        character: _behind(tokenizer, prompt_ids, f"{_PROBE} {character}")
        for character in characters
    }
    leads = {tuple(ids[:-1]) for ids in behind.values()}
    if len(leads) > 1:
        raise _unusable(f"writes {_PROBE + ' '!r} in different ways before {characters}")
    lead_ids = leads.pop()
    return AnswerTokens(
        lead_ids=lead_ids,
        first_ids=_distinct({character: ids[-1] for character, ids in behind.items()}),
        later_ids=_bare_ids(tokenizer, characters) if kind == "gsm8k" else {},
        newline_id=_newline_id(tokenizer, prompt_ids, f"{_PROBE} {characters[0]}"),
    )


def _behind(tokenizer: PreTrainedTokenizerBase, prompt_ids: list[int], text: str) -> list[int]:
    """What the encoding of a text has after the prompt it begins with; at least one token."""
    ids = encode_text(tokenizer, text)
    length = len(prompt_ids)
    if ids[:length] != prompt_ids or len(ids) == length:
        raise _unusable(f"does not encode {text!r} as its prompt and then the answer")
    return ids[length:]


def _bare_ids(tokenizer: PreTrainedTokenizerBase, characters: str) -> dict[str, int]:
    """Each character without a space: last behind a newline, with which no tokenizer joins it."""
    found = {character: encode_text(tokenizer, f"\n{character}")[-1] for character in characters}
    for character, token_id in found.items():
        if tokenizer.decode([token_id]) != character:
            raise _unusable(f"has no token that is {character!r} alone")
    return _distinct(found)


def _newline_id(tokenizer: PreTrainedTokenizerBase, prompt_ids: list[int], answered: str) -> int:
    answer = _behind(tokenizer, prompt_ids, answered)
    rest = _behind(tokenizer, [*prompt_ids, *answer], f"{answered}\n")
    if len(rest) != 1:
        raise _unusable(f"encodes the newline behind an answer as {len(rest)} tokens")
    return rest[0]


def _distinct(ids: dict[str, int]) -> dict[str, int]:
    if len(set(ids.values())) != len(ids):
        raise _unusable(f"gives some of {''.join(ids)} the same token")
    return ids


def _unusable(reason: str) -> ConfigError:
    return ConfigError(
        f"the probability measure needs one token for each digit or letter, and this tokenizer "
        f"{reason}. Measure exact_match instead."
    )
