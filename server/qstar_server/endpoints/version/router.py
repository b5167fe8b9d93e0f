"""`GET /version`: HTTP in, HTTP out."""

from importlib import metadata

from fastapi import APIRouter
from pydantic import BaseModel

from qstar_server.http.error_schema import error_responses

router = APIRouter(responses=error_responses())


class Version(BaseModel):
    """The server's release."""

    version: str


@router.get("/version")
async def version() -> Version:
    """Name the release of this server, also while the model loads."""
    return Version(version=metadata.version("qstar"))
