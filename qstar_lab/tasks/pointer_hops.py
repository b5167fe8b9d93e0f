"""Pointer hops: follow a random cycle of eleven letters for two to eight hops.

In `be,ac,fh,cd,ka,db,gi,eg,ij,jf,hk,a~~~.....?`, `ac,` says that a leads to c; three hops from a
lead to c, d and b, the answer. The cycle visits all letters, so the answer is never the first one.
There are no questions of one hop, which one lookup answers, and no way back is shorter than three
hops.
"""

from random import Random

from qstar_lab.tasks.held_out import draw_question
from qstar_lab.tasks.task import Problem, split

LETTERS = tuple("abcdefghijk")
PAIRS = tuple(f"{one}{other}," for one in LETTERS for other in LETTERS if one != other)
HOP = "~"
EMPTY = "."
MIN_HOPS, MAX_HOPS = 2, 8


class PointerHops:
    """Eleven pairs, the first letter, and hops in 8 slots: each question has 21 tokens.

    A comma is always the end of a pair, so no sequence of other tokens reads like one.
    """

    name = "pointer_hops"
    marker = "?"
    start = ">"
    end = "="
    tokens: tuple[str, ...] = ("<eos>", "<unk>", *LETTERS, *PAIRS, HOP, EMPTY, marker, start, end)
    pattern = r"[a-k][a-k],|."
    thought_lengths: tuple[int, ...] = (1, 2, 4, 8)
    max_size = MAX_HOPS
    chance = 1 / (len(LETTERS) - 1)

    def draw(self, random: Random, *, held_out: bool) -> Problem:
        """The number of hops is uniform, as are the cycle, the first letter and the order."""
        size = random.randint(MIN_HOPS, MAX_HOPS)

        def draw_one() -> tuple[str, ...]:
            circle = random.sample(LETTERS, len(LETTERS))
            pairs = [
                f"{one}{other}," for one, other in zip(circle, circle[1:] + circle[:1], strict=True)
            ]
            random.shuffle(pairs)
            return (*pairs, random.choice(LETTERS), *_hops(size), self.marker)

        return self._solve(draw_question(draw_one, held_out=held_out))

    def solve(self, prompt: str) -> Problem:
        """The problem whose question this text is.

        Raises:
            ValueError: it is not eleven pairs that make one cycle, a letter, 2 to 8 hops, `.` in
                the empty slots, and `?`.
        """
        question = split(self, prompt)
        count = len(LETTERS)
        size = question.count(HOP)
        is_question = (
            len(question) == count + 1 + MAX_HOPS + 1
            and _is_cycle(question[:count])
            and question[count] in LETTERS
            and size >= MIN_HOPS
            and question[count + 1 :] == (*_hops(size), self.marker)
        )
        if not is_question:
            raise ValueError(
                f"{prompt!r} is no question of {self.name}: it must be {count} pairs such as 'ab,' "
                f"that make one cycle, a letter, {MIN_HOPS} to {MAX_HOPS} times {HOP!r}, {EMPTY!r} "
                f"in the empty slots, and {self.marker!r}"
            )
        return self._solve(question)

    def _solve(self, question: tuple[str, ...]) -> Problem:
        leads_to = _leads_to(question[: len(LETTERS)])
        letter = question[len(LETTERS)]
        size = question.count(HOP)
        working = []
        for _ in range(size):
            letter = leads_to[letter]
            working.append(letter)
        working += [letter] * (MAX_HOPS - size)
        return Problem(question=question, working=tuple(working), answer=letter, size=size)


def _hops(size: int) -> tuple[str, ...]:
    return (HOP,) * size + (EMPTY,) * (MAX_HOPS - size)


def _leads_to(pairs: tuple[str, ...]) -> dict[str, str]:
    return {pair[0]: pair[1] for pair in pairs}


def _is_cycle(pairs: tuple[str, ...]) -> bool:
    """Whether these are eleven pairs that lead from `a` through all letters back to it."""
    if len(pairs) != len(LETTERS) or not set(pairs) <= set(PAIRS):
        return False
    leads_to = _leads_to(pairs)
    if leads_to.keys() != set(LETTERS):
        return False
    seen, letter = set(), LETTERS[0]
    while letter not in seen:
        seen.add(letter)
        letter = leads_to[letter]
    return len(seen) == len(LETTERS)
