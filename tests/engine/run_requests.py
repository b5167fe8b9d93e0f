"""Runs requests through an engine, step by step."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from qstar_infer.config import EngineConfig
from qstar_infer.engine.build_runner import AnyModel
from qstar_infer.engine.failure import RequestFailure
from qstar_infer.engine.llm_engine import LLMEngine
from qstar_infer.engine.protocol import EngineRequest
from qstar_infer.errors import RequestFailedError
from qstar_infer.sampling_params import SamplingParams

Texts = dict[tuple[str, int], list[int]]


def request(name: str, length: int = 3, **fields: object) -> EngineRequest:
    """A request for 5 tokens after the prompt 1, 2, ... `length`."""
    settings: dict[str, Any] = {"max_tokens": 5, "seed": length, "ignore_eos": True, **fields}
    return EngineRequest(
        request_id=name,
        prompt_token_ids=list(range(1, length + 1)),
        params=SamplingParams(**settings),
    )


@dataclass
class Outcome:
    """What became of some requests."""

    texts: Texts = field(default_factory=dict)
    """Token ids so far, by name and completion, of requests that failed as well."""
    errors: dict[str, RequestFailedError] = field(default_factory=dict)
    """By name, of the requests that failed."""

    @property
    def finished(self) -> Texts:
        """The texts of the requests that did not fail."""
        return {key: text for key, text in self.texts.items() if key[0] not in self.errors}


def run_requests(model: AnyModel, requests: Iterable[EngineRequest], **config: Any) -> Outcome:
    """Run requests to their ends, and check that all blocks and lanes are free again."""
    engine = LLMEngine(model, EngineConfig(**config))
    for one in requests:
        engine.add_request(engine.admission.admit(one))
    outcome = Outcome()
    while engine.has_work:
        for news in engine.step():
            if isinstance(news, RequestFailure):
                assert news.request_id not in outcome.errors, "a request failed twice"
                outcome.errors[news.request_id] = news.error
                continue
            for output in news.outputs:
                text = outcome.texts.setdefault((news.request_id, output.index), [])
                text.extend(output.token_ids)
    engine.check_idle()
    return outcome
