"""What a request's `thinking` and `num_thought_tokens` mean for the length of a thought."""

from qstar_infer.engine.protocol import ModelInfo
from qstar_infer.errors import RequestError
from qstar_server.endpoints.messages.protocol import MessagesRequest


def thought_length(request: MessagesRequest, model: ModelInfo) -> int | None:
    """The length of each thought; None is the trained length.

    With a budget it is the longest with which the thoughts of `max_tokens` tokens, visible ones and
    thoughts together, stay within the budget.

    Raises:
        RequestError: the budget is missing, too small, or contradicts another field.
    """
    thinking, asked = request.thinking, request.num_thought_tokens
    if thinking is None:
        return asked
    if thinking.type == "disabled":
        if asked:
            raise RequestError(
                f"num_thought_tokens is {asked}, but thinking is disabled; leave out one of them",
                param="num_thought_tokens",
            )
        return 0
    if (thinking.budget_tokens is None) == (thinking.type == "enabled"):
        raise RequestError(
            "thinking needs budget_tokens if its type is enabled, and only then", param="thinking"
        )
    if thinking.budget_tokens is None:
        return asked
    return _within_budget(
        thinking.budget_tokens,
        max_tokens=request.max_tokens,
        length=model.num_thought_tokens if asked is None else asked,
    )


def _within_budget(budget: int, *, max_tokens: int, length: int) -> int:
    if budget >= max_tokens:
        raise RequestError(
            f"thinking.budget_tokens is {budget}; it must be less than max_tokens ({max_tokens}), "
            "which counts thoughts too",
            param="thinking",
        )
    # `n` thought tokens before each visible one: n / (n + 1) of all tokens are thoughts.
    affordable = budget // (max_tokens - budget)
    if length > 0 and affordable == 0:
        raise RequestError(
            f"thinking.budget_tokens is {budget}, which allows no thought: this model thinks "
            f"before each token, so that at least half of max_tokens ({max_tokens}) are thoughts. "
            "Raise it, or use the type adaptive",
            param="thinking",
        )
    return min(length, affordable)
