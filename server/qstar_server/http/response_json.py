"""Response types as JSON, the same for every endpoint. Fields that are not set are left out."""

from pydantic import BaseModel


def to_json(model: BaseModel) -> str:
    """JSON in ASCII, because some clients break lines at Unicode separators."""
    return model.model_dump_json(exclude_unset=True, ensure_ascii=True)


def to_large_json(response: BaseModel) -> bytes:
    """The same JSON for a response of any size with `choices`. Call it outside the event loop.

    Choices are serialised one by one: a single call blocks all other threads while it runs, which
    takes a second for a hundred echoed prompts with log-probabilities.
    """
    choices: list[BaseModel] = response.choices  # type: ignore[attr-defined]
    without = response.model_copy(update={"choices": []})
    # Occurs only once: inside a JSON string the quotes would be escaped.
    head, tail = to_json(without).split('"choices":[]')
    parts = [to_json(choice).encode() for choice in choices]
    return b'%b"choices":[%b]%b' % (head.encode(), b",".join(parts), tail.encode())
