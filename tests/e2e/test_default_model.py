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
    body = json.loads(found["body"]) | {"logprobs": 2}
    response = httpx.post(f"{default_server}/v1/completions", json=body, timeout=120)
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    # " the" and " Paris" share the first place (0.22 and 0.21); which wins depends on rounding.
    assert set(choice["logprobs"]["top_logprobs"][0]) == {" the", " Paris"}
    assert choice["text"] == "".join(thought["token"] for thought in choice["thoughts"])
    assert len(choice["thoughts"]) == response.json()["usage"]["completion_tokens"]
    for thought in choice["thoughts"]:
        assert len(thought["thought_token_ids"]) == 4
        assert thought["thought"]
    assert any(one["logprob"] != one["base_logprob"] for one in choice["thoughts"])
    assert len({thought["mixing_weight"] for thought in choice["thoughts"]}) > 1


def test_thoughts_of_the_default_model_change_its_predictions(default_server: str) -> None:
    """By their words: other noise for the thoughts alone, another prediction."""
    with QStarClient(base_url=default_server) as client:
        first = [
            (
                client.completions.create(
                    prompt="Monday, Tuesday, Wednesday,",  # Thursday: 0.5, twice the next
                    max_tokens=1,
                    temperature=0,
                    seed=seed,
                    num_thought_tokens=length,
                    thought_temperature=temperature,
                    show_thoughts=True,
                ).choices[0]
            ).thoughts
            for seed, length, temperature in ((1, 4, 1.0), (2, 4, 1.0), (1, 0, None))
        ]
    one, other, without = (thoughts[0] for thoughts in first if thoughts)
    assert one.base_logprob == other.base_logprob
    assert one.thought != other.thought
    assert one.mixing_weight != other.mixing_weight
    assert without.mixing_weight == 0
    assert without.logprob == without.base_logprob


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
