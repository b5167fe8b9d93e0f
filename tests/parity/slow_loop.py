"""Thinking and decoding by definition: one position at a time, without a cache.

It shares no code with the package. A thought's tokens directly follow its anchor, so a causal pass
of `x_0 .. x_a, start, c_1 .. c_n, end` through the stock backbone is the definition. Only a sliding
window needs a mask, because it is counted back from the anchor for the whole thought. The sampling
noise is implemented again in numpy.
"""

import copy
import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling_params import SamplingParams
from qstar_infer.structured_outputs import StructuredOutputs
from qstar_infer.thinking_rule import ThinkingRule

from ..tolerances import NEAR_TIE

MASK64 = (1 << 64) - 1
MASK32 = (1 << 32) - 1
GOLDEN = 0x9E3779B97F4A7C15

Words = NDArray[np.uint32]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """The prediction after a prefix; logits are `[vocab]`."""

    base: Numbers
    mixed: Numbers
    mixing_weight: float
    thought: list[int]
    is_near_tie: bool
    """True if rounding may change the thought, or whether there is one."""


@dataclass
class SlowOutput:
    token_ids: list[int] = field(default_factory=list)
    thoughts: list[list[int]] = field(default_factory=list)
    mixing_weights: list[float] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    base_logprobs: list[float] = field(default_factory=list)
    distributions: list[Numbers] = field(default_factory=list)
    """For each of `token_ids`, the log-probabilities of the whole vocabulary."""
    base_distributions: list[Numbers] = field(default_factory=list)
    """The same without the thought."""
    text: str = ""
    stop_reason: int | str | None = None
    num_firm: int | None = None
    """Number of tokens before the first that rounding may change; None: rounding changes none."""
    prompt_logprobs: list[float | None] = field(default_factory=list)
    """For prompt tokens 1, 2, ..., if requested. None: rounding may change the thought."""

    def firm_tokens(self) -> int:
        return len(self.token_ids) if self.num_firm is None else self.num_firm


def mix64(x: int) -> int:
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def noise_key(seed: int, position: int, role: int) -> int:
    key = mix64((seed + GOLDEN) & MASK64)
    key = mix64(key ^ ((position + GOLDEN) & MASK64))
    return mix64(key ^ ((role * GOLDEN + 1) & MASK64))


def derived_seed(seed: int, index: int) -> int:
    """The seed of completion `index`; the request's seed for index 0."""
    return seed if index == 0 else noise_key(seed, index, -1)


def mix32(x: Words) -> Words:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def gumbel(seed: int, position: int, role: int, vocab_size: int) -> Numbers:
    key = noise_key(seed, position, role)
    tokens = np.arange(vocab_size, dtype=np.uint32)
    bits = mix32(mix32(tokens ^ np.uint32(key & MASK32)) ^ np.uint32(key >> 32))
    tail = ((bits & np.uint32(0x7FFFFFFF)).astype(np.float64) + 0.5) * 2.0**-31
    return -np.log(-np.log1p(-tail))


def pick(logits: Numbers, temperature: float, seed: int, position: int, role: int) -> int:
    return int(np.argmax(scores(logits, temperature, seed, position, role)))


def scores(logits: Numbers, temperature: float, seed: int, position: int, role: int) -> Numbers:
    """Scores whose largest belongs to the sampled token."""
    if temperature == 0:
        return logits
    return logits / temperature + gumbel(seed, position, role, len(logits))


def is_near_tie(scores: Numbers, temperature: float) -> bool:
    """Whether an error of NEAR_TIE in the logits could change the argmax."""
    second, first = np.partition(scores, -2)[-2:]
    return bool((first - second) * (temperature or 1.0) < NEAR_TIE)


