"""Response type of `GET /health`."""

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """The server is ready."""

    status: Literal["ready"] = "ready"
