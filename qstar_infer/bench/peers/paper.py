"""The paper's way to decode: the whole prefix again for every thought token, without a cache.

Written from the definition (paper, sections 4.1 to 4.3), with the modules of transformers only. It
is kind to the paper: the output embedding is computed for the last row alone, and one pass gives
both the state at the anchor and the first thought token.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from qstar_infer.bench.measure import Prompts
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thinking import mix, thinks_at
from qstar_infer.thinking_rule import ThinkingPlaces


@dataclass(slots=True, kw_only=True)
class PaperDecoder:
    """Greedy decoding with greedy thoughts."""

    model: QuietStarModel
    """From `load_stock`."""
    num_tokens: int

    def __call__(self, prompts: Prompts) -> list[list[int]]:
        return [self._decode(prompt) for prompt in prompts]

    @torch.inference_mode()
    def _decode(self, prompt: list[int]) -> list[int]:
        places = self.model.resolve_thinking()
        text = list(prompt)
        for _ in range(self.num_tokens):
            text.append(self._next_token(text, places))
        return text[len(prompt) :]

    def _next_token(self, text: list[int], places: ThinkingPlaces) -> int:
        model = self.model
        parts = model.thinking_parts
        ids = torch.tensor([text], device=model.device)
        fed = torch.cat([model.embed(ids), model.as_embedding(parts.start_thought)[None, None]], 1)
        states = self._states(fed)
        hidden_base = states[:, -2:-1]
        logits = model.logits(hidden_base)
        if bool(thinks_at(model, places, ids[:, -1:], hidden_base)):
            for index in range(model.num_thought_tokens):
                if index > 0:
                    states = self._states(fed)
                fed = torch.cat([fed, model.embed(self._pick(states))], 1)
            end = model.as_embedding(parts.end_thought)[None, None]
            hidden_thought = self._states(torch.cat([fed, end], 1))[:, -1:]
            logits, _ = mix(model, hidden_base, logits, hidden_thought)
        return int(model.mask_delimiters(logits).argmax())

    def _pick(self, states: Tensor) -> Tensor:
        """The likeliest thought token, `[1, 1]`."""
        return self.model.mask_delimiters(self.model.logits(states[:, -1:])).argmax(-1)

    def _states(self, embeddings: Tensor) -> Tensor:
        """Last-layer states of `[1, seq, hidden]`, from scratch."""
        output = self.model.backbone.base_model(inputs_embeds=embeddings, use_cache=False)
        states: Tensor = output.last_hidden_state
        return states
