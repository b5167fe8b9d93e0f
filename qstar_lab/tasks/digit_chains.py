"""Digit chains: a digit and up to 16 operations modulo 7, from left to right.

`5*3-2+4.............?` has the running values 1, 6, 3, and the answer 3. Each operation maps the
seven digits one to one, so the answer is uniform, whatever is known but the start digit. The
modulus is odd, so the parity of the numbers is no shortcut.
"""

from random import Random

from qstar_lab.tasks.held_out import draw_question
from qstar_lab.tasks.task import Problem, split

MODULUS = 7
NUM_SLOTS = 16
EMPTY = "."
DIGITS = tuple(str(digit) for digit in range(MODULUS))
SUMS = tuple(f"{sign}{digit}" for sign in "+-" for digit in range(1, MODULUS))
PRODUCTS = tuple(f"*{digit}" for digit in range(2, MODULUS))
OPERATIONS = SUMS + PRODUCTS


class DigitChains:
    """Operations in 16 slots; empty slots are `.`, so that each question has 18 tokens."""

    name = "digit_chains"
    marker = "?"
    start = ">"
    end = "="
    tokens: tuple[str, ...] = ("<eos>", "<unk>", *DIGITS, *OPERATIONS, EMPTY, marker, start, end)
    pattern = r"[+-][1-6]|\*[2-6]|."
    thought_lengths: tuple[int, ...] = (1, 2, 4, 8, 16)
    max_size = NUM_SLOTS
    chance = 1 / MODULUS

    def draw(self, random: Random, *, held_out: bool) -> Problem:
        """The number of operations is uniform; half of them are multiplications."""
        size = random.randint(1, NUM_SLOTS)

        def draw_one() -> tuple[str, ...]:
            kinds = random.choices((SUMS, PRODUCTS), k=size)
            operations = [random.choice(kind) for kind in kinds]
            return (random.choice(DIGITS), *_padded(operations), self.marker)

        return self._solve(draw_question(draw_one, held_out=held_out))

    def solve(self, prompt: str) -> Problem:
        """The problem whose question this text is.

        Raises:
            ValueError: it is not a digit, 1 to 16 operations, `.` in the empty slots, and `?`.
        """
        question = split(self, prompt)
        operations = question[1:-1]
        is_question = (
            len(question) == NUM_SLOTS + 2
            and question[0] in DIGITS
            and question[-1] == self.marker
            and operations[0] in OPERATIONS
            and operations == _padded([token for token in operations if token in OPERATIONS])
        )
        if not is_question:
            raise ValueError(
                f"{prompt!r} is no question of {self.name}: it must be a digit from 0 to "
                f"{MODULUS - 1}, 1 to {NUM_SLOTS} operations, {EMPTY!r} in the empty slots, and "
                f"{self.marker!r}, such as '5*3-2+4.............?'"
            )
        return self._solve(question)

    def _solve(self, question: tuple[str, ...]) -> Problem:
        value = int(question[0])
        working = []
        for operation in question[1:-1]:
            value = _apply(operation, value)
            working.append(str(value))
        size = NUM_SLOTS - question.count(EMPTY)
        return Problem(question=question, working=tuple(working), answer=working[-1], size=size)


def _padded(operations: list[str]) -> tuple[str, ...]:
    return (*operations, *(EMPTY,) * (NUM_SLOTS - len(operations)))


def _apply(operation: str, value: int) -> int:
    """The next running value; an empty slot keeps it."""
    if operation == EMPTY:
        return value
    sign, number = operation[0], int(operation[1])
    if sign == "*":
        return value * number % MODULUS
    return (value + number if sign == "+" else value - number) % MODULUS
