"""Bodies that have crashed, blocked or flooded a server of this kind, by endpoint.

Each is a valid request with some fields replaced. The table says what the answer must mention.
"""

from dataclasses import dataclass
from typing import Any

from tests.server.byte_tokens import END_THOUGHT, START_THOUGHT, VOCAB_SIZE
from tests.server.fake_engine import MODEL

NAN, INF = float("nan"), float("inf")
HUGE = 10**4000
DEEP: Any = 1
for _ in range(150):
    DEEP = [DEEP]


@dataclass(frozen=True, slots=True)
class Nasty:
    """Fields that make a request nasty."""

    name: str
    fields: dict[str, Any]
    says: str
    """What the message of the error must contain."""


def _each(name: str, *values: Any) -> list[Nasty]:
    """A field with each of these values; the error names the field."""
    return [Nasty(f"{name}={_short(value)}", {name: value}, name) for value in values]


def _short(value: Any) -> str:
    text = "huge" if isinstance(value, int) and abs(value) > 10**30 else repr(value)
    return text if len(text) <= 30 else f"{text[:27]}...{len(text)}"


SAMPLING = [
    *_each("temperature", NAN, INF, -INF, 1e308, -1, HUGE, True, "1", DEEP, {"a": 1}),
    *_each("top_p", NAN, -0.1, 1.1, 1e308),
]
"""Of every generating endpoint."""

OPEN_SAMPLING = [
    *_each("n", 10**9, 129, 2**31, 2**63, HUGE, 0, -1, True, 1.0, 1e308, "2"),
    *_each("seed", 2**63, -(2**63) - 1, HUGE, 1.5),
    *_each("top_k", -2, 2**63, True),
    *_each("min_p", NAN, 2),
    *_each("frequency_penalty", NAN, 3),
    *_each("presence_penalty", INF, -3),
    *_each("repetition_penalty", NAN, INF, 0, -1),
    *_each("max_tokens", -1, 1e308, 2**63, HUGE, True, "16", NAN),
    *_each("min_tokens", -1, 2**63, True),
    Nasty("min_tokens>max_tokens", {"min_tokens": 9, "max_tokens": 8}, "min_tokens"),
    *_each("logit_bias", {"a": 1}, {"-1": 1}, {"1.5": 1}, {"1": NAN}, {"1": INF}, {"1": 101}),
    *_each(
        "logit_bias", {str(VOCAB_SIZE): 1}, {"9" * 18: 1}, {"9" * 5000: 1}, {"1": [1]}, [[1, 2]]
    ),
    *_each("logit_bias", {str(number): 1 for number in range(5000)}),
    *_each("logit_bias", {f"x{number}": "x" for number in range(4000)}),
    *_each("stop_token_ids", [VOCAB_SIZE], [-1], [2**31], [2**63], [HUGE], [True], [1.0], ["1"]),
    *_each("stop_token_ids", [0] * 5000, [None] * 4000, [[]] * 4000),
    *_each("allowed_token_ids", [], [VOCAB_SIZE], [-1], [2**63], [HUGE], [True], [1.0], ["1"]),
    *_each("allowed_token_ids", [-1] * 400_000, ["x"] * 200_000, [START_THOUGHT]),
    *_each("bad_words", "a", [""], [1], ["a"] * 5000, ["x" * 5000]),
    Nasty(
        "stop_token_ids with min_tokens",
        {"stop_token_ids": [VOCAB_SIZE], "min_tokens": 2, "max_tokens": 4},
        "token id",
    ),
    Nasty("every token stops", {"stop_token_ids": list(range(VOCAB_SIZE)), "min_tokens": 1}, "min"),
    *_each("stop", "", [""], ["a", ""], [1], [None], 1, {"a": 1}, ["a"] * 33, "x" * 5000),
    *_each("stop", ["x" * 200] * 5000, [1] * 4000, [{}] * 4000),
    *_each("num_thought_tokens", True, 1.5, -1, 10**9, HUGE, "3"),
    *_each("thought_temperature", NAN, -1, True),
    *_each("think_threshold", NAN, 2),
    *_each("show_thoughts", 1, "yes"),
    *_each("thought_top_logprobs", -1, 101, HUGE, True, 1.0, "3", [1]),
    *_each("show_passes", 1, "yes", {}),
    *_each("thinking", {"where": "x" * 5000}, {"where": "behind", "tokens": ["x"] * 5000}),
    *_each("thinking", {"where": "behind", "tokens": [VOCAB_SIZE]}, [DEEP]),
    *_each("priority", 2**31, True, 1e308),
    *_each("cache_salt", "", "x" * 1025, 1),
    *_each("chat_template_kwargs", {"tokenize": True}, {"chat_template": "{{ 1 }}"}, DEEP),
    *_each("chat_template_kwargs", {str(number): 1 for number in range(50_000)}),
    *_each("stream", 1, "true"),
    Nasty(
        "0 for false", {"stream": True, "stream_options": {"include_obfuscation": 0}}, "stream_o"
    ),
    *_each("prompt_embeds", "AAAA"),
    *_each("logits_processors", ["os.system"]),
    *_each("custom_logit_processor", "gASV"),
]
"""Of the endpoints that have vLLM's fields."""

