"""Checks whether this model and pool can serve a request. No other module checks requests."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from qstar_infer.config import EngineConfig
from qstar_infer.constraints.compiler import GrammarCompiler
from qstar_infer.constraints.text_matcher import MaskBudget
from qstar_infer.engine.protocol import AdmittedRequest, EngineRequest, ModelInfo
from qstar_infer.errors import ContextLengthError, RequestError, shown
from qstar_infer.sampling_params import MAX_INTEGER, SamplingParams, checked_int
from qstar_infer.structured_outputs import read_structured_outputs
from qstar_infer.thinking_rule import ThinkingPlaces, ThinkingRule, read_rule, resolve_rule
from qstar_infer.token_rules import (
    TextGrammar,
    TokenRules,
    bitmask,
    intersection,
    is_subset,
    last_of_bad_words,
)
from qstar_infer.wavefront.lane import num_lane_slots

MAX_SALT_CHARS = 1024


class Admission:
    """Checks requests against one model and one pool. Thread-safe."""

    def __init__(
        self,
        model: ModelInfo,
        config: EngineConfig,
        *,
        num_blocks: int,
        delimiter_ids: tuple[int, ...],
        eos_token_ids: frozenset[int],
        num_positions: int | None,
        unusable_tokens: Mapping[int, str],
        id_of: Callable[[str], int | None],
        encode: Callable[[str], list[int]],
        grammars: GrammarCompiler,
    ) -> None:
        """
        Args:
            num_positions: rows of a learned position table, which thoughts use too. None if
                positions are computed, so that a thought may reach past the context.
            unusable_tokens: tokens of the tokenizer that the model has no embedding for, by id.
            id_of: the id of a token's name; None if the tokenizer has no such token.
            encode: token ids of a text, without special tokens.
        """
        self._id_of = id_of
        self._encode_word = encode
        self._grammars = grammars
        self._num_positions = num_positions
        self._unusable_tokens = unusable_tokens
        self._model = model
        self._config = config
        self._num_blocks = num_blocks
        self._delimiter_ids = delimiter_ids
        self._eos_token_ids = eos_token_ids
        self._places = self._resolved(model.thinking)

    def admit(self, request: EngineRequest) -> AdmittedRequest:
        """Check a request and fill in its defaults.

        Raises:
            RequestError: the request can never be served; `param` names the field at fault.
        """
        params = request.params
        self._check_prompt(request.prompt_token_ids)
        self._check_token_ids(params)
        self._check_thinking(params)
        _check_scheduling(request)
        _check_details(request)
        num_thought_tokens = self._model.num_thought_tokens
        if params.num_thought_tokens is not None:
            num_thought_tokens = params.num_thought_tokens
        limit = self.context_limit(num_thought_tokens)
        self._check_length(request, limit)
        places = self._places_of(params)
        eos_token_ids = frozenset() if params.ignore_eos else self._eos_token_ids
        return AdmittedRequest(
            request=request,
            num_thought_tokens=num_thought_tokens,
            places=places,
            thought_temperature=self._model.sampling_defaults.resolve_thought_temperature(params),
            max_tokens=_max_tokens(
                params,
                num_left=limit - len(request.prompt_token_ids),
                cost=_least_cost(params, places, num_thought_tokens),
            ),
            eos_token_ids=eos_token_ids,
            rules=self._rules_of(params, eos_token_ids),
        )

    def check_num_sequences(self, requests: Iterable[AdmittedRequest]) -> int:
        """Number of sequences that these requests need at the same time.

        Raises:
            RequestError: it is more than the running sequences and the queue can hold.
        """
        each = [admitted.request.params.num_candidates for admitted in requests]
        limit = self._config.max_num_seqs + self._config.max_queue
        if sum(each) > limit:
            raise RequestError(
                f"the request asks for {sum(each)} completions, but the engine holds at most "
                f"{limit} sequences. Send fewer prompts, or a smaller n",
                param="n" if len(each) == 1 else "prompt",
            )
        return sum(each)

    def check_num_tokens(self, requests: Iterable[AdmittedRequest]) -> int:
        """Number of prompt tokens of these requests.

        Raises:
            RequestError: it is more than may wait.
        """
        total = sum(len(admitted.request.prompt_token_ids) for admitted in requests)
        limit = self._config.max_queued_tokens
        if total > limit:
            raise RequestError(
                f"the request has {total} prompt tokens, and at most {limit} may wait. Send fewer "
                "or shorter prompts",
                param="prompt",
            )
        return total

    def context_limit(self, num_thought_tokens: int) -> int:
        """Most visible tokens of a sequence with this thought length, by model and by pool."""
        size = self._config.block_size
        lane_slots = num_lane_slots(num_thought_tokens)
        lane_blocks = -(-lane_slots // size)
        limits = [self._model.max_model_len, (self._num_blocks - lane_blocks) * size]
        if self._num_positions is not None:
            # The last token is not fed; the last thought begins after the one before it.
            limits.append(self._num_positions - max(0, lane_slots - 1))
        return max(0, min(limits))

    def _check_prompt(self, token_ids: list[int]) -> None:
        """Check all ids without a Python loop, because a prompt may have a million of them."""
        if not token_ids:
            raise RequestError(
                "the prompt has no tokens; give at least one (this tokenizer does not add any)",
                param="prompt",
            )
        for extreme in (min(token_ids), max(token_ids)):
            self._check_token_id(extreme, "prompt")
        for delimiter in self._delimiter_ids:
            if delimiter in token_ids:
                raise RequestError(
                    f"the prompt contains the thought delimiter {delimiter}; only the model "
                    "begins and ends thoughts. Remove it",
                    param="prompt",
                )

    def _check_token_ids(self, params: SamplingParams) -> None:
        for name, token_ids in (
            ("logit_bias", params.logit_bias or ()),
            ("allowed_token_ids", params.allowed_token_ids or ()),
            ("stop_token_ids", params.stop_token_ids),
        ):
            for token_id in token_ids:
                self._check_token_id(token_id, name)

    def _check_token_id(self, token_id: int, param: str) -> None:
        vocab_size = self._model.vocab_size
        if 0 <= token_id < vocab_size:
            return
        token = self._unusable_tokens.get(token_id)
        if token is not None:
            raise RequestError(
                f"{param} contains the token {token!r} (id {token_id}), which this model has no "
                f"embedding for; ids are 0..{vocab_size - 1}. Remove it",
                param=param,
            )
        raise RequestError(
            f"{param} contains token id {shown(token_id)}, which is out of vocabulary; ids are "
            f"0..{vocab_size - 1}",
            param=param,
        )

    def _rules_of(self, params: SamplingParams, eos_token_ids: frozenset[int]) -> TokenRules:
        """What limits the visible tokens."""
        ids, vocab_size = params.allowed_token_ids, self._model.vocab_size
        rules = TokenRules(
            allowed=None if ids is None else bitmask(ids, vocab_size=vocab_size),
            bad_words=self._bad_words(params),
            new_grammar=self._new_grammar(params, eos_token_ids),
        )
        self._check_some_token_is_allowed(params, rules, eos_token_ids)
        return rules

    def _new_grammar(
        self, params: SamplingParams, eos_token_ids: frozenset[int]
    ) -> Callable[[], TextGrammar] | None:
        if params.structured_outputs is None:
            return None
        form = read_structured_outputs(params.structured_outputs)
        return partial(self._grammars.compile(form).start, eos_token_ids, MaskBudget())

    def _bad_words(self, params: SamplingParams) -> tuple[tuple[int, ...], ...]:
        """Token ids of the bad words, and of those behind a space that are other tokens.

        As in vLLM: behind a space only if it begins with another token and is as many tokens long,
        so that the space is part of a token.
        """
        found: dict[tuple[int, ...], None] = {}
        for word in params.bad_words:
            plain, spaced = (tuple(self._encode_word(space + word.lstrip())) for space in ("", " "))
            found[plain] = None
            if spaced[:1] != plain[:1] and len(spaced) == len(plain):
                found[spaced] = None
        found.pop((), None)
        for word_ids in found:
            for token_id in word_ids:
                self._check_token_id(token_id, "bad_words")
        return tuple(found)

    def _check_some_token_is_allowed(
        self, params: SamplingParams, rules: TokenRules, eos_token_ids: frozenset[int]
    ) -> None:
        """Check it for the first token; later ones depend on the text."""
        vocab_size = self._model.vocab_size
        first = None if rules.new_grammar is None else rules.new_grammar().allowed_after(())
        allowed = intersection(rules.allowed, first)
        allowed = bitmask(range(vocab_size), vocab_size=vocab_size) if allowed is None else allowed
        banned = {*self._delimiter_ids, *last_of_bad_words(rules.bad_words, ())}
        if not is_subset(allowed, bitmask(banned, vocab_size=vocab_size)):
            ending = {*params.stop_token_ids, *eos_token_ids} if params.min_tokens > 0 else set()
            banned |= ending
            if not is_subset(allowed, bitmask(banned, vocab_size=vocab_size)):
                return
            raise RequestError(
                f"min_tokens is {params.min_tokens}, but every token that may come ends the output;"
                " leave out min_tokens, or allow others",
                param="min_tokens",
            )
        names = ("allowed_token_ids", "bad_words", "structured_outputs")
        given = [name for name in names if getattr(params, name)]
        raise RequestError(
            f"no token may come first: {' and '.join(given)} exclude all of them",
            param=given[0] if given else None,
        )

    def _check_thinking(self, params: SamplingParams) -> None:
        length = params.num_thought_tokens
        most = self._model.max_thought_tokens
        if length is not None and length > most:
            why = "this model cannot think" if most == 0 else f"the maximum is {most}"
            raise RequestError(
                f"num_thought_tokens is {length}, but {why}", param="num_thought_tokens"
            )

    def _places_of(self, params: SamplingParams) -> ThinkingPlaces:
        if params.thinking is None:
            return self._places
        if self._model.max_thought_tokens == 0:
            raise RequestError(
                "thinking is given, but this model cannot think; leave it out", param="thinking"
            )
        return self._resolved(read_rule(params.thinking))

    def _resolved(self, rule: ThinkingRule) -> ThinkingPlaces:
        try:
            return resolve_rule(
                rule,
                id_of=self._id_of,
                vocab_size=self._model.vocab_size,
                has_gate=self._model.has_gate,
            )
        except ValueError as error:
            raise RequestError(f"thinking cannot be followed: {error}", param="thinking") from None

    def _check_length(self, request: EngineRequest, limit: int) -> None:
        num_prompt_tokens = len(request.prompt_token_ids)
        asked = request.params.max_tokens
        # An output without `max_tokens` needs room for at least one token.
        num_output_tokens = 1 if asked is None else asked
        total = num_prompt_tokens + num_output_tokens
        if total > limit:
            raise ContextLengthError(
                f"This model's maximum context length is {limit} tokens. However, you requested "
                f"{total} tokens ({num_prompt_tokens} in the prompt, {num_output_tokens} in the "
                "completion). Please reduce your prompt or the completion length.",
                param="prompt" if num_prompt_tokens >= limit else "max_tokens",
            )


def _least_cost(params: SamplingParams, places: ThinkingPlaces, num_thought_tokens: int) -> int:
    """Least number of visible and thought tokens that a visible token costs."""
    thinks_always = places == ThinkingPlaces() and params.think_threshold is None
    return 1 + num_thought_tokens if thinks_always else 1


def _max_tokens(params: SamplingParams, *, num_left: int, cost: int) -> int:
    """Most visible tokens that a sequence can produce.

    Args:
        num_left: tokens that the context has room for.
        cost: from `_least_cost`.
    """
    most = num_left if params.max_tokens is None else params.max_tokens
    if params.max_completion_tokens is None:
        return most
    affordable = params.max_completion_tokens // cost
    if affordable < params.min_tokens:
        raise RequestError(
            f"min_tokens is {params.min_tokens}, but max_completion_tokens is "
            f"{params.max_completion_tokens}, enough for {affordable} with their thoughts; raise "
            "it or lower min_tokens",
            param="max_completion_tokens",
        )
    return min(most, affordable)


def _check_scheduling(request: EngineRequest) -> None:
    checked_int("priority", request.priority, -MAX_INTEGER, MAX_INTEGER)
    salt = request.cache_salt
    if salt is None:
        return
    if not isinstance(salt, str) or not 1 <= len(salt) <= MAX_SALT_CHARS:
        raise RequestError(
            f"cache_salt must be a text of 1 to {MAX_SALT_CHARS} characters, got {shown(salt)}",
            param="cache_salt",
        )


def _check_details(request: EngineRequest) -> None:
    params = request.params
    for name, is_asked in (
        ("thought_top_logprobs", params.thought_top_logprobs is not None),
        ("show_passes", params.show_passes),
    ):
        if is_asked and not request.show_thoughts:
            raise RequestError(
                f"{name} adds to thoughts, but the request does not show them; leave it out, or "
                "set show_thoughts",
                param=name,
            )
