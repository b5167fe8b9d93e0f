"""The prompts of all measurements, and prompts of any length made from them."""

import random
from collections.abc import Callable
from importlib import resources

Tokenize = Callable[[str], list[int]]


def load_prompts() -> list[str]:
    """The packaged prompts."""
    text = resources.files("qstar_infer.bench").joinpath("prompts.txt").read_text("utf-8")
    return text.splitlines()


def make_prompt(tokenize: Tokenize, num_tokens: int, *, seed: int) -> list[int]:
    """A prompt of exactly this many token ids: words of the packaged prompts in random order.

    Two seeds have no common beginning but by chance, so that nothing cached for one prompt helps
    with another.
    """
    words = " ".join(load_prompts()).split()
    order = random.Random(seed)
    ids: list[int] = []
    while len(ids) < num_tokens:
        ids += tokenize(" ".join(order.choices(words, k=64)))
    return ids[:num_tokens]
