"""What a server with the toy model exposes at `/metrics` after requests of all outcomes."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from qstar_server.app import create_app
from qstar_server.replicas.metrics import merged_exposition
from qstar_server.settings.config import ServerConfig

from qstar_infer.engine.protocol import Engine
from tests.server.in_process import client_of, serving
from tests.server.real_engine import create_real_engine
from tests.server.wire import body, stream

TARGET_LABELS = {"job": "qstar", "instance": "qstar:8000"}
"""Labels that Prometheus gives to each sample of a target."""


@dataclass(frozen=True)
class StoredSample:
    """A sample as Prometheus stores it.

    Attributes:
        kind: type of its family: gauge, counter or histogram.
    """

    name: str
    kind: str
    labels: Mapping[str, str]


def stored_samples(directory: Path) -> list[StoredSample]:
    """All samples, and the one that Prometheus adds.

    Args:
        directory: where the toy model is saved; must not exist.
    """
    engine = create_real_engine(directory)
    try:
        texts = asyncio.run(_scrapes(engine))
    finally:
        engine.close()
    merged = merged_exposition({f"{number}": text for number, text in enumerate(texts)})
    texts.append(merged.decode())  # those of a server with replicas
    return [StoredSample("up", "gauge", TARGET_LABELS)] + [
        StoredSample(sample.name, family.type, sample.labels | TARGET_LABELS)
        for text in texts
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


async def _scrapes(engine: Engine) -> list[str]:
    async with client_of(create_app(lambda: engine, ServerConfig())) as client:
        assert (await client.post("/v1/completions", json=body())).status_code == 503
        not_loaded = (await client.get("/metrics")).text
    async with serving(engine, ServerConfig(request_timeout_s=1e-6)) as client:
        assert (await client.post("/v1/completions", json=body())).status_code == 504
        timed_out = (await client.get("/metrics")).text
    async with serving(engine, ServerConfig()) as client:
        await _requests(client)
        return [not_loaded, timed_out, (await client.get("/metrics")).text]


async def _requests(client: httpx.AsyncClient) -> None:
    await stream(client, max_tokens=8, ignore_eos=True)
    assert (await client.post("/v1/completions", json=body(n=-1))).status_code == 400