class SlowLoop:
    """The reference implementation, for one model."""

    def __init__(self, model: QuietStarModel, stock: PreTrainedModel) -> None:
        self.stock = stock
        self.parts = copy.deepcopy(model.thought_parts)
        if self.parts is not None:
            self.parts.cpu()
        self.delimiters = list(model.delimiter_ids)
        self.tokenizer = model.tokenizer
        self.rule = None if model.config is None else model.config.thinking
        self.window = getattr(stock.config, "sliding_window", None)

    @torch.no_grad()
    def hidden(self, embeddings: torch.Tensor, anchor: int) -> torch.Tensor:
        """Last state of embeddings `[length, hidden]`, whose thought begins at `anchor + 1`."""
        length = embeddings.shape[0]
        query = torch.arange(length)[:, None]
        key = torch.arange(length)[None, :]
        sees = key <= query
        if self.window is not None:
            is_thought_key = key > anchor
            sees &= is_thought_key | (query.clamp(max=anchor) - key < self.window)
        mask = torch.zeros(length, length).masked_fill(~sees, float("-inf"))
        output = self.stock.model(
            inputs_embeds=embeddings[None], attention_mask=mask[None, None], use_cache=False
        )
        last: torch.Tensor = output.last_hidden_state[0, -1]
        return last

    @torch.no_grad()
    def logits(self, hidden: torch.Tensor) -> Numbers:
        logits: Numbers = self.stock.lm_head(hidden).double().numpy().copy()
        logits[self.delimiters] = -math.inf
        return logits

    def thinks(
        self, token: int, hidden_base: torch.Tensor, params: SamplingParams
    ) -> tuple[bool, bool]:
        """Whether the rule lets the model think at a token, and whether rounding may change that.

        Args:
            token: the last of the prefix.
            hidden_base: `[hidden]`, the state there.
            params: its `thinking` replaces the checkpoint's.
        """
        rule = self.rule if params.thinking is None else params.thinking
        if rule is None:
            return True, False
        assert isinstance(rule, ThinkingRule)
        if rule.where == "everywhere":
            return True, False
        if rule.where == "behind":
            names = [self.tokenizer.convert_ids_to_tokens(token), token]
            return any(name in rule.tokens for name in names), False
        assert self.parts is not None
        assert self.parts.gate is not None
        weight, bias = self.parts.gate.weight[0], self.parts.gate.bias[0]
        score = float((weight * hidden_base).sum() + bias)
        return score > 0, abs(score) < NEAR_TIE

    @torch.no_grad()
    def decide(
        self, prefix: list[int], params: SamplingParams, num_thought_tokens: int, seed: int
    ) -> Decision:
        """The logits and the thought after a prefix."""
        embed = self.stock.get_input_embeddings()
        fed = embed(torch.tensor(prefix))
        anchor = len(prefix) - 1
        hidden_base = self.hidden(fed, anchor)
        base = self.logits(hidden_base)
        thinks, near_gate = self.thinks(prefix[-1], hidden_base, params)
        if num_thought_tokens == 0 or not (thinks or near_gate):
            return Decision(base, base, 0.0, [], False)
        top = math.exp(base.max() - log_sum_exp(base))
        threshold = 2.0 if params.think_threshold is None else params.think_threshold
        near = threshold > 0 and abs(math.log(top / threshold)) < NEAR_TIE
        near |= near_gate
        if not thinks or top >= threshold:
            return Decision(base, base, 0.0, [], near)
        heat = params.thought_temperature
        if heat is None:
            heat = 0.0 if params.temperature == 0 else 1.0
        assert self.parts is not None
        fed = torch.cat([fed, self.parts.start_thought[None]])
        thought: list[int] = []
        for role in range(1, num_thought_tokens + 1):
            logits = self.logits(self.hidden(fed, anchor))
            thought.append(pick(logits, heat, seed, len(prefix), role))
            near |= is_near_tie(scores(logits, heat, seed, len(prefix), role), heat)
            fed = torch.cat([fed, embed(torch.tensor(thought[-1:]))])
        fed = torch.cat([fed, self.parts.end_thought[None]])
        hidden_thought = self.hidden(fed, anchor)
        states = torch.cat([hidden_base, hidden_thought])
        for layer in self.parts.talk_head:
            states = layer(states)
        weight = float(states)
        mixed = self.logits((1 - weight) * hidden_base + weight * hidden_thought)
        return Decision(base, mixed, weight, thought, near)

    def generate(
        self,
        prompt: list[int],
        params: SamplingParams,
        *,
        num_thought_tokens: int,
        seed: int,
        eos: int,
    ) -> SlowOutput:
        """Decode, greedily or with sampling. Stop strings must be ASCII, so that they end with a
        complete character."""
        assert params.max_tokens is not None
        tokens = list(prompt)
        output = SlowOutput()
        budget = params.max_completion_tokens or 0
        if params.prompt_logprobs is not None:
            for end in range(1, len(prompt)):
                after = self.decide(prompt[:end], params, num_thought_tokens, seed)
                logprob = float(after.mixed[prompt[end]] - log_sum_exp(after.mixed))
                output.prompt_logprobs.append(None if after.is_near_tie else logprob)
        while len(output.token_ids) < params.max_tokens:
            after = self.decide(tokens, params, num_thought_tokens, seed)
            if params.max_completion_tokens is not None:
                budget -= 1 + len(after.thought)
                if budget < 0:
                    if after.is_near_tie and output.num_firm is None:
                        output.num_firm = len(output.token_ids)
                    break
            shaped = shape(after.mixed, params, tokens, len(prompt), eos)
            self.mask(shaped, params, tokens[len(prompt) :])
            token, is_firm = pick_visible(shaped, params, seed, len(tokens))
            if output.num_firm is None and (after.is_near_tie or not is_firm):
                output.num_firm = len(output.token_ids)
            output.token_ids.append(token)
            output.thoughts.append(after.thought)
            output.mixing_weights.append(after.mixing_weight)
            output.distributions.append(after.mixed - log_sum_exp(after.mixed))
            output.logprobs.append(float(output.distributions[-1][token]))
            output.base_distributions.append(after.base - log_sum_exp(after.base))
            output.base_logprobs.append(float(output.base_distributions[-1][token]))
            tokens.append(token)
            if self.has_ended(output, params, eos):
                break
        output.text = self.text_of(output, params)
        return output

    def has_ended(self, output: SlowOutput, params: SamplingParams, eos: int) -> bool:
        """Whether the output ends with its newest token; notes the stop token or string."""
        token = output.token_ids[-1]
        if token in params.stop_token_ids:
            output.stop_reason = token
        if token in params.stop_token_ids or (token == eos and not params.ignore_eos):
            return True
        output.stop_reason = self.find_stop(output.token_ids, params)
        return output.stop_reason is not None or self.is_whole_choice(output.token_ids, params)

    def mask(self, row: Numbers, params: SamplingParams, output: list[int]) -> None:
        """Write minus infinity where a token may not come after an output."""
        if params.allowed_token_ids is not None:
            row[
                [token for token in range(len(row)) if token not in params.allowed_token_ids]
            ] = -math.inf
        for word in params.bad_words:
            plain, spaced = (
                self.tokenizer(space + word.lstrip(), add_special_tokens=False).input_ids
                for space in ("", " ")
            )
            # A space that is a token of its own needs no word of its own.
            is_part_of_token = len(plain) == len(spaced) and plain[0] != spaced[0]
            for *before, last in [plain, spaced] if is_part_of_token else [plain]:
                if output[len(output) - len(before) :] == before:
                    row[last] = -math.inf
        if isinstance(params.structured_outputs, StructuredOutputs):
            row[
                [token for token in range(len(row)) if token not in self.next_of(output, params)]
            ] = -math.inf

    def next_of(self, output: list[int], params: SamplingParams) -> set[int]:
        """The tokens that may come next in a choice; each is one byte. End of sequence where the
        output is a choice."""
        choices = self.choices(params)
        longer = [each for each in choices if each[: len(output)] == output and each != output]
        ends = set() if params.ignore_eos else {self.tokenizer.eos_token_id}
        return {each[len(output)] for each in longer} | (ends if output in choices else set())

    def choices(self, params: SamplingParams) -> list[list[int]]:
        assert isinstance(params.structured_outputs, StructuredOutputs)
        assert params.structured_outputs.choice is not None, "the only form that is defined here"
        return [
            self.tokenizer(text, add_special_tokens=False).input_ids
            for text in params.structured_outputs.choice
        ]

    def is_whole_choice(self, output: list[int], params: SamplingParams) -> bool:
        """Whether the output is a choice, and none begins with it and goes on."""
        if params.structured_outputs is None or output not in (choices := self.choices(params)):
            return False
        return not any(each[: len(output)] == output and each != output for each in choices)

    def find_stop(self, token_ids: list[int], params: SamplingParams) -> str | None:
        """The longest stop string at the end of the text. None may end in the first `min_tokens`
        tokens."""
        if len(token_ids) <= params.min_tokens:
            return None
        text = self.decode(token_ids)
        return max((stop for stop in params.stop if text.endswith(stop)), key=len, default=None)

    def text_of(self, output: SlowOutput, params: SamplingParams) -> str:
        """The text of the output, without stop tokens and stop strings unless requested."""
        if params.include_stop_str_in_output:
            return self.decode(output.token_ids)
        if isinstance(output.stop_reason, str):
            return self.decode(output.token_ids).removesuffix(output.stop_reason)
        return self.decode(output.token_ids[: -1 if output.stop_reason is not None else None])

    def decode(self, token_ids: list[int]) -> str:
        text = self.tokenizer.decode(token_ids, skip_special_tokens=True)
        assert isinstance(text, str)
        return text


