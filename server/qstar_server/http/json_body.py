"""A route's JSON body as a checked request."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from qstar_server.http.deps import ConfigDep, IgnoredFieldLogDep
from qstar_server.http.errors import to_api_error
from qstar_server.http.intake import in_intake
from qstar_server.http.request_body import read_json_object

Body = TypeVar("Body", bound=BaseModel)
Fields = Mapping[str, Any]


def json_body(
    kind: type[Body], *, without_known: Callable[[Fields], Fields] | None = None
) -> Callable[..., Awaitable[Body]]:
    """A dependency that reads the body of a request and checks it against a type.

    FastAPI's own way limits neither size nor time, and checks on the event loop.

    Args:
        without_known: of the fields that the type does not have, those that are ignored. None: all.
    """

    async def read(request: Request, config: ConfigDep, ignored_fields: IgnoredFieldLogDep) -> Body:
        fields = await read_json_object(
            request, max_bytes=config.max_body_bytes, timeout_s=config.body_timeout_s
        )
        body = await in_intake(_checked, kind, fields)
        extra: Fields = {} if body.model_extra is None else body.model_extra
        ignored_fields.note(extra if without_known is None else without_known(extra))
        return body

    return read


def _checked(kind: type[Body], fields: dict[str, object]) -> Body:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        # Here and not in a handler, because a list of thousands of failures takes time.
        raise to_api_error(error) from None
