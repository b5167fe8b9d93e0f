"""`GET /v1/models` and `GET /v1/models/{id}`: HTTP in, HTTP out."""

from typing import Annotated

from fastapi import APIRouter, Path

from qstar_server.endpoints.models.protocol import ModelCard, ModelList
from qstar_server.http.deps import ConfigDep, EngineDep
from qstar_server.http.error_schema import error_responses
from qstar_server.http.errors import model_not_found
from qstar_server.http.openapi import MODEL

ModelIdPath = Annotated[str, Path(openapi_examples={"The served model": {"value": MODEL}})]

router = APIRouter(responses=error_responses(503))


@router.get("/v1/models")
async def list_models(engine: EngineDep, config: ConfigDep) -> ModelList:
    """List the served model."""
    return ModelList(data=[ModelCard.of(engine.model, config)])


# `path`, because a model's name may contain slashes.
@router.get("/v1/models/{model_id:path}", responses=error_responses(404))
async def get_model(model_id: ModelIdPath, engine: EngineDep, config: ConfigDep) -> ModelCard:
    """Describe the served model; 404 for any other name."""
    if model_id != engine.model.name:
        raise model_not_found(model_id)
    return ModelCard.of(engine.model, config)
