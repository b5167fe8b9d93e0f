"""Routes that generate nothing: readiness, and the one model this server has."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from qstar_infer.engine.protocol import ModelInfo
from qstar_server.deps import EngineDep
from qstar_server.error_schema import error_responses
from qstar_server.errors import model_not_found

router = APIRouter(responses=error_responses(503))


class Health(BaseModel):
    """The server is ready."""

    status: Literal["ready"] = "ready"


@router.get("/health")
async def health(_: EngineDep) -> Health:
    """200 when ready; 503 while loading, while shutting down and when the engine is dead."""
    return Health()


class ModelCard(BaseModel):
    """One model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "qstar"
    max_model_len: int
    """Most visible tokens, prompt and output together."""


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


@router.get("/v1/models")
async def list_models(engine: EngineDep) -> ModelList:
    """List the served model."""
    return ModelList(data=[_card(engine.model)])


# A model's name may hold slashes.
@router.get("/v1/models/{model_id:path}", responses=error_responses(404))
async def get_model(model_id: str, engine: EngineDep) -> ModelCard:
    """Describe the served model; 404 for any other name."""
    if model_id != engine.model.name:
        raise model_not_found(model_id)
    return _card(engine.model)


def _card(model: ModelInfo) -> ModelCard:
    return ModelCard(id=model.name, created=model.created, max_model_len=model.max_model_len)
