"""Where a model thinks: a rule that a checkpoint has, and that a request may replace. Plain data.

Where the rule says no, the base prediction decides, and no row of a pass is spent on a thought.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

Where = Literal["everywhere", "behind", "gate"]
TokenName = str | int
"""A token of the vocabulary by its name, or by its id."""

MAX_TOKENS = 1024
"""Most tokens that a rule may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingRule:
    """At which tokens a model thinks about the next one.

    Raises:
        ValueError: `where` is unknown, `tokens` does not belong to it, or a token is neither a
            name nor an id.
    """

    where: Where = "everywhere"
    """everywhere: at every token. behind: at the tokens named in `tokens`. gate: where the
    checkpoint's gate says so."""
    tokens: tuple[TokenName, ...] = ()
    """Only for `behind`: at least one."""

    def __post_init__(self) -> None:
        if self.where not in get_args(Where):
            raise ValueError(
                f"where must be one of {', '.join(get_args(Where))}, not {self.where!r}"
            )
        if self.where != "behind":
            if self.tokens:
                raise ValueError(f'only the rule "behind" has tokens, not {self.where!r}')
            return
        if not 0 < len(self.tokens) <= MAX_TOKENS:
            raise ValueError(
                f'the rule "behind" needs 1 to {MAX_TOKENS} tokens, not {len(self.tokens)}'
            )
        for token in self.tokens:
            _check_token(token)

    def to_json(self) -> dict[str, Any]:
        """The rule as `quiet_star.json` and requests write it."""
        return {"where": self.where, **({"tokens": list(self.tokens)} if self.tokens else {})}


EVERYWHERE = ThinkingRule()


def read_rule(value: Any) -> ThinkingRule:
    """The rule that a JSON value describes, such as `{"where": "behind", "tokens": ["?"]}`.

    Raises:
        ValueError: it describes none; the message says why.
    """
    if isinstance(value, ThinkingRule):
        return value
    if not isinstance(value, dict):
        raise ValueError(f'it must be an object such as {{"where": "everywhere"}}, not {value!r}')
    unknown = sorted(map(str, set(value) - {"where", "tokens"}))
    if unknown:
        raise ValueError(f"it has unknown keys: {', '.join(unknown)}; where and tokens are known")
    if "where" not in value:
        raise ValueError(f"it lacks where, one of {', '.join(get_args(Where))}")
    tokens = value.get("tokens", ())
    if isinstance(tokens, str) or not isinstance(tokens, Iterable):
        raise ValueError(f"tokens must be a list, not {tokens!r}")
    return ThinkingRule(where=value["where"], tokens=tuple(tokens))


def _check_token(token: Any) -> None:
    if isinstance(token, str) and token:
        return
    # bool is an int in Python, but `true` is no id.
    if isinstance(token, int) and not isinstance(token, bool) and token >= 0:
        return
    raise ValueError(f"a token must be a name or an id of the vocabulary, not {token!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPlaces:
    """A rule whose tokens are ids of one model's vocabulary."""

    behind_ids: frozenset[int] | None = None
    """Think only at these tokens. None: at all tokens, or where the gate says so."""
    asks_gate: bool = False
    """Whether the gate decides, at each token."""

    def may_think_at(self, token_id: int) -> bool:
        """Whether a thought may begin at this token; with a gate, only the gate knows."""
        return self.behind_ids is None or token_id in self.behind_ids


def resolve_rule(
    rule: ThinkingRule,
    *,
    id_of: Callable[[str], int | None],
    vocab_size: int,
    has_gate: bool,
) -> ThinkingPlaces:
    """Find a rule's tokens in a vocabulary.

    Args:
        id_of: the id of a token's name; None if the vocabulary has no such token.
        vocab_size: rows of the embedding.
        has_gate: whether the checkpoint has a gate.

    Raises:
        ValueError: a token is not in the vocabulary, or there is no gate.
    """
    if rule.where == "gate" and not has_gate:
        raise ValueError("the rule is a gate, but the checkpoint has none")
    if rule.where != "behind":
        return ThinkingPlaces(asks_gate=rule.where == "gate")
    ids = set()
    for token in rule.tokens:
        token_id = id_of(token) if isinstance(token, str) else token
        if token_id is None or token_id >= vocab_size:
            raise ValueError(f"the vocabulary has no token {token!r}")
        ids.add(token_id)
    return ThinkingPlaces(behind_ids=frozenset(ids))
