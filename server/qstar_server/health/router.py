"""`GET /health`: HTTP in, HTTP out."""

from fastapi import APIRouter

from qstar_server.deps import EngineDep
from qstar_server.error_schema import error_responses
from qstar_server.health.protocol import Health

router = APIRouter(responses=error_responses(503, needs_key=False))


@router.get("/health")
async def health(_: EngineDep) -> Health:
    """200 when ready; 503 while loading or shutting down, and after the engine has died."""
    return Health()
