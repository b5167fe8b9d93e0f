"""What a newcomer gets: the default model, the README's request, our own client."""

import json
import re
from pathlib import Path

import httpx
from qstar_client import QStarClient

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_the_readmes_request_is_answered_with_thoughts(default_server: str) -> None:
    found = re.search(r"curl .* -d '(?P<body>\{.*?\})'", README, flags=re.DOTALL)
    assert found
    body = json.loads(found["body"])
    response = httpx.post(f"{default_server}/v1/completions", json=body, timeout=120)
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    assert "Paris" in choice["text"]
    assert len(choice["thoughts"]) == body["max_tokens"]
    for thought in choice["thoughts"]:
        assert len(thought["thought_token_ids"]) == 5
        assert thought["thought"]
        assert thought["mixing_weight"] == 0  # untrained: the thoughts change nothing yet
        assert thought["logprob"] == thought["base_logprob"]


def test_thinking_does_not_change_the_untrained_models_text(default_server: str) -> None:
    with QStarClient(base_url=default_server) as client:
        texts = [
            client.completions.create(
                prompt="Two plus two is", max_tokens=6, seed=3, num_thought_tokens=length
            )
            .choices[0]
            .text
            for length in (0, 1, 5)
        ]
    assert texts[0] == texts[1] == texts[2]


def test_our_client_streams_thoughts(default_server: str) -> None:
    with QStarClient(base_url=default_server) as client:
        whole = client.completions.create(
            prompt="The sky is", max_tokens=6, temperature=0, show_thoughts=True
        )
        with client.completions.stream(
            prompt="The sky is", max_tokens=6, temperature=0, show_thoughts=True
        ) as stream:
            chunks = list(stream)
    assert "".join(c.text for chunk in chunks for c in chunk.choices) == whole.choices[0].text
    thoughts = [t for chunk in chunks for c in chunk.choices for t in c.thoughts or []]
    assert [t.token_id for t in thoughts] == [t.token_id for t in whole.choices[0].thoughts or []]
