"""Response types of `GET /v1/models`."""

from typing import Literal

from pydantic import BaseModel

from qstar_infer.engine.protocol import ModelInfo


class ModelCard(BaseModel):
    """One model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "qstar"
    max_model_len: int
    """Most visible tokens, prompt and output together."""

    @classmethod
    def of(cls, model: ModelInfo) -> "ModelCard":
        """The card of the model that an engine serves."""
        return cls(id=model.name, created=model.created, max_model_len=model.max_model_len)


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
