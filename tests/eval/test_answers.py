"""Answers in text, and the prompts they follow."""

import pytest

from qstar_eval.answers import answer_in, letter_in, numbers_in, plain_number
from qstar_eval.generation import majority_vote
from qstar_eval.questions import (
    Question,
    chain_prompt,
    conclusion_prompt,
    direct_prompt,
)

CHOICES = ("bank", "store", "store room", "mall", "new york")
NUMBER = Question(question="How many?", answer="18")
CHOICE = Question(question="Where?", answer="B", choices=CHOICES)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (" 18", ["18"]),
        ("It is 18.", ["18"]),
        ("$1,234.50 in all", ["1234.5"]),
        ("16 - 3 - 4 = 9, 9*2=18", ["16", "3", "4", "9", "9", "2", "18"]),
        ("16-3=13", ["16", "3", "13"]),
        ("x = -5 and -$3.00", ["-5", "-3"]),
        ("007, 0.50, .5 and -0", ["7", "0.5", "0.5", "0"]),
        ("70,000", ["70000"]),
        ("1,2,345", ["1", "2345"]),
        ("20% of 50kg", ["20", "50"]),
        ("a2b has no number", []),
        ("So it is...18", ["18"]),
        ("16 .. 18...", ["16", "18"]),
        ("The total is.18", ["18"]),
        ("1.2.3", ["1.2"]),
        ("_18_, __19__ and **20**", ["18", "19", "20"]),
        ("x_1 = 7", ["7"]),
        ("\u22125, \u2212$3 and 16\u22123", ["-5", "-3", "16", "3"]),
        ("9" * 5000, ["9" * 5000]),
    ],
)
def test_numbers_in_text(text: str, numbers: list[str]) -> None:
    assert numbers_in(text) == numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [(" 1,000 ", "1000"), ("\u22125", "-5"), ("5 apples", None), ("", None), ("1.", None)],
)
def test_a_text_that_is_a_number(text: str, number: str | None) -> None:
    assert plain_number(text) == number


def test_a_free_reply_ends_with_its_answer_and_a_conclusion_begins_with_it() -> None:
    text = " 9 eggs at $2 are $18. "
    assert answer_in(text, None, place=-1) == "18"
    assert answer_in(text, None, place=0) == "9"
    assert answer_in(" none", None, place=-1) is None
    assert answer_in("", None, place=0) is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (" B", "B"),
        (" (B) store", "B"),
        (" (b)", "B"),
        ("The answer is B, not C.", "B"),
        ("A", "A"),
        ("A.\n", "A"),
        ("A is right", "A"),
        ("A mall, I think", "D"),
        ("Probably a mall (D)", "D"),
        ("Bank", "A"),
        ("the store room", "C"),
        ("New York or B", "E"),
        ("The answer is: b", "B"),
        ("The correct answer is **c**.", "C"),
        ("Answer:\nD", "D"),
        ("A is wrong, so the answer is E.", "E"),
        ("Money lies in a bank, so the answer is D", "D"),
        ("The answer is A because of the name", "A"),
        ("The answer is a mall", "D"),
        ("b)", "B"),
        (" b. It is", "B"),
        ("b", "B"),
        ("c) store room", "C"),
        ("b is what I would say", None),
        ("a.m. is before noon", None),
        ("plan b) or plan c)", None),
        ("Vitamin C helps, so (B)", "B"),
        ("The answer is New York, E. coli or not", "E"),
        ("B, since (A) is wrong", "B"),
        ("I take B since a mall is far", "B"),
        ("E. coli", None),
        ("E. coli lives in a mall", "D"),
        ("E. coli, so (A)", "A"),
        ("B. store", "B"),
        ("B. The store", "B"),
        ("BE AN ABLE CAT'S", None),
        ("banks and malls", None),
        ("", None),
    ],
)
def test_the_letter_or_choice(text: str, letter: str | None) -> None:
    assert letter_in(text, CHOICES) == letter
    assert answer_in(text, CHOICES, place=-1) == letter
    assert answer_in(text, CHOICES, place=0) == letter


@pytest.mark.parametrize(
    ("answers", "voted"),
    [
        (["1", "2", "2"], "2"),
        (["3", "1", "1", "3", "2"], "3"),
        ([None, None, "7"], "7"),
        ([None, None], None),
    ],
    ids=["majority", "tie: first sampled", "no answer is no vote", "no votes"],
)
def test_majority_vote(answers: list[str | None], voted: str | None) -> None:
    assert majority_vote(answers) == voted


def test_prompts() -> None:
    listed = "(A) bank\n(B) store\n(C) store room\n(D) mall\n(E) new york"
    assert direct_prompt(NUMBER) == "Q: How many?\nA:"
    assert direct_prompt(CHOICE) == f"Q: Where?\n{listed}\nA:"
    assert chain_prompt(NUMBER) == "Q: How many?\nA: Let's think step by step."
    assert conclusion_prompt(NUMBER, " One, two. \n", "gsm8k") == (
        "Q: How many?\nA: Let's think step by step. One, two."
        "\nTherefore, the answer (arabic numerals) is"
    )
    assert conclusion_prompt(CHOICE, "", "commonsense_qa") == (
        f"Q: Where?\n{listed}\nA: Let's think step by step."
        "\nTherefore, among A through E, the answer is"
    )
