"""Stop strings are found in any pieces, and no part of them is emitted early."""

import random

import pytest

from qstar_infer.text.stop_strings import StopStrings


def run(
    pieces: list[str], stop: tuple[str, ...], *, is_kept: bool = False
) -> tuple[str, str | None]:
    strings = StopStrings(stop, is_kept=is_kept)
    shown = ""
    for piece in pieces:
        text, found = strings.push(piece)
        shown += text
        if found is not None:
            return shown, found
    return shown + strings.flush(), None


@pytest.mark.parametrize(
    ("text", "stop", "shown", "found"),
    [
        ("hello STOP more", ("STOP",), "hello ", "STOP"),
        ("AAAB", ("AAB",), "A", "AAB"),  # overlaps with its own start
        ("no stop here", ("xyz",), "no stop here", None),
        ("ends in ST", ("STOP",), "ends in ST", None),
        ("abc", ("c", "bc"), "a", "bc"),  # both end here; the longer one begins first
        ("abcd", ("abcd", "b"), "a", "b"),  # "b" is complete before "abcd" is
        ("\u65e5\u672c\u8a9e\u3002x", ("\u3002",), "\u65e5\u672c\u8a9e", "\u3002"),
        ("STOP", ("STOP",), "", "STOP"),
    ],
)
def test_the_result_does_not_depend_on_the_pieces(
    text: str, stop: tuple[str, ...], shown: str, found: str | None
) -> None:
    assert run(list(text), stop) == (shown, found)
    for cut in range(1, len(text)):
        assert run([text[:cut], text[cut:]], stop) == (shown, found)


def test_only_a_possible_start_of_a_stop_string_is_held_back() -> None:
    strings = StopStrings(("\n\nQ:",), is_kept=False)
    assert strings.push("answer\n") == ("answer", None)
    assert strings.push("more") == ("\nmore", None)


def test_a_kept_stop_string_ends_the_text() -> None:
    assert run(["one.tw", "o"], (".",), is_kept=True) == ("one.", ".")


def test_stop_strings_are_ignored_while_may_stop_is_false() -> None:
    strings = StopStrings(("b",), is_kept=False)
    assert strings.push("abc", may_stop=False) == ("abc", None)
    assert strings.push("b") == ("", "b")


@pytest.mark.parametrize("seed", range(50))
def test_random_texts_give_the_result_of_a_plain_search(seed: int) -> None:
    draw = random.Random(seed)
    text = "".join(draw.choice("ab") for _ in range(30))
    stop = "".join(draw.choice("ab") for _ in range(draw.randint(1, 5)))
    start = text.find(stop)
    expected = (text, None) if start < 0 else (text[:start], stop)
    pieces, rest = [], text
    while rest:
        size = draw.randint(1, 4)
        pieces.append(rest[:size])
        rest = rest[size:]
    assert run(pieces, (stop,)) == expected


def first_match(text: str, stops: tuple[str, ...], num_spared: int) -> tuple[str, str | None]:
    """The text and the stop string that ends first behind the spared characters, by definition."""
    for end in range(num_spared + 1, len(text) + 1):
        for start in range(end):
            if text[start:end] in stops:
                return text[:start], text[start:end]
    return text, None


@pytest.mark.parametrize("seed", range(200))
def test_a_stop_string_may_begin_below_min_tokens_but_not_end(seed: int) -> None:
    """One that began there was never found, so the text went on past it."""
    draw = random.Random(seed)
    text = "".join(draw.choice("ab") for _ in range(20))
    stops = tuple("".join(draw.choice("ab") for _ in range(draw.randint(2, 6))) for _ in range(2))
    pieces, rest = [], text
    while rest:
        size = draw.randint(1, 4)
        pieces.append(rest[:size])
        rest = rest[size:]
    num_early = draw.randint(0, len(pieces))
    strings = StopStrings(stops, is_kept=False)
    shown, found = "", None
    for number, piece in enumerate(pieces):
        part, found = strings.push(piece, may_stop=number >= num_early)
        shown += part
        if found is not None:
            break
    if found is None:
        shown += strings.flush()
    assert (shown, found) == first_match(text, stops, len("".join(pieces[:num_early])))
