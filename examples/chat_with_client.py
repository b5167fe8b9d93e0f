"""Ask a running server a question with `qstar_client`: the answer as it comes, then its thoughts.

    make serve                                  # in another terminal
    python examples/chat_with_client.py [--base-url URL] [--question TEXT]

The client is a small package without torch: `pip install './clients/python[rich]'`.
"""

import argparse

import rich
from qstar_client import FinishEvent, QStarClient, TextEvent, printable
from qstar_client.terminal import thoughts_view


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", default="http://127.0.0.1:8000")
    parser.add_argument("--question", default="What is the capital of France?")
    args = parser.parse_args()

    messages = [{"role": "user", "content": args.question}]
    with QStarClient(base_url=args.base_url) as client:
        with client.chat.completions.stream(
            messages=messages, max_tokens=40, temperature=0.0, show_thoughts=True
        ) as stream:
            for event in stream.events():
                if isinstance(event, TextEvent):
                    # A terminal would obey control characters in the model's text.
                    print(printable(event.text), end="", flush=True)
                elif isinstance(event, FinishEvent):
                    print(f"\n[{event.finish_reason}]")
        answer = stream.final()  # all chunks together, as `create` returns it
    rich.print(thoughts_view(answer.choices[0]))


if __name__ == "__main__":
    main()
