"""Where a model thinks: a rule that a checkpoint has, and that a request may replace. Plain data.

Where the rule says no, the base prediction decides, and no row of a pass is spent on a thought.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, get_args

from qstar_infer.errors import shown

Where = Literal["everywhere", "behind", "gate"]
TokenName = str | int
"""A token of the vocabulary by its name, or by its id."""

MAX_TOKENS = 1024
"""Most tokens that a rule may name."""
_NUM_DESCRIBED = 8


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
    """Only for `behind`: at least one. A list is accepted too."""

    def __post_init__(self) -> None:
        if self.where not in get_args(Where):
            raise ValueError(
                f"where must be one of {', '.join(get_args(Where))}, not {shown(self.where)}"
            )
        if not isinstance(self.tokens, list | tuple):
            raise ValueError(f"tokens must be a list, not {shown(self.tokens)}")
        if self.where != "behind":
            if self.tokens:
                raise ValueError(f'only the rule "behind" has tokens, not {self.where!r}')
        elif not 0 < len(self.tokens) <= MAX_TOKENS:
            raise ValueError(
                f'the rule "behind" needs 1 to {MAX_TOKENS} tokens, not {len(self.tokens)}'
            )
        # The dataclass is frozen.
        object.__setattr__(self, "tokens", tuple(_checked_token(each) for each in self.tokens))

    def to_json(self) -> dict[str, Any]:
        """The rule as `quiet_star.json` and requests write it."""
        return {"where": self.where, **({"tokens": list(self.tokens)} if self.tokens else {})}

    def describe(self) -> str:
        """The rule in words that follow "it thinks"."""
        if self.where == "gate":
            return "where its gate says so"
        if self.where == "everywhere":
            return "before each token"
        named = ", ".join(map(shown, self.tokens[:_NUM_DESCRIBED]))
        more = len(self.tokens) - _NUM_DESCRIBED
        return f"behind {named}" + (f" and {more} more" if more > 0 else "")


EVERYWHERE = ThinkingRule()


def read_rule(value: Any) -> ThinkingRule:
    """The rule that a JSON value describes, such as `{"where": "behind", "tokens": ["?"]}`.

    A `ThinkingRule` is returned as it is.

    Raises:
        ValueError: it describes none; the message says why.
    """
    if isinstance(value, ThinkingRule):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(
            f'it must be an object such as {{"where": "everywhere"}}, not {shown(value)}'
        )
    unknown = sorted(map(str, set(value) - {"where", "tokens"}))
    if unknown:
        names = shown(", ".join(unknown))
        raise ValueError(f"it has unknown keys, {names}; only where and tokens are known")
    if "where" not in value:
        raise ValueError(f"it lacks where, one of {', '.join(get_args(Where))}")
    return ThinkingRule(where=value["where"], tokens=value.get("tokens", ()))


def _checked_token(token: Any) -> TokenName:
    if isinstance(token, str) and token:
        return token
    # bool is an int in Python, but `true` is no id.
    if isinstance(token, Integral) and not isinstance(token, bool) and int(token) >= 0:
        return int(token)
    raise ValueError(f"a token must be a name or an id of the vocabulary, not {shown(token)}")


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
            raise ValueError(f"the vocabulary has no token {shown(token)}")
        ids.add(token_id)
    return ThinkingPlaces(behind_ids=frozenset(ids))
