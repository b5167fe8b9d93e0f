"""The fields that say what form a text must have: OpenAI's and vLLM's, as `StructuredOutputs`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from qstar_infer.errors import RequestError
from qstar_infer.structured_outputs import StructuredOutputs


class JsonSchemaFormat(BaseModel):
    """A named schema. `strict` and `description` change nothing: a schema is always followed."""

    model_config = ConfigDict(strict=True)

    name: Annotated[str, Field(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    """Null: any JSON object."""
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """OpenAI's `response_format`."""

    model_config = ConfigDict(strict=True)

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None
    """Required by `json_schema`, and only for it."""

    def structured_outputs(self) -> StructuredOutputs | None:
        """What the engine has to follow; None for `text`.

        Raises:
            RequestError: `json_schema` is missing, or it is nothing that the type has.
        """
        param = "response_format"
        if self.type != "json_schema":
            if self.json_schema is not None:
                raise RequestError(
                    f"response_format has a json_schema, but its type is {self.type}; the type must"
                    " be json_schema",
                    param=param,
                )
            if self.type == "text":
                return None
            return StructuredOutputs(json_object=True, param=param)
        if self.json_schema is None:
            raise RequestError(
                "response_format has the type json_schema, but no json_schema", param=param
            )
        if self.json_schema.schema_ is None:
            return StructuredOutputs(json_object=True, param=param)
        return StructuredOutputs(json=self.json_schema.schema_, param=param)


class StructuredOutputsField(BaseModel):
    """vLLM's `structured_outputs`: one of these, or none; any other field is an error."""

    model_config = ConfigDict(strict=True, extra="forbid")

    json_: Annotated[str | dict[str, Any] | bool | None, Field(alias="json")] = None
    """A JSON schema."""
    json_object: bool | None = None
    """True: any JSON object."""
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    """In the syntax of Lark or GBNF."""

    def structured_outputs(self) -> StructuredOutputs | None:
        """What the engine has to follow; None if no field is set.

        Raises:
            RequestError: several fields are set, or one is too long or of a wrong type.
        """
        if not any(value is not None and value is not False for _, value in self):
            return None
        return StructuredOutputs(
            json=self.json_,
            json_object=self.json_object,
            regex=self.regex,
            choice=None if self.choice is None else tuple(self.choice),
            grammar=self.grammar,
        )
