"""What a front checks itself: keys, hosts, sizes, limits; and what it tells its operator."""

import json
import threading
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from qstar_server.settings.config import ServerConfig

from tests.server.fake_engine import MODEL
from tests.server.live_server import wait_until
from tests.server.replicas.fleet import SECRET, Fleet, fleet

PROMPT = {"model": MODEL, "prompt": "Say it"}
KEYS = ServerConfig(
    api_keys="first,second",
    max_requests_per_key=1,
    drain_grace_s=0.2,
    shutdown_grace_s=1,
    max_body_bytes=1_000,
)


@pytest.fixture
def closed() -> Iterator[Fleet]:
    """A fleet that asks for a key."""
    with fleet("a", "b", config=KEYS) as made:
        yield made


def post(made: Fleet, *, key: str | None = "first", **fields: object) -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return made.client.post("/v1/completions", json={**PROMPT, **fields}, headers=headers)


def test_without_a_key_only_health_answers(closed: Fleet) -> None:
    health = closed.client.get("/health")
    assert (health.status_code, health.json()) == (200, {"status": "ready"})
    assert post(closed, key=None).status_code == 401
    assert post(closed, key="third").status_code == 401
    assert closed.client.get("/metrics").status_code == 401
    assert post(closed).status_code == 200


def test_holders_of_keys_are_kept_apart_in_the_engines(closed: Fleet) -> None:
    for key in ("first", "second"):
        assert post(closed, key=key, cache_salt="s").status_code == 200
    salts = {each.cache_salt for engine in closed.engines.values() for each in engine.submitted}
    assert len(salts) == 2


def test_the_limit_of_a_key_holds_for_all_replicas_together(closed: Fleet) -> None:
    for engine in closed.engines.values():
        engine.step_s = 0.05
    slow = threading.Thread(target=post, args=[closed])
    slow.start()
    wait_until(lambda: sum(closed.served().values()) == 1)
    refused = post(closed, prompt="another")
    slow.join()
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "too_many_requests"


def test_a_large_body_reaches_no_replica(closed: Fleet) -> None:
    refused = post(closed, prompt="x" * 2_000)
    assert refused.status_code == 413
    assert not any(closed.served().values())


def test_a_foreign_host_is_refused() -> None:
    with fleet("a") as made:
        response = made.client.get("/v1/models", headers={"Host": "evil.example"})
        assert response.status_code == 403


@pytest.mark.parametrize("headers", [{}, {"x-qstar-front": "wrong"}])
def test_a_replica_answers_only_its_front(closed: Fleet, headers: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{closed.replicas['a'].port}"
    headers |= {"Authorization": "Bearer first"}
    assert httpx.get(url + "/v1/models", headers=headers).status_code == 403
    headers["x-qstar-front"] = SECRET
    assert httpx.get(url + "/v1/models", headers=headers).status_code == 200


def test_a_client_cannot_name_the_secret(closed: Fleet) -> None:
    """The front sends its own, and only that."""
    headers = {"Authorization": "Bearer first", "x-qstar-front": "wrong"}
    assert closed.client.get("/v1/models", headers=headers).status_code == 200


def test_metrics_are_those_of_all_replicas(closed: Fleet) -> None:
    for number in range(8):
        assert post(closed, prompt=f"{number}").status_code == 200
    post(closed, key=None)
    headers = {"Authorization": "Bearer first"}
    text = closed.client.get("/metrics", headers=headers).text
    families = {each.name: each for each in text_string_to_metric_families(text)}
    tokens = {
        sample.labels["replica"]: sample.value
        for sample in families["qstar:time_to_first_token_seconds"].samples
        if sample.name.endswith("_count")
    }
    assert tokens == {name: float(count) for name, count in closed.served().items()}
    requests = {
        (sample.labels["replica"], sample.labels["status"]): sample.value
        for sample in families["http_requests"].samples
    }
    assert requests.pop(("front", "401")) == 1
    assert sum(requests.values()) == 8
    assert "front" not in {replica for replica, _ in requests}


def test_the_log_has_a_line_for_each_answer_of_the_front(
    closed: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """Replicas log what they answer; one of them runs in this process too."""
    with caplog.at_level("INFO", logger="qstar_server.access"):
        post(closed, key=None)
        post(closed)
        wait_until(lambda: len(caplog.records) >= 2)
    lines = [record.getMessage() for record in caplog.records]
    assert sorted(lines) == ["POST /v1/completions 200", "POST other 401"]
    caplog.clear()
    closed.table.update([])
    with caplog.at_level("INFO", logger="qstar_server.access"):
        post(closed)
        wait_until(lambda: len(caplog.records) >= 1)
    assert caplog.records[-1].getMessage() == "POST other 503"


def test_errors_are_json(closed: Fleet) -> None:
    response = closed.client.post("/v1/chat/completions", content=b"x" * 9_000)
    assert json.loads(response.content)["error"]["code"] == "invalid_api_key"


def test_the_front_serves_the_page_itself_also_before_a_replica_is_ready(closed: Fleet) -> None:
    for _ in range(2):
        page = closed.client.get("/")
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-cache")
        assert closed.client.get("/assets/no.js").status_code == 401
        closed.table.update([])