def log_sum_exp(logits: Numbers) -> float:
    return float(logits.max() + np.log(np.exp(logits - logits.max()).sum()))


def shape(
    logits: Numbers, params: SamplingParams, tokens: list[int], num_prompt: int, eos: int
) -> Numbers:
    """Apply bias and penalties, one token of the vocabulary at a time."""
    row = logits.copy()
    output = tokens[num_prompt:]
    for token, bias in (params.logit_bias or {}).items():
        row[token] += bias
    if len(output) < params.min_tokens:
        row[list(params.stop_token_ids)] = -math.inf
        if not params.ignore_eos:
            row[eos] = -math.inf
    for token in set(tokens):
        penalty = params.repetition_penalty
        row[token] = row[token] / penalty if row[token] > 0 else row[token] * penalty
    for token, count in Counter(output).items():
        row[token] -= params.presence_penalty + params.frequency_penalty * count
    return row


def pick_visible(
    row: Numbers, params: SamplingParams, seed: int, position: int
) -> tuple[int, bool]:
    """The sampled token, and whether it is certain despite rounding."""
    if params.temperature == 0:
        return int(np.argmax(row)), not is_near_tie(row, 0.0)
    # An error of NEAR_TIE in the logits changes probabilities and their sums by that factor.
    slack = NEAR_TIE / params.temperature
    kept, *off = (keep_likely(row, params, slack=each) for each in (0.0, -slack, slack))
    token = pick(kept, params.temperature, seed, position, 0)
    is_near = is_near_tie(scores(kept, params.temperature, seed, position, 0), params.temperature)
    others = {pick(each, params.temperature, seed, position, 0) for each in off}
    return token, not is_near and others == {token}


