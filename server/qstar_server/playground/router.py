"""`GET /` and `GET /assets/{name}`: the page and its files. HTTP in, HTTP out.

They are no part of the API, and `/openapi.json` does not list them.
"""

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from qstar_server.playground.page import page_response

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/assets/{name}")
async def page(request: Request) -> Response:
    """A file of the page; 404 for any other name."""
    response = page_response(request.scope["path"], request.headers)
    if response is None:
        raise HTTPException(404)
    return response
