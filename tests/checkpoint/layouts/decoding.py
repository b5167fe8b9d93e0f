"""The decoding rule of the family, in ten lines: everything computed anew at each position."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from .makers.common import END_ID, START_ID

Share = Callable[[Tensor, Tensor], Tensor]
"""`[hidden]` of base and thought to the share of the thought."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How a checkpoint decodes, with transformers' own forward pass."""

    backbone: PreTrainedModel
    start: Tensor
    end: Tensor
    num_thought_tokens: int
    share: Share

    def state(self, fed: Tensor) -> Tensor:
        """Last state of embeddings `[length, hidden]`."""
        last: Tensor = self.backbone.base_model(inputs_embeds=fed[None]).last_hidden_state[0, -1]
        return last

    def masked_logits(self, state: Tensor) -> Tensor:
        logits: Tensor = self.backbone.get_output_embeddings()(state).clone()
        logits[[START_ID, END_ID]] = float("-inf")
        return logits

    @torch.no_grad()
    def decide(self, ids: list[int]) -> tuple[Tensor, list[int], float]:
        """The mixed logits after a prefix, the greedy thought, and its share."""
        embed = self.backbone.get_input_embeddings()
        fed = embed(torch.tensor(ids))
        base = self.state(fed)
        fed = torch.cat([fed, self.start[None]])
        thought: list[int] = []
        for _ in range(self.num_thought_tokens):
            thought.append(int(self.masked_logits(self.state(fed)).argmax()))
            fed = torch.cat([fed, embed(torch.tensor(thought[-1:]))])
        end = self.state(torch.cat([fed, self.end[None]]))
        share = self.share(base, end)
        return self.masked_logits((1 - share) * base + share * end), thought, float(share)

    def complete(self, ids: list[int], num_tokens: int) -> list[int]:
        """Greedy decoding."""
        tokens = list(ids)
        for _ in range(num_tokens):
            tokens.append(int(self.decide(tokens)[0].argmax()))
        return tokens[len(ids) :]