def keep_likely(row: Numbers, params: SamplingParams, *, slack: float) -> Numbers:
    """Apply `top_k`, then `top_p` to the remaining tokens, then `min_p`, to a copy.

    Args:
        row: shaped logits, `[vocab]`.
        params: its filters and temperature.
        slack: relative error of the shares to allow for: above 0 keeps tokens that are just
            outside of a filter, below 0 drops those just inside.
    """
    row = row.copy()
    order = sorted(range(len(row)), key=lambda token: -row[token])
    if 0 < params.top_k < len(row):
        last, first_out = row[order[params.top_k - 1]], row[order[params.top_k]]
        middle = (last + first_out) / 2 if np.isfinite(first_out) else last
        row[row < middle - slack * params.temperature / 2] = -math.inf
    if params.top_p < 1:
        mass = 0.0
        for token, share in zip(order, shares(row, params.temperature)[order], strict=True):
            if mass >= params.top_p * (1 + slack):
                row[token] = -math.inf
            mass += share
    if params.min_p > 0:
        likely = shares(row, params.temperature)
        row[likely < params.min_p * likely.max() * (1 - slack)] = -math.inf
    return row


def shares(row: Numbers, temperature: float) -> Numbers:
    scaled = row / temperature
    return np.exp(scaled - log_sum_exp(scaled))
