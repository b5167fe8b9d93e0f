"""`POST /tokenize`, `POST /detokenize` and `GET /tokenizer_info`: HTTP in, HTTP out."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from qstar_server.endpoints.tokenizer.examples import DETOKENIZE_EXAMPLES, TOKENIZE_EXAMPLES
from qstar_server.endpoints.tokenizer.protocol import (
    DetokenizeRequest,
    DetokenizeResponse,
    TokenizeRequest,
    TokenizeResponse,
    TokenizerInfoResponse,
)
from qstar_server.endpoints.tokenizer.serving import detokenize, tokenize, tokenizer_info
from qstar_server.http.deps import EngineDep
from qstar_server.http.error_schema import error_responses
from qstar_server.http.intake import in_intake
from qstar_server.http.json_body import json_body
from qstar_server.http.openapi import json_request

router = APIRouter(responses=error_responses(503))

_ERRORS = error_responses(400, 404, 408, 413, 415)
_JSON = "application/json"

TokenizeDep = Annotated[TokenizeRequest, Depends(json_body(TokenizeRequest))]
DetokenizeDep = Annotated[DetokenizeRequest, Depends(json_body(DetokenizeRequest))]


@router.post(
    "/tokenize",
    response_model=TokenizeResponse,
    responses=_ERRORS,
    openapi_extra=json_request("/tokenize", TokenizeRequest, TOKENIZE_EXAMPLES),
)
async def create_tokens(engine: EngineDep, request: TokenizeDep) -> Response:
    """Convert a text to the token ids that the served model would get."""
    body = await in_intake(tokenize, request, engine)
    return Response(body, media_type=_JSON)


@router.post(
    "/detokenize",
    response_model=DetokenizeResponse,
    responses=_ERRORS,
    openapi_extra=json_request("/detokenize", DetokenizeRequest, DETOKENIZE_EXAMPLES),
)
async def create_text(engine: EngineDep, request: DetokenizeDep) -> Response:
    """Convert token ids to text."""
    body = await in_intake(detokenize, request, engine)
    return Response(body, media_type=_JSON)


@router.get("/tokenizer_info")
async def get_tokenizer_info(engine: EngineDep) -> TokenizerInfoResponse:
    """Describe the served model's tokenizer."""
    return tokenizer_info(engine)
