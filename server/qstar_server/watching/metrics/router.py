"""`GET /metrics`: HTTP in, HTTP out."""

from typing import cast

from fastapi import APIRouter, Request, Response

from qstar_server.http.error_schema import error_responses
from qstar_server.watching.metrics.registry import Metrics

router = APIRouter(responses=error_responses())


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Counts for Prometheus. While the model is loading, only those of the server."""
    registered = cast(Metrics, request.app.state.metrics)
    text, content_type = registered.exposition()
    return Response(text, headers={"Content-Type": content_type})
