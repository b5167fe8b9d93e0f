"""Renders conversations with the tokenizer's chat template, sandboxed by `transformers`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qstar_infer.errors import RequestError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MAX_REASON_CHARS = 300


class ChatTemplate:
    """The chat template of one tokenizer. Thread-safe: the tokenizer is only read."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", *, model_name: str) -> None:
        """
        Args:
            model_name: names the model in errors.
        """
        self._tokenizer = tokenizer
        self._model_name = model_name

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a conversation; encode it without further special tokens.

        See `Engine.render_chat`.
        """
        if template_text(self._tokenizer) is None:
            raise RequestError(
                f"{self._model_name} has no chat template, so it cannot answer a conversation; "
                "give it a text to complete instead",
                param="messages",
            )
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=continue_final_message,
                tokenize=False,
                **(options or {}),
            )
        except Exception as error:  # a template is code of the checkpoint, and may raise anything
            # Some reasons repeat the conversation.
            reason = str(error)[:_MAX_REASON_CHARS].rstrip(".") or type(error).__name__
            raise RequestError(
                f"the chat template of {self._model_name} refuses this conversation: {reason}",
                param="messages",
            ) from error
        assert isinstance(text, str)
        return text


def template_text(tokenizer: "PreTrainedTokenizerBase") -> str | None:
    """The Jinja text of a tokenizer's chat template; None if it has none.

    Of several, the one that conversations with tools get.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("tool_use", template.get("default"))
    # An empty template would render every conversation as an empty text.
    return template if isinstance(template, str) and template else None
