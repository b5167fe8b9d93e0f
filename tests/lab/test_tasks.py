"""The tasks' problems are right, readable and as hard as they say."""

import hashlib
from collections import Counter
from math import sqrt
from random import Random

import pytest

from qstar_infer.errors import ConfigError
from qstar_lab.tasks.registry import TASKS, find_task
from qstar_lab.tasks.task import Problem, Task, direct_text, split, visible_text

from .reference import solve

NUM_QUESTION_TOKENS = {"digit_chains": 18, "pointer_hops": 21}
LEAST_SIZES = {"digit_chains": 1, "pointer_hops": 2}
BOTH = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
CHAIN = "5*3-2+4.............?"
HOPS = "be,ac,fh,cd,ka,db,gi,eg,ij,jf,hk,a~~~.....?"


def draw(task: Task, count: int, *, held_out: bool = False, seed: int = 0) -> list[Problem]:
    random = Random(seed)
    return [task.draw(random, held_out=held_out) for _ in range(count)]


def test_the_examples_of_the_documentation() -> None:
    chain = TASKS["digit_chains"].solve(CHAIN)
    assert chain.question == ("5", "*3", "-2", "+4", *".............", "?")
    assert chain.working == tuple("163" + 13 * "3")
    assert (chain.answer, chain.size) == ("3", 3)
    hops = TASKS["pointer_hops"].solve(HOPS)
    assert hops.question[:2] + hops.question[11:16] == ("be,", "ac,", "a", "~", "~", "~", ".")
    assert hops.working == tuple("cdbbbbbb")
    assert (hops.answer, hops.size) == ("b", 3)


@BOTH
@pytest.mark.parametrize("held_out", [True, False])
def test_working_and_answer_are_those_of_the_text(task: Task, held_out: bool) -> None:
    for problem in draw(task, 300, held_out=held_out):
        steps = solve(task.name, problem.prompt)
        repeated = [steps[-1]] * (task.max_size - len(steps))
        assert list(problem.working) == steps + repeated
        assert problem.answer == steps[-1]
        assert problem.size == len(steps)


@BOTH
def test_questions_have_one_length_and_only_tokens_of_the_vocabulary(task: Task) -> None:
    assert task.tokens[:2] == ("<eos>", "<unk>")
    assert len(set(task.tokens)) == len(task.tokens)
    assert task.thought_lengths[-1] == task.max_size
    for problem in draw(task, 300):
        assert len(problem.question) == NUM_QUESTION_TOKENS[task.name]
        assert problem.question[-1] == task.marker
        assert task.marker not in problem.question[:-1]
        assert {*problem.question, *problem.working, problem.answer} <= set(task.tokens[2:])


@BOTH
def test_the_pattern_splits_texts_into_the_tokens_they_were_made_of(task: Task) -> None:
    """Any tokens in any order: a thought need not be a sentence of the task."""
    random = Random(1)
    for _ in range(2_000):
        tokens = random.choices(task.tokens[2:], k=12)
        assert split(task, "".join(tokens)) == tuple(tokens)


@BOTH
def test_a_question_read_back_is_the_same_problem(task: Task) -> None:
    for problem in draw(task, 300):
        assert task.solve(problem.prompt) == problem


@BOTH
def test_documents(task: Task) -> None:
    (problem,) = draw(task, 1, seed=3)
    prompt, steps = problem.prompt, solve(task.name, problem.prompt)
    assert direct_text(problem) == f"{prompt}{steps[-1]}"
    assert visible_text(task, problem, 2) == f"{prompt}>{''.join((steps * 2)[:2])}={steps[-1]}"
    whole = visible_text(task, problem, task.max_size)
    assert len(split(task, whole)) == len(problem.question) + task.max_size + 3


@BOTH
def test_held_out_questions_are_a_tenth_and_no_others(task: Task) -> None:
    """By the definition: the first 8 bytes of the question's SHA-256 are in the lowest tenth."""
    for held_out in (True, False):
        for problem in draw(task, 300, held_out=held_out):
            digest = hashlib.sha256(problem.prompt.encode()).hexdigest()
            assert (int(digest[:16], 16) / 16**16 < 0.1) == held_out


