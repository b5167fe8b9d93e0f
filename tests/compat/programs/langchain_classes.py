"""LangChain's OpenAI classes: python langchain_classes.py URL MODEL."""

import sys

from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel

URL, MODEL = sys.argv[1:3]


class Answer(BaseModel):
    """What structured output must give."""

    is_good: bool
    digit: int


def main() -> None:
    """Run all."""
    common = {"base_url": URL, "api_key": "none", "model": MODEL}
    text = OpenAI(max_tokens=6, temperature=0, **common)
    assert text.invoke("Once upon a time")
    assert "".join(text.stream("Once upon a time")) == text.invoke("Once upon a time")
    assert len(text.batch(["Once", "Twice", "Three times"])) == 3
    chat = ChatOpenAI(max_completion_tokens=64, temperature=0, **common)
    message = chat.invoke([("system", "Be kind."), ("human", "Say hello.")])
    assert message.content
    assert message.usage_metadata["output_tokens"] > 0
    parts = list(chat.stream([("system", "Be kind."), ("human", "Say hello.")]))
    assert "".join(part.content for part in parts) == message.content
    answer = ChatOpenAI(max_tokens=400, **common).with_structured_output(
        Answer, method="json_schema"
    )
    assert isinstance(answer.invoke("Say hello."), Answer)
    by_responses = ChatOpenAI(use_responses_api=True, max_tokens=400, **common)
    assert by_responses.invoke("Say hello.").text


if __name__ == "__main__":
    main()
