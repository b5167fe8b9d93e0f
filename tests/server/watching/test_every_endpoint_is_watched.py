"""Each generating endpoint is counted and logged, whichever JSON it speaks."""

import logging

import httpx
import pytest

from tests.server.fake_engine import MODEL, FakeEngine
from tests.server.scrape import scrape

MESSAGES = [{"role": "user", "content": "A"}]
BODIES = {
    "/v1/completions": {"prompt": "A", "max_tokens": 4},
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 4},
    "/v1/responses": {"input": "A", "max_output_tokens": 16},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 4},
}


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize("path", BODIES)
async def test_its_tokens_are_counted_and_logged(
    client: httpx.AsyncClient,
    engine: FakeEngine,
    caplog: pytest.LogCaptureFixture,
    path: str,
    is_stream: bool,
) -> None:
    caplog.set_level(logging.INFO)
    request = {"model": MODEL, "stream": is_stream} | BODIES[path]
    response = await client.post(path, json=request)
    assert response.status_code == 200, response.text
    (line,) = [
        record
        for record in caplog.records
        if record.name == "qstar_server.access" and path in record.getMessage()
    ]
    num_prompt_tokens = len(engine.submitted[0].prompt_token_ids)
    fields = vars(line)["fields"]
    assert line.getMessage() == f"POST {path} 200"
    assert fields["prompt_tokens"] == num_prompt_tokens
    assert fields["tokens"] > 0
    assert f'"{fields["response_id"]}"' in response.text
    found = await scrape(client)
    assert found.value("qstar:prompt_tokens_total") == num_prompt_tokens
    assert found.value("qstar:request_generation_tokens_sum") == fields["tokens"]
    assert found.value("http_requests_total", handler=path, status="200") == 1


@pytest.mark.parametrize("path", BODIES)
async def test_its_refusals_are_counted_and_logged(
    client: httpx.AsyncClient, engine: FakeEngine, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caplog.set_level(logging.INFO)
    engine.is_full = True
    response = await client.post(path, json={"model": MODEL} | BODIES[path])
    assert response.status_code == 429
    found = await scrape(client)
    assert found.by_label("qstar:admission_rejections_total", "reason") == {"queue_full": 1}
    lines = [each for each in caplog.records if each.getMessage() == f"POST {path} 429"]
    assert [vars(each)["fields"]["error"] for each in lines] == ["queue_full"]
