"""Readiness, cheap and without a generation."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from qstar_server.deps import EngineDep

router = APIRouter()


class Health(BaseModel):
    """The server is ready."""

    status: Literal["ready"] = "ready"


@router.get("/health")
async def health(_: EngineDep) -> Health:
    """200 when ready; 503 while loading, while shutting down and when the engine is dead."""
    return Health()
