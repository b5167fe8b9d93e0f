"""With every kind of tokenizer, the text that comes out has the form that was asked for."""

import random
import re
from typing import Any

import pytest

from qstar_infer.constraints.compiler import GrammarCompiler
from qstar_infer.constraints.text_matcher import MaskBudget
from qstar_infer.errors import RequestError
from qstar_infer.structured_outputs import StructuredOutputs
from qstar_infer.text.token_text import TokenText

from ..text.tokenizer_kinds import KINDS, tokenizer_of
from .matchers import tokens_in

PATTERNS = [r"(the|cat|a| hat){2,9}\.?", r"[a-zé ]{2,12}(!|日本語)?", r"[\x20-\x7eа-я]{1,30}"]
PROMPT = "the cat"


def random_text(tokenizer: Any, pattern: str, seed: int) -> tuple[str, bool]:
    """A text that follows a prompt, of random tokens that may come; and whether it is whole."""
    draw = random.Random(seed)
    token_text = TokenText(tokenizer)
    eos = frozenset({tokenizer.eos_token_id})
    form = StructuredOutputs(regex=pattern)
    size = len(tokenizer) + 3  # as where a model's embedding has more rows than tokens
    matcher = GrammarCompiler(token_text, vocab_size=size).compile(form).start(eos, MaskBudget())
    output: list[int] = []
    while not matcher.is_complete(output) and len(output) < 60:
        allowed = sorted(tokens_in(matcher.allowed_after(output)))
        assert max(allowed, default=0) < len(tokenizer)
        if not allowed:
            break  # the vocabulary has no token for what must come
        output.append(draw.choice(allowed))
        if output[-1] in eos:
            output.pop()
            break
    detokenizer = token_text.detokenizer(tokenizer(PROMPT).input_ids, skip_special_tokens=True)
    text = "".join(detokenizer.push(token_id).text for token_id in output) + detokenizer.flush()
    mask = matcher.allowed_after(output)
    return text, mask is None or tokenizer.eos_token_id in tokens_in(mask)


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_matches_its_pattern(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    num_whole = 0
    for seed in range(12):
        pattern = PATTERNS[seed % len(PATTERNS)]
        try:
            text, is_whole = random_text(tokenizer, pattern, seed)
        except RequestError:
            assert kind == "word-level", "only its tokens cannot begin such a text"
            continue
        if is_whole:
            num_whole += 1
            assert re.fullmatch(pattern, text), (pattern, text)
    assert num_whole >= 4 or kind == "word-level"
