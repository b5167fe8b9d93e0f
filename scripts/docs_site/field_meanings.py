"""What the fields of a request mean whose schemas give only the range.

Most come from the docstrings of `SamplingParams`, which has these fields under the same names.
"""

import ast
import inspect
import re

from qstar_infer import sampling_params

AS_IN_SAMPLING_PARAMS = (
    *("n", "best_of", "top_k", "top_p", "min_p", "seed", "logit_bias"),
    *("repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("stop", "stop_token_ids", "include_stop_str_in_output", "skip_special_tokens"),
    *("min_tokens", "ignore_eos", "num_thought_tokens", "thought_temperature", "think_threshold"),
)
"""Fields that mean the same at every endpoint as in Python."""
IN_OTHER_WORDS = {
    "cache_salt": "Share cached prefixes only with requests that have the same salt.",
    "chat_template_kwargs": "`enable_thinking: false` turns thoughts off.",
    "echo": "Put the prompt before the output.",
    "max_tokens": "Most visible tokens; at `/v1/messages` with `thinking`, thought tokens too.",
    "messages": "The conversation, the oldest message first.",
    "model": "The name of the served model.",
    "priority": "A request with a lower number is served sooner.",
    "reasoning_effort": "How long thoughts are; `none` turns them off.",
    "response_format": "The form of the text: any JSON object, or one that follows a schema.",
    "return_token_ids": "Give the token ids of prompt and output too.",
    "show_thoughts": "Give the thought of each token.",
    "stop_sequences": "Texts that end the output and are not part of it.",
    "stream": "Send the answer piece by piece, as server-sent events.",
    "stream_options": "What a stream has in addition.",
    "system": "Instructions that come before the conversation.",
    "temperature": "0 takes the most likely token; the higher, the more varied.",
    "tool_choice": "Whether the model may, must, or must not call a function.",
    "tools": "Functions that the model may call.",
    "user": "Accepted without effect.",
}


def field_meanings() -> dict[str, str]:
    """A sentence or two about each field, by its name in a request."""
    docs = _docstrings_of_fields()
    same = {name: _in_words_of_http(docs[name]) for name in AS_IN_SAMPLING_PARAMS}
    return {**same, **IN_OTHER_WORDS}


def _docstrings_of_fields() -> dict[str, str]:
    tree = ast.parse(inspect.getsource(sampling_params))
    (fields,) = (
        node.body
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == "SamplingParams"
    )
    docs = {}
    for field, below in zip(fields, fields[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    docs[field.target.id] = inspect.cleandoc(text)
    return docs


def _in_words_of_http(text: str) -> str:
    first = text.partition("\n\n")[0]
    return re.sub(r"\bNone: ", "Absent: ", first.replace("; None: ", "; absent: "))
