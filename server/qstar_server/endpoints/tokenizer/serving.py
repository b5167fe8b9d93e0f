"""Text to token ids and back. Slow for long texts: call these functions off the event loop."""

from qstar_infer.engine.protocol import Engine
from qstar_infer.errors import RequestError, shown
from qstar_server.conversation.conversation import encode_conversation
from qstar_server.endpoints.tokenizer.protocol import (
    DetokenizeRequest,
    DetokenizeResponse,
    TokenizeRequest,
    TokenizeResponse,
    TokenizerInfoResponse,
    TokenizerRequest,
)
from qstar_server.http.errors import model_not_found


def tokenize(request: TokenizeRequest, engine: Engine) -> bytes:
    """The JSON of a `TokenizeResponse`.

    Raises:
        ApiError: 404, the model is another than the served one.
        RequestError: the text is not valid, or there is no such conversation with this model.
    """
    _check_model(request, engine)
    token_ids = _token_ids(request, engine)
    response = TokenizeResponse(
        count=len(token_ids),
        max_model_len=engine.model.max_model_len,
        tokens=token_ids,
        token_strs=engine.token_names(token_ids) if request.return_token_strs else None,
    )
    return response.model_dump_json().encode()


def detokenize(request: DetokenizeRequest, engine: Engine) -> bytes:
    """The JSON of a `DetokenizeResponse`.

    Raises:
        ApiError: 404, the model is another than the served one.
        RequestError: an id is out of vocabulary.
    """
    _check_model(request, engine)
    num_ids = _num_token_ids(engine)
    highest = max(request.tokens, default=0)
    if highest >= num_ids:
        raise RequestError(
            f"tokens contains token id {shown(highest)}, which is out of vocabulary; ids are "
            f"0..{num_ids - 1}",
            param="tokens",
        )
    text = engine.decode(request.tokens, skip_special_tokens=False)
    return DetokenizeResponse(prompt=text).model_dump_json().encode()


def tokenizer_info(engine: Engine) -> TokenizerInfoResponse:
    """Facts about the engine's tokenizer."""
    info = engine.tokenizer
    return TokenizerInfoResponse(
        tokenizer_class=info.tokenizer_class,
        model_max_length=engine.model.max_model_len,
        vocab_size=info.num_tokens,
        bos_token=info.bos_token,
        eos_token=info.eos_token,
        pad_token=info.pad_token,
        unk_token=info.unk_token,
        chat_template=engine.model.chat_template,
    )


def _token_ids(request: TokenizeRequest, engine: Engine) -> list[int]:
    if (request.prompt is None) == (request.messages is None):
        raise RequestError("give either prompt or messages", param="prompt")
    if request.prompt is not None:
        adds_special_tokens = request.add_special_tokens is not False
        return engine.encode(request.prompt, add_special_tokens=adds_special_tokens)
    return encode_conversation(
        engine,
        request.conversation(),
        param="messages",
        add_special_tokens=bool(request.add_special_tokens),
    )


def _check_model(request: TokenizerRequest, engine: Engine) -> None:
    if request.model is not None and request.model != engine.model.name:
        raise model_not_found(request.model)


def _num_token_ids(engine: Engine) -> int:
    # An embedding may be padded, or have fewer rows than the tokenizer has tokens. The ids of both
    # can be converted.
    return max(engine.model.vocab_size, engine.tokenizer.num_tokens)
