"""Ask a running server for a completion and its thoughts with the official `openai` package.

    pip install openai
    make serve                                  # in another terminal
    python examples/openai_package.py [--base-url URL] [--prompt TEXT]

Fields that OpenAI's API does not have go into `extra_body`, and come back in `model_extra`.
"""

import argparse

import openai


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", default="http://127.0.0.1:8000")
    parser.add_argument("--prompt", default="The capital of France is")
    args = parser.parse_args()

    with openai.OpenAI(base_url=f"{args.base_url}/v1", api_key="not needed") as client:
        model = client.models.list().data[0].id
        completion = client.completions.create(
            model=model,
            prompt=args.prompt,
            max_tokens=8,
            temperature=0,
            extra_body={"show_thoughts": True},
        )
    choice = completion.choices[0]
    print(args.prompt + choice.text)
    for step in (choice.model_extra or {})["thoughts"]:
        print(f"{step['token']!r:16} {step['mixing_weight']:5.2f}  {step['thought']!r}")
    print(completion.usage)


if __name__ == "__main__":
    main()
