"""litellm: python litellm_calls.py URL MODEL."""

import sys

import litellm

URL, MODEL = sys.argv[1:3]
MESSAGES = [{"role": "user", "content": "Say hello."}]


def main() -> None:
    """Run all."""
    common = {"api_base": URL, "api_key": "none"}
    chat = {"model": f"openai/{MODEL}", "messages": MESSAGES, "max_tokens": 32, "temperature": 0}
    whole = litellm.completion(**chat, **common)
    assert whole.choices[0].message.content
    chunks = list(litellm.completion(**chat, **common, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    reasoned = litellm.completion(**chat, **common, extra_body={"include_reasoning": True})
    assert reasoned.choices[0].message.reasoning_content
    plain = litellm.text_completion(
        model=f"text-completion-openai/{MODEL}", prompt="Once", max_tokens=4, **common
    )
    assert plain.choices[0].text
    response = litellm.responses(model=f"openai/{MODEL}", input="Say hello.", **common)
    assert response.output


if __name__ == "__main__":
    main()
