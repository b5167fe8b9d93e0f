"""From the wire to SamplingParams, and what cannot be put into it."""

from qstar_infer.errors import RequestError
from qstar_infer.sampling_params import MAX_NUM_SEQUENCES, SamplingParams
from qstar_server.completions.protocol import CompletionRequest
from qstar_server.extras import refuse_unsupported
from qstar_server.generation import check_stream_options, sampling_fields
from qstar_server.thoughts import requested_thought_length


def build_params(request: CompletionRequest) -> SamplingParams:
    """Sampling settings of each prompt of the request; `n` counts all candidates of `best_of`.

    Raises:
        RequestError: a value is out of range, contradicts another or is not supported.
    """
    if request.model_extra is not None:
        refuse_unsupported(request.model_extra)
    check_stream_options(request)
    if request.suffix:
        raise RequestError("suffix is not supported; leave it out", param="suffix")
    fields = sampling_fields(request)
    fields["n"] = _num_candidates(request)
    fields["num_thought_tokens"] = requested_thought_length(request)
    fields["logprobs"] = request.logprobs
    if request.echo:
        fields["prompt_logprobs"] = request.logprobs
    if request.max_tokens is not None:
        fields["max_tokens"] = request.max_tokens
    params = SamplingParams(**fields)
    _check_num_sequences(request, params.n)
    return params


def num_returned(request: CompletionRequest) -> int:
    """Choices a prompt."""
    return 1 if request.n is None else request.n


def _num_candidates(request: CompletionRequest) -> int:
    n = num_returned(request)
    if request.best_of is None:
        return n
    if request.best_of < n:
        raise RequestError(f"best_of is {request.best_of}, less than n, {n}", param="best_of")
    if request.best_of > n and request.stream:
        raise RequestError(
            "best_of greater than n cannot be streamed: the best are known only at the end",
            param="best_of",
        )
    return request.best_of


def _check_num_sequences(request: CompletionRequest, n: int) -> None:
    num_sequences = n * len(request.prompt)
    if num_sequences > MAX_NUM_SEQUENCES:
        raise RequestError(
            f"{len(request.prompt)} prompts with {n} completions each are {num_sequences} "
            f"sequences; the most in one request is {MAX_NUM_SEQUENCES}",
            param="n" if n > 1 else "prompt",
        )
