"""`GET /health` and `GET /health_generate`: HTTP in, HTTP out."""

from typing import cast

from fastapi import APIRouter, Request

from qstar_server.endpoints.health.deep_check import DeepCheck
from qstar_server.endpoints.health.protocol import Health
from qstar_server.http.deps import EngineDep
from qstar_server.http.error_schema import error_responses

router = APIRouter()


@router.get("/health", responses=error_responses(503, needs_key=False))
async def health(_: EngineDep) -> Health:
    """200 when ready; 503 while loading or shutting down, and after the engine has died."""
    return Health()


@router.get("/health_generate", responses=error_responses(503))
async def health_generate(request: Request, engine: EngineDep) -> Health:
    """200 when the engine has just computed a token; 503 if it cannot, or not in time."""
    await cast(DeepCheck, request.app.state.deep_check).run(engine)
    return Health()