WIDE: dict[str, Any] = {
    "type": "object",
    "properties": {f"p{number}": {"type": "string"} for number in range(20_000)},
}


def _schema(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


STRUCTURE = [
    *_each("response_format", "json", {}, {"type": "yaml"}, {"type": "json_schema"}, [1], DEEP),
    *_each("response_format", _schema(1), _schema({"type": "x"}), _schema({"$ref": "http://x/y"})),
    *_each("response_format", _schema({"type": "string", "pattern": "("}), _schema(WIDE)),
    *_each("response_format", {"type": "json_schema", "json_schema": {"name": "x" * 100}}),
    *_each("structured_outputs", {"regex": "("}, {"regex": "(?=a)b"}, {"regex": "a" * 200_000}),
    *_each("structured_outputs", {"regex": 1}),
    *_each("structured_outputs", {"choice": []}, {"choice": [1]}, {"choice": ["x" * 10] * 100_000}),
    *_each("structured_outputs", {"grammar": "root ::= ("}, {"grammar": "x" * 200_000}),
    *_each("structured_outputs", {"json": "{"}, {"json": [1]}, {"json": {"type": "x"}}, {"x": 1}),
    *_each("structured_outputs", {"json": {}, "regex": "a"}, 1, DEEP),
    *_each("guided_json", {}),
    *_each("guided_regex", "a"),
    Nasty(
        "two forms",
        {"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}},
        "response_format",
    ),
]
"""Forms that no grammar can follow, or that would take long to compile."""

PROMPTS = [
    *_each("prompt", [VOCAB_SIZE], [-1], [2**63], [-(2**63) - 1], [HUGE], [True], [1.0], [NAN]),
    *_each("prompt", [], [[]], [[1], []], [1, "a"], [[1], "a"], [[1], 1], [["a"]], [None], {}, 1),
    *_each("prompt", [START_THOUGHT], [[65], [65, END_THOUGHT]], [[VOCAB_SIZE], [65]]),
    *_each("prompt", ["a"] * 129, [[65]] * 5000, ["a", 1] * 5000, [[1, "a"]] * 5000, DEEP),
    Nasty("a text above the context", {"prompt": "ab " * 500_000}, "maximum context length"),
    Nasty("ids above the context", {"prompt": [65] * 400_000}, "maximum context length"),
    Nasty("prompts times n", {"prompt": ["a"] * 128, "n": 128}, "completions"),
    *_each("best_of", 10**9, 21, HUGE, True, -1),
    *_each("logprobs", 6, -1, True, "1", 1.0, NAN, 10**9, HUGE),
    *_each("echo", 1),
    *_each("suffix", "x"),
    *_each("add_special_tokens", 1),
]
"""Of `/v1/completions` alone."""

USER = {"role": "user", "content": "A"}
IMAGE = {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}
LOOK = {"type": "function", "function": {"name": "look"}}
CHAT = [
    *_each("messages", None, [], {}, "A", 1, [1], [None], [{}], [[USER]], DEEP),
    *_each("messages", [{"role": "root", "content": "A"}], [{"role": 1, "content": "A"}]),
    *_each("messages", [{"role": "user"}], [{"role": "user", "content": 1}]),
    *_each("messages", [USER | {"content": []}], [USER | {"content": [1]}]),
    *_each("messages", [USER | {"content": [IMAGE]}], [USER | {"content": [{"type": "text"}]}]),
    *_each("messages", [{"role": "tool", "content": "A"}], [USER | {"tool_calls": [1]}]),
    *_each("messages", [USER] * 3000, [1] * 2000, [1] * 400_000, [USER | {"content": [1] * 10**5}]),
    Nasty("a text above the context", {"messages": [USER | {"content": "ab " * 300_000}]}, "maxim"),
    *_each("logprobs", 1, "true", 5),
    Nasty("top_logprobs alone", {"top_logprobs": 1}, "top_logprobs"),
    *(
        Nasty(f"top_logprobs={value!r:.20}", {"logprobs": True, "top_logprobs": value}, "top_logp")
        for value in (21, -1, True, 1.0, NAN, 10**9, "1")
    ),
    *_each("max_completion_tokens", -1, 1e308, 2**63, HUGE, True, "1"),
    *_each("tools", 1, [1], [{}], [LOOK] * 129, [1] * 5000, [LOOK, LOOK], DEEP),
    Nasty("a name", {"tools": [LOOK | {"function": {"name": "no name"}}]}, "tool's name"),
    *_each("tools", [{"type": "function", "function": {"name": "x", "parameters": [1]}}]),
    *_each("tools", [{"type": "function", "function": {"name": "x", "description": "x" * 10**6}}]),
    Nasty("a choice without tools", {"tool_choice": "required"}, "tool"),
    *_each("tool_choice", "x" * 5000, 1, {"type": "function"}, DEEP),
    *_each("chat_template", "{% for i in range(10**9) %}x{% endfor %}"),
    *_each("include_reasoning", 1),
    Nasty(
        "two ends",
        {"add_generation_prompt": True, "continue_final_message": True},
        "continue_final_message",
    ),
    *_each("store", True),
    *_each("functions", [{"name": "x"}]),
    *_each("audio", {"voice": "x"}),
    *_each("prediction", {"type": "content"}),
]
"""Of `/v1/chat/completions` alone."""

CALL_ITEM = {"type": "function_call", "call_id": "c", "name": "f"}
WITHOUT_MAX_TOKENS = [each for each in OPEN_SAMPLING if "max_tokens" not in each.fields]
RESPONSES = [
    *_each("input", None, 1, [], {}, [1], [None] * 2000, [1] * 400_000, [{}], [[USER]], DEEP),
    *_each("input", [{"type": "x"}], [{"type": "item_reference", "id": "x"}], [{"role": "root"}]),
    *_each("input", [{"role": "user", "content": [IMAGE]}], [{"role": "user", "content": 1}]),
    *_each("input", [{"type": "function_call", "call_id": "x", "name": "x", "arguments": 1}]),
    Nasty("a text above the context", {"input": "ab " * 300_000}, "maximum context length"),
    *_each("max_output_tokens", 0, -1, 1e308, 2**63, HUGE, True, "1"),
    *_each("instructions", 1, ["A"]),
    *_each("reasoning", {"effort": "extreme"}, {"x": 1}, 1, DEEP),
    *_each("text", {"format": {"type": "yaml"}}, {"format": {"type": "json_schema"}}, [1]),
    *_each("tools", 1, [1], [{}], [1] * 400_000, [{"type": "web_search"}], DEEP),
    *_each("tool_choice", "x" * 5000, 1, {"type": "x"}),
    *_each("include", 1, [1], ["x"] * 300_000),
    *_each("metadata", {str(number): "x" for number in range(50_000)}, {"x": 1}, {"x": "y" * 600}),
    *_each("previous_response_id", "resp_1"),
    *_each("conversation", "conv_1"),
    *_each("store", True),
    *_each("background", True),
    *_each("prompt", {"id": "pmpt_1"}),
    *_each("input", None, 1, {}, [], [1], ["a"], [[]], [{}], [DEEP], [USER] * 3000),
    *_each("input", [{"role": "x" * 5000, "content": "a"}], [{"type": "x" * 5000}]),
    *_each("input", [USER | {"content": DEEP}], [USER | {"content": [{}] * 4000}]),
    *_each("input", [CALL_ITEM | {"arguments": DEEP}], [CALL_ITEM | {"name": HUGE}]),
    Nasty("a text above the context", {"input": "ab " * 500_000}, "maximum context length"),
    *_each("instructions", 1, [], DEEP),
    *_each("max_output_tokens", 0, -1, 1e308, 2**63, HUGE, True, "16", NAN),
    *_each(
        "metadata", {str(number): "" for number in range(50_000)}, {"a": "x" * 600}, {"a": DEEP}
    ),
    *_each("tools", [{}] * 5000, [{"type": "x" * 5000}], [DEEP], [{"type": "function", "name": 1}]),
    *_each("tool_choice", "x" * 5000, DEEP, {"type": "function", "name": "f"}),
    *_each("text", DEEP, {"format": {"type": "x" * 5000}}, {"format": {"type": "json_schema"}}),
    *_each("reasoning", DEEP, {"effort": "x" * 5000}, {"x" * 5000: 1}),
    *_each("include", ["x" * 5000], ["x"] * 5000, [1], DEEP),
    *_each("top_logprobs", 21, -1, True, "1", 1.0, NAN, HUGE),
    *_each("store", True, "x" * 5000, DEEP),
    *_each("previous_response_id", "x" * 5000),
]
"""Of `/v1/responses` alone."""
MESSAGES = [
    *_each("messages", None, [], {}, "A", [1], [None] * 2000, [1] * 400_000, [{}], DEEP),
    *_each("messages", [{"role": "root", "content": "A"}], [USER | {"content": [IMAGE]}]),
    *_each("messages", [USER | {"content": [{"type": "image", "source": {"url": "http://x"}}]}]),
    Nasty("a text above the context", {"messages": [USER | {"content": "ab " * 300_000}]}, "maxim"),
    *_each("max_tokens", None, 0, -1, 1e308, 2**63, HUGE, True, "1"),
    *_each("top_k", 2**63, True, 1.5),
    *_each("stop_sequences", "a", [""], [1], ["a"] * 33, ["x" * 5000], [1] * 400_000),
    *_each("system", 1, [1], DEEP),
    *_each(
        "thinking", {"type": "x"}, {"type": "enabled"}, 1, {"type": "enabled", "budget_tokens": 0}
    ),
    *_each("tools", 1, [1], [{}], [1] * 400_000, [{"type": "bash_20250124", "name": "bash"}], DEEP),
    *_each("tool_choice", "auto", {"type": "x"}, {"type": "any"}),
    *_each("mcp_servers", [{"url": "http://x"}]),
    *_each("container", "x"),
]
"""Of `/v1/messages` alone."""

TOKENIZE = _each("prompt", None, ["a"], [65], 1, {}, DEEP, "x" * 1_000_001)
DETOKENIZE = [
    *_each(
        "tokens", None, "a", 1, [VOCAB_SIZE], [-1], [2**63], [HUGE], [True], [1.0], ["1"], [[1]]
    ),
    *_each("tokens", [0] * 300_000, ["x"] * 200_000, DEEP),
]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A valid body of an endpoint, and nasty ones."""

    body: dict[str, Any]
    nasty: list[Nasty]


ENDPOINTS = {
    "/v1/completions": Endpoint(
        {"model": MODEL, "prompt": "A", "max_tokens": 1},
        SAMPLING + OPEN_SAMPLING + STRUCTURE + PROMPTS,
    ),
    "/v1/chat/completions": Endpoint(
        {"model": MODEL, "messages": [USER], "max_tokens": 1},
        SAMPLING + OPEN_SAMPLING + STRUCTURE + CHAT,
    ),
    "/v1/messages": Endpoint(
        {"model": MODEL, "messages": [USER], "max_tokens": 1}, SAMPLING + MESSAGES
    ),
    "/v1/responses": Endpoint(
        {"model": MODEL, "input": "A", "max_output_tokens": 8},
        SAMPLING + WITHOUT_MAX_TOKENS + RESPONSES,
    ),
    "/tokenize": Endpoint({"prompt": "A"}, TOKENIZE),
    "/detokenize": Endpoint({"tokens": [65]}, DETOKENIZE),
}
