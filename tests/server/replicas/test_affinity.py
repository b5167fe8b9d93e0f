"""Which replica a request goes to."""

import json
from collections import Counter
from typing import Any

import pytest
from qstar_server.replicas.affinity import by_preference, conversation_key
from qstar_server.replicas.replica_table import Replica

from tests.server.replicas.fleet import replica_at

REPLICAS = [replica_at(1, name) for name in "abcde"]


def key_of(caller: str = "", **fields: Any) -> bytes | None:
    return conversation_key(json.dumps(fields).encode(), caller)


def names(replicas: list[Replica]) -> str:
    return "".join(each.replica_id for each in replicas)


USER = {"role": "user", "content": "How far is the moon?"}
NEXT = [{"role": "assistant", "content": "Far."}, {"role": "user", "content": "In km?"}]
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"messages": [USER]}, {"messages": [USER, *NEXT]}),
        ({"messages": [SYSTEM, USER]}, {"messages": [SYSTEM, USER, *NEXT], "temperature": 0}),
        ({"system": "s", "messages": [USER]}, {"system": "s", "messages": [USER, *NEXT]}),
        ({"input": [USER], "instructions": "i"}, {"input": [USER, *NEXT], "instructions": "i"}),
        ({"prompt": "x" * 300}, {"prompt": "x" * 300 + " and more"}),
        ({"prompt": [5] * 300}, {"prompt": [5] * 300 + [6]}),
        ({"prompt": ["x" * 300]}, {"prompt": ["x" * 300 + " and more"]}),
    ],
)
def test_turns_of_a_conversation_have_one_key(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert key_of(**first) is not None
    assert key_of(**first) == key_of(**second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"messages": [USER]}, {"messages": [{"role": "user", "content": "And the sun?"}]}),
        ({"messages": [USER]}, {"messages": [SYSTEM, USER]}),
        ({"messages": [USER]}, {"messages": [USER], "cache_salt": "mine"}),
        ({"messages": [USER]}, {"messages": [USER], "caller": "1234"}),
        ({"system": "s", "messages": [USER]}, {"system": "t", "messages": [USER]}),
        ({"input": "one"}, {"input": "two"}),
        ({"prompt": "one"}, {"prompt": "two"}),
        ({"prompt": [1, 2]}, {"prompt": [1, 3]}),
    ],
)
def test_what_shares_no_prefix_has_different_keys(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert key_of(**one) != key_of(**other)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b"3",
        b'{"text": "x"}',
        b'{"messages": 3}',
        b"\xff\xfe",
        b'{"prompt": "\\ud800"}',
    ],
)
def test_what_is_no_prompt_has_no_key(body: bytes) -> None:
    assert conversation_key(body, "") is None


def test_odd_values_have_a_key() -> None:
    assert key_of(prompt=None) is not None
    assert key_of(messages=[3, None]) is not None
    assert key_of(messages=[]) is not None


def test_keys_are_spread_evenly() -> None:
    """Of 5,000 keys each of five replicas gets about a thousand."""
    firsts = Counter(by_preference(b"%d" % i, REPLICAS, {})[0].replica_id for i in range(5000))
    assert min(firsts.values()) > 850
    assert len(firsts) == 5


def test_only_the_keys_of_a_lost_replica_move() -> None:
    for number in range(200):
        key = b"%d" % number
        before = names(by_preference(key, REPLICAS, {}))
        after = names(by_preference(key, REPLICAS[1:], {}))
        assert after == before.replace("a", "")


def test_a_busy_replica_comes_last() -> None:
    key = b"k"
    order = names(by_preference(key, REPLICAS, {}))
    home, rest = order[0], order[1:]
    assert names(by_preference(key, REPLICAS, {home: 2})) == order  # busy, but not much
    assert names(by_preference(key, REPLICAS, {home: 3})) == rest + home
    equally_busy = dict.fromkeys("abcde", 40)
    assert names(by_preference(key, REPLICAS, equally_busy)) == order
    assert names(by_preference(key, REPLICAS, {**equally_busy, home: 52})) == order
    assert names(by_preference(key, REPLICAS, {**equally_busy, home: 53})) == rest + home


def test_without_a_key_the_least_busy_comes_first() -> None:
    assert names(by_preference(None, REPLICAS, {"a": 3, "b": 1, "c": 0, "d": 2, "e": 9})) == "cbdae"
    assert by_preference(b"k", [], {}) == []
