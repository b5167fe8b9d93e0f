"""The texts of generating requests in the log. Only for operators who ask for them."""

import logging
from collections.abc import Sequence

from qstar_infer.engine.protocol import AdmittedRequest, Engine
from qstar_infer.outputs import RequestOutput
from qstar_server.watching.logging_setup import fields

logger = logging.getLogger("qstar_server.texts")

MAX_CHARS = 2000
"""Of each text; the rest is left out."""


class TextLog:
    """Gathers the texts of one job, and writes a line for each completion."""

    def __init__(self, engine: Engine, requests: Sequence[AdmittedRequest]) -> None:
        self._engine = engine
        self._prompts = {
            each.request.request_id: each.request.prompt_token_ids for each in requests
        }
        self._texts: dict[tuple[str, int], list[str]] = {
            (each.request.request_id, index): ["", ""]
            for each in requests
            for index in range(each.request.params.num_candidates)
        }
        """By prompt and completion: output and thoughts up to now."""

    def observe(self, delta: RequestOutput) -> None:
        """Add one delta."""
        for output in delta.outputs:
            texts = self._texts[delta.request_id, output.index]
            thoughts = "".join(f"[{each.thought}]{each.token}" for each in output.thoughts)
            for place, addition in enumerate((output.text, thoughts)):
                texts[place] = (texts[place] + addition)[:MAX_CHARS]

    def write(self) -> None:
        """Write the lines. Thoughts are there if the request asked to see them."""
        for (request_id, index), (output, thoughts) in self._texts.items():
            prompt = self._engine.decode(
                self._prompts[request_id][:MAX_CHARS], skip_special_tokens=False
            )
            extra = fields(
                prompt=prompt[:MAX_CHARS], output=output, thoughts=thoughts if thoughts else None
            )
            logger.info("%s completion %d", request_id, index, extra=extra)
