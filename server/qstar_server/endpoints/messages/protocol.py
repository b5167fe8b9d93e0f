"""Request types of `POST /v1/messages`; `resource.py` has what it answers."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from qstar_infer.errors import RequestError
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import MAX_INTEGER, SamplingParams
from qstar_infer.structured_outputs import StructuredOutputs
from qstar_server.conversation.conversation import MAX_MESSAGES, MAX_TOOLS
from qstar_server.generation.field_types import (
    Count,
    Probability,
    Seed,
    StopTexts,
    Temperature,
    TopK,
)


def _check_messages(value: object) -> object:
    # Before pydantic checks the items: each wrong one costs an error.
    if isinstance(value, list) and not 0 < len(value) <= MAX_MESSAGES:
        raise ValueError(f"has {len(value)} messages; give 1 to {MAX_MESSAGES}")
    return value


class Metadata(BaseModel):
    """Who asks. It is not used."""

    model_config = ConfigDict(strict=True)

    user_id: Annotated[str | None, StringConstraints(max_length=512)] = None


class ThinkingConfig(BaseModel):
    """Whether to think, and to show it. Null thinks as trained, and shows nothing."""

    model_config = ConfigDict(strict=True, extra="forbid")

    type: Literal["enabled", "adaptive", "disabled"]
    """enabled and adaptive: think, and show the thoughts as a block of type thinking.
    disabled: do not think."""
    budget_tokens: int | None = Field(default=None, ge=1, le=MAX_INTEGER)
    """Needed by enabled, and only for it: most thought tokens. Less than `max_tokens`."""
    display: Literal["summarized", "omitted"] | None = None
    """omitted: think without showing it. Thoughts are shown as they are, never as a summary."""

    @property
    def is_shown(self) -> bool:
        """Whether the answer has a block with the thoughts."""
        return self.type != "disabled" and self.display != "omitted"


class JsonOutputFormat(BaseModel):
    """The text is JSON that follows a schema."""

    model_config = ConfigDict(strict=True, extra="forbid")

    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(BaseModel):
    """How much to think, and the form of the text."""

    model_config = ConfigDict(strict=True, extra="forbid")

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonOutputFormat | None = None


class ToolDefinition(BaseModel):
    """A tool of the client. This server has no tools of its own."""

    model_config = ConfigDict(strict=True)

    type: Literal["custom"] | None = None
    name: str
    description: str | None = None
    input_schema: dict[str, Any]


class ToolChoiceConfig(BaseModel):
    """Whether to call a tool: auto, any (at least one), tool (the named one), none."""

    model_config = ConfigDict(strict=True, extra="forbid")

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    """Needed by tool, and only for it."""
    disable_parallel_tool_use: bool | None = None


class CountTokensRequest(BaseModel):
    """What becomes the prompt. Each message has a role and content: a text, or blocks."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    model: str
    messages: Annotated[
        list[dict[str, Any]],
        Field(min_length=1, max_length=MAX_MESSAGES),
        BeforeValidator(_check_messages),
    ]
    """Roles user, assistant and system. A last message of the assistant is continued."""
    system: str | list[dict[str, Any]] | None = None
    tools: Annotated[list[ToolDefinition] | None, Field(max_length=MAX_TOOLS)] = None
    tool_choice: ToolChoiceConfig | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    cache_control: dict[str, Any] | None = None
    """Changes nothing: common beginnings are always cached."""
    speed: Literal["standard"] | None = None


class MessagesRequest(CountTokensRequest):
    """Anthropic's request, and this project's thought fields."""

    max_tokens: int = Field(ge=1, le=MAX_INTEGER)
    """Most visible tokens; together with thought tokens if `thinking` asks for thoughts."""
    stop_sequences: StopTexts | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: TopK | None = None
    stream: bool | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None

    seed: Seed | None = None
    num_thought_tokens: Count | None = None
    thought_temperature: Temperature | None = None
    think_threshold: Probability | None = None
    priority: int | None = None
    cache_salt: str | None = None

    def to_sampling_params(
        self, defaults: SamplingDefaults, *, grammar: str | None, thought_length: int | None
    ) -> SamplingParams:
        """The sampling settings. Takes time with the schema's size: call it off the event loop.

        Args:
            defaults: the checkpoint's, for fields that are null.
            grammar: what `tool_choice` demands, in Lark's syntax.
            thought_length: None is the trained length.

        Raises:
            RequestError: a value is out of range or contradicts another; `param` names the field.
        """
        counts_thoughts = self.thinking is not None and self.thinking.type != "disabled"
        # The smallest set of tokens whose probability reaches 0 is the most likely token alone.
        takes_top_token = self.top_p == 0
        given = {
            "temperature": self.temperature,
            "top_p": 1.0 if takes_top_token else self.top_p,
            "top_k": 1 if takes_top_token else self.top_k,
            "seed": self.seed,
            "stop": None if self.stop_sequences is None else tuple(self.stop_sequences),
            "num_thought_tokens": thought_length,
            "thought_temperature": self.thought_temperature,
            "think_threshold": self.think_threshold,
            "structured_outputs": self._form(grammar),
            "max_completion_tokens": self.max_tokens if counts_thoughts else None,
        }
        return defaults.params(
            max_tokens=None if counts_thoughts else self.max_tokens,
            **{name: value for name, value in given.items() if value is not None},
        )

    def _form(self, grammar: str | None) -> StructuredOutputs | None:
        """The form of the text that `output_config.format` or `tool_choice` asks for."""
        asked = None if self.output_config is None else self.output_config.format
        if asked is None:
            if grammar is None:
                return None
            return StructuredOutputs(grammar=grammar, param="tool_choice")
        if grammar is not None:
            raise RequestError(
                "output_config.format and tool_choice both say what form the text must have; "
                "leave out one",
                param="tool_choice",
            )
        return StructuredOutputs(json=asked.schema_, param="output_config.format")
