"""Checks of the request fields that show thoughts, for every generating endpoint."""

from qstar_infer.errors import RequestError
from qstar_server.generation.generation_request import GenerationRequest, check_logprobs
from qstar_server.http.errors import ApiError
from qstar_server.settings.config import ServerConfig

DEFAULT_MAX_TOP_LOGPROBS = 20
"""Most `thought_top_logprobs`, if the operator does not say."""


def check_thought_fields(
    request: GenerationRequest, config: ServerConfig, *, include_reasoning: bool | None = None
) -> None:
    """Check that the operator allows what a request wants to see, and that its fields fit.

    Args:
        include_reasoning: that field, at an endpoint that has it.

    Raises:
        ApiError: 403. It asks to see thoughts, and the operator forbids it.
        RequestError: it asks for more than the most, or for details of thoughts that it does not
            show; `param` names the field.
    """
    details = {
        "thought_top_logprobs": request.thought_top_logprobs is not None,
        "show_passes": bool(request.show_passes),
    }
    check_thoughts_allowed(
        config,
        show_thoughts=request.show_thoughts,
        include_reasoning=include_reasoning,
        **details,
    )
    for name, is_asked in details.items():
        if is_asked and not request.show_thoughts:
            raise RequestError(
                f"{name} adds to the entries of thoughts, so it can only be set when show_thoughts "
                "is true",
                param=name,
            )
    check_logprobs(
        request.thought_top_logprobs,
        config,
        default=DEFAULT_MAX_TOP_LOGPROBS,
        param="thought_top_logprobs",
    )


def check_thoughts_allowed(config: ServerConfig, **asked: bool | None) -> None:
    """
    Args:
        asked: the fields of a request that ask to see thoughts, in any form.

    Raises:
        ApiError: 403. One of them is true, and the operator forbids it.
    """
    name = next((name for name, value in asked.items() if value), None)
    if name is not None and not config.allow_thoughts:
        raise ApiError(
            403,
            f"This server does not show thoughts; leave out {name}.",
            type="permission_error",
            param=name,
            code="thoughts_forbidden",
        )
