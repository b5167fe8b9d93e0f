"""Reads `GET /metrics` with the parser of the Prometheus client."""

from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in self.families.values():
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self._samples, f"{key} is there twice"
                self._samples[key] = sample.value

    def value(self, name: str, **labels: str) -> float:
        """The only sample of this name with these labels, whatever its other labels."""
        found = [
            value
            for (sample_name, sample_labels), value in self._samples.items()
            if sample_name == name and set(labels.items()) <= sample_labels
        ]
        assert len(found) == 1, f"{name} {labels}: {found}"
        return found[0]

    def by_label(self, name: str, label: str) -> Mapping[str, float]:
        """The values of a sample's name by one of its labels, without zeros."""
        return {
            dict(labels)[label]: value
            for (sample_name, labels), value in self._samples.items()
            if sample_name == name and value
        }


async def scrape(client: httpx.AsyncClient) -> Scrape:
    response = await client.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=")
    return Scrape(response.text)
