"""Characters that a terminal would obey, as signs."""

import json
import logging

import pytest

from qstar_infer import signs
from qstar_infer.cli.terminal import PrintableFormatter, json_text, one_line, printable, safe_text

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]
DIRECTIONS = [
    chr(code) for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
]


@pytest.mark.parametrize("character", [*CONTROLS, *DIRECTIONS, "\u2028", chr(0xD800), chr(0xDCFF)])
def test_what_a_terminal_would_obey_is_a_sign(character: str) -> None:
    shown = printable(f"a{character}b")
    assert shown.startswith("a")
    assert shown.endswith("b")
    assert shown.isprintable()
    assert len(shown) > 2


@pytest.mark.parametrize(
    "text",
    [
        "a\n\tb",
        "caf\u00e9 \u65e5\u672c\u8a9e \U0001f468\u200d\U0001f469",
        "\u05e9\u05dc\u05d5\u05dd \u0628",
        "\u00a0\u00ad[bold]",
    ],
)
def test_other_text_is_itself(text: str) -> None:
    assert printable(text) == text
    assert safe_text(text).plain == text


def test_signs_are_different_and_readable() -> None:
    assert printable("\x1b[2J\x07\x7f\x9b\r\u202e") == "␛[2J␇␡\\x9b␍\\u202e"
    assert len({printable(each) for each in CONTROLS}) == len(CONTROLS)


def test_one_line_has_signs_for_breaks() -> None:
    assert one_line("a\r\n\tb\x1b") == "a↵↵⇥b␛"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii", None])
def test_json_parses_to_the_value_and_is_safe_to_show(encoding: str | None) -> None:
    value = {"text": "".join([*CONTROLS, *DIRECTIONS, "\ud800 é日😀\n"])}
    text = json_text(value, encoding=encoding)
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()
    if encoding != "utf-8":
        assert text.isascii()


def test_a_log_record_is_one_line_except_for_its_indented_traceback() -> None:
    try:
        raise ValueError("\x1b[2J\nERROR forged")
    except ValueError as error:
        record = logging.makeLogRecord(
            {
                "msg": "name %s",
                "args": ("a\nERROR forged \x1b]0;x\x07",),
                "exc_info": (ValueError, error, None),
            }
        )
    first, *rest = PrintableFormatter("%(message)s").format(record).split("\n")
    assert first == "name a↵ERROR forged ␛]0;x␇"
    assert rest == ["    ValueError: ␛[2J", "    ERROR forged"]


def test_both_tables_of_signs_agree() -> None:
    """Invisible tags, with which a text can hide another, once had a sign in notebooks only."""
    characters = [chr(code) for code in range(0x110000)]
    assert [printable(each) for each in characters] == [
        signs.printable(each) for each in characters
    ]


def test_json_of_a_tag_is_the_tag() -> None:
    text = json_text("a\U000e0041", encoding="utf-8")
    assert text.isascii()
    assert json.loads(text) == "a\U000e0041"
