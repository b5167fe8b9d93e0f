"""Solves the lab's questions from their text alone, without the package."""


def solve_digits(prompt: str) -> list[int]:
    """The running values of a digit chain: Python's own arithmetic on growing expressions."""
    assert prompt.endswith("?")
    first, rest = prompt[0], prompt[1:-1].rstrip(".")
    expression, values = first, []
    for index in range(0, len(rest), 2):
        expression = f"(({expression}){rest[index : index + 2]})"
        values.append(eval(expression) % 7)
    return values


def solve_hops(prompt: str) -> list[str]:
    """The letter after each hop: a search through the pairs for each one."""
    *pairs, last = prompt.split(",")
    letter, hops = last[0], last[1:-1].rstrip(".")
    assert set(hops) == {"~"}
    letters = []
    for _ in hops:
        (letter,) = (pair[1] for pair in pairs if pair[0] == letter)
        letters.append(letter)
    return letters


def solve(task: str, prompt: str) -> list[str]:
    """The steps to the answer."""
    steps = solve_digits(prompt) if task == "digit_chains" else solve_hops(prompt)
    return [str(step) for step in steps]
