"""Sends the requests of one conversation to one replica, which has their beginning in its cache."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from jiter import from_json

from qstar_server.replicas.replica_table import Replica

_TEXT_CHARS = 256
"""How much of a plain prompt says which conversation it belongs to. It grows with each turn, so
that only its beginning stays the same."""
_KEY_CHARS = 4096
"""How much of instructions and of the first message does."""
_FREE_REQUESTS = 2
_SHARE = 1.25
"""A replica may have this share of the requests of the least busy one, and so many more, before a
conversation leaves it."""


def conversation_key(body: bytes, caller: str) -> bytes | None:
    """What the requests of one conversation have in common.

    Each turn of a conversation repeats what came before it, so that the key is made of the
    instructions and the first message of the user, or of the first characters of a plain prompt.

    Args:
        body: of the request, of any endpoint.
        caller: names the API key, whose holder shares no cached prefixes with others.

    Returns:
        A hash. None: the body is no prompt, or is malformed; any replica is as good.
    """
    try:
        fields = from_json(body)
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    beginning = _beginning(fields)
    if beginning is None:
        return None
    parts = (caller, str(fields.get("cache_salt")), beginning)
    return blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).digest()


def by_preference(
    key: bytes | None, replicas: Sequence[Replica], num_open: Mapping[str, int]
) -> list[Replica]:
    """All replicas, the one that should take the request first.

    Replicas are ordered by rendezvous hashing: each key has an order of its own, which changes only
    for the keys of a replica that comes or goes. One that is much busier than the least busy one
    comes after the others.

    Args:
        key: from `conversation_key`.
        num_open: requests at work, by the id of the replica.
    """

    def load(replica: Replica) -> int:
        return num_open.get(replica.replica_id, 0)

    if key is None or not replicas:
        return sorted(replicas, key=load)
    most = _FREE_REQUESTS + _SHARE * min(map(load, replicas))
    ordered = sorted(replicas, key=lambda each: _score(key, each), reverse=True)
    free = [each for each in ordered if load(each) <= most]
    return free + sorted((each for each in ordered if load(each) > most), key=load)


def _score(key: bytes, replica: Replica) -> bytes:
    return blake2b(key + replica.replica_id.encode(), digest_size=8).digest()


def _beginning(fields: Mapping[str, Any]) -> str | None:
    if "prompt" in fields:  # completions
        return _start_of(fields["prompt"])
    messages = fields.get("messages", fields.get("input"))
    if isinstance(messages, str):  # responses
        messages = [messages]
    if not isinstance(messages, list):
        return None
    instructions = [fields.get("system"), fields.get("instructions")]
    return _text([*instructions, *_opening(messages)])[:_KEY_CHARS]


def _opening(messages: Sequence[Any]) -> Sequence[Any]:
    """The messages up to the first one of the user."""
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") == "user":
            return messages[: number + 1]
    return messages


def _start_of(prompt: Any) -> str:
    """The first characters or token ids of the first prompt."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    return _text(prompt[:_TEXT_CHARS] if isinstance(prompt, str | list) else prompt)


def _text(value: Any) -> str:
    return str(value)