@BOTH
def test_sizes_are_uniform_and_the_best_guess_is_right_as_often_as_chance(task: Task) -> None:
    count = 4_000
    problems = draw(task, count)
    sizes = Counter(problem.size for problem in problems)
    least = LEAST_SIZES[task.name]
    assert sorted(sizes) == list(range(least, task.max_size + 1))
    of_a_size = 1 / (task.max_size - least + 1)
    for number, share in ((max(sizes.values()), of_a_size), *_guesses(task, problems)):
        # Five standard deviations of a binomial count.
        assert abs(number - share * count) < 5 * sqrt(share * (1 - share) * count)


def _guesses(task: Task, problems: list[Problem]) -> list[tuple[int, float]]:
    """How often each guess from the start is right: its distance from the first digit or letter."""
    place = -2 - task.max_size
    values = task.tokens[2 : 9 if task.name == "digit_chains" else 13]
    distances = Counter(
        (values.index(problem.answer) - values.index(problem.question[place])) % len(values)
        for problem in problems
    )
    if task.name == "pointer_hops":
        assert 0 not in distances  # never the first letter
    assert len(distances) == round(1 / task.chance)
    return [(number, task.chance) for number in distances.values()]


def test_half_of_the_operations_are_multiplications() -> None:
    operations = [
        token for problem in draw(TASKS["digit_chains"], 1_000) for token in problem.question[1:-1]
    ]
    kinds = Counter(operation[0] for operation in operations if operation != ".")
    count = kinds.total()
    for kind, share in (("*", 0.5), ("+", 0.25), ("-", 0.25)):
        # Five standard deviations of a binomial count.
        assert abs(kinds[kind] - share * count) < 5 * sqrt(share * (1 - share) * count)
    used = set(operations) - {"."}
    assert used == {f"{sign}{n}" for sign in "+-*" for n in range(1, 7)} - {"*1"}


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "?",
        CHAIN[:-1],
        CHAIN + "3",
        CHAIN + "?",
        CHAIN.replace(".", "", 1),
        CHAIN.replace(".", "..", 1),
        "5................?",
        "7" + CHAIN[1:],
        "5.*3" + 14 * "." + "?",
        "5*1" + 15 * "." + "?",
        "53" + 15 * "." + "?",
        "5" + 17 * "+1" + "?",
        CHAIN + "\n",
        HOPS,
    ],
)
def test_what_is_no_digit_chain_is_refused(prompt: str) -> None:
    with pytest.raises(ValueError, match=r"no question of digit_chains|no token of digit_chains"):
        TASKS["digit_chains"].solve(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "?",
        HOPS[:-1],
        HOPS + "b",
        HOPS.replace(".", "", 1),
        HOPS.replace(".", "..", 1),
        HOPS.replace("~~~", "..."),
        HOPS.replace("~~~.....", "~~~~~~~~~"),
        HOPS.replace("~~.", "~.~"),
        HOPS.replace("be,", ""),
        HOPS.replace("be,", "ac,"),
        HOPS.replace("be,", "be,be,"),
        HOPS.replace("be,", "bk,").replace("hk,", "he,"),  # two cycles
        HOPS.replace("~~~", "~.."),  # one lookup
        HOPS.replace("be,", "bb,"),
        HOPS.replace("a~", "l~"),
        CHAIN,
    ],
)
def test_what_is_no_question_of_hops_is_refused(prompt: str) -> None:
    with pytest.raises(ValueError, match=r"no question of pointer_hops|no token of pointer_hops"):
        TASKS["pointer_hops"].solve(prompt)


def test_an_unknown_task_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="task = 'sums' is unknown; the tasks are digit_chains"):
        find_task("sums")
    assert find_task("pointer_hops").name == "pointer_hops"
