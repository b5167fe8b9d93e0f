"""`judge`: what is refused, in which order, and with which words."""

import pytest

from qstar_infer.checkpoint.inventory import Inventory, judge
from qstar_infer.errors import CheckpointError


def _inventory() -> Inventory:
    return Inventory(where="x/config.json", kind="key")


def test_what_is_used_or_has_no_effect_is_allowed() -> None:
    inventory = _inventory()
    inventory.used.add("a")
    inventory.without_effect["b"] = "it is only a note"
    judge(inventory)


def test_missing_names_are_counted_and_the_first_listed() -> None:
    inventory = _inventory()
    inventory.missing |= {"d", "c", "b", "a"}
    with pytest.raises(CheckpointError, match=r"x/config\.json lacks 4 keys \(a, b, c, \.\.\.\)"):
        judge(inventory)


@pytest.mark.parametrize(
    ("advice", "message"),
    [("", r"a in x/config\.json is 3\. .*fetch or save"), ("Do it.", r"is 3\. Do it\.$")],
)
def test_unfit_names_come_with_advice(advice: str, message: str) -> None:
    inventory = _inventory()
    inventory.unfit["a"] = "is 3"
    inventory.advice = advice
    with pytest.raises(CheckpointError, match=message):
        judge(inventory)


def test_left_over_names_are_refused() -> None:
    inventory = _inventory()
    inventory.left_over["a"] = ""
    with pytest.raises(CheckpointError, match=r"holds 1 key \(a\) that the model does not use"):
        judge(inventory)


def test_a_left_over_name_with_a_meaning_explains_the_rest() -> None:
    inventory = _inventory()
    inventory.left_over |= {"a": "", "scale": "The weights are scaled."}
    inventory.unfit["b"] = "is 3"
    inventory.missing.add("c")
    with pytest.raises(CheckpointError, match=r"1 key \(scale\) .*The weights are scaled\."):
        judge(inventory)
