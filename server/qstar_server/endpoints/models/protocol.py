"""Response types of `GET /v1/models`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from qstar_infer.engine.protocol import ModelInfo
from qstar_infer.thinking_rule import ThinkingRule, TokenName, Where


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

    @classmethod
    def of(cls, model: ModelInfo) -> "ModelCard":
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
        )


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
