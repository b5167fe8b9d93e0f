"""Response types of `GET /v1/models`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from qstar_infer.engine.protocol import ModelInfo
from qstar_infer.thinking_rule import ThinkingRule, TokenName, Where
from qstar_server.generation.generation_request import most_logprobs
from qstar_server.generation.thought_fields import DEFAULT_MAX_TOP_LOGPROBS
from qstar_server.settings.config import ServerConfig


class Rule(BaseModel):
    """At which tokens a model thinks, as the request field `thinking` says it."""

    where: Where
    tokens: list[TokenName]
    """Empty unless `where` is `behind`."""

    @classmethod
    def of(cls, rule: ThinkingRule) -> "Rule":
        """The same rule."""
        return cls(where=rule.where, tokens=list(rule.tokens))


class ModelCard(BaseModel):
    """One model, with vLLM's fields and this project's."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "qstar"
    root: str
    """The model that this one is a variant of: itself."""
    parent: None = None
    max_model_len: int
    """Most visible tokens, prompt and output together."""
    description: str
    num_thought_tokens: int
    """Length of each thought unless a request says otherwise; 0 for a model that cannot think."""
    max_thought_tokens: int
    """Longest thought that a request may ask for."""
    thinking: Rule
    """At which tokens the model thinks unless a request says otherwise."""
    has_gate: bool
    """Whether a request may let the model's gate say where to think."""
    has_chat_template: bool
    """Whether the endpoints for conversations can be used."""
    thoughts_allowed: bool
    """Whether a request may ask to see thoughts."""
    max_top_logprobs: int
    """Most `thought_top_logprobs`, and most `top_logprobs` of a conversation."""

    @classmethod
    def of(cls, model: ModelInfo, config: ServerConfig) -> "ModelCard":
        """The card of the model that an engine serves."""
        return cls(
            id=model.name,
            created=model.created,
            root=model.name,
            max_model_len=model.max_model_len,
            description=model.description,
            num_thought_tokens=model.num_thought_tokens,
            max_thought_tokens=model.max_thought_tokens,
            thinking=Rule.of(model.thinking),
            has_gate=model.has_gate,
            has_chat_template=model.chat_template is not None,
            thoughts_allowed=config.allow_thoughts,
            max_top_logprobs=most_logprobs(config, default=DEFAULT_MAX_TOP_LOGPROBS),
        )


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
