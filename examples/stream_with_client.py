"""Stream a completion from a running server with `qstar_client`, token by token with its thought.

    make serve                                  # in another terminal
    python examples/stream_with_client.py [--base-url URL] [--prompt TEXT]

The client is a small package without torch: `pip install ./clients/python`.
"""

import argparse

from qstar_client import QStarClient, ThoughtEvent, printable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url", default="http://127.0.0.1:8000")
    parser.add_argument("--prompt", default="The sky is blue because")
    args = parser.parse_args()

    with QStarClient(base_url=args.base_url) as client:
        # Leaving the inner `with` block early would stop the generation on the server.
        with client.completions.stream(
            prompt=args.prompt, max_tokens=16, temperature=0.7, seed=1, show_thoughts=True
        ) as stream:
            for event in stream.events():
                if isinstance(event, ThoughtEvent):
                    step = event.thought
                    print(f"{step.token!r:16} {step.mixing_weight:5.2f}  {step.thought!r}")
        completion = stream.final()  # all chunks together
    # A terminal would obey control characters in the model's text.
    print(printable(args.prompt + completion.choices[0].text))
    print(completion.usage)


if __name__ == "__main__":
    main()
