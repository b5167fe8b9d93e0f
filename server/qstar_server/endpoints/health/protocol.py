"""Response type of `GET /health` and `GET /health_generate`."""

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """The server is ready."""

    status: Literal["ready"] = "ready"
