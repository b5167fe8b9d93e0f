"""A backbone, its tokenizer and its thought parts, as one model."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from qstar_infer.attention.interface import AttentionState, install_attention
from qstar_infer.errors import RequestError
from qstar_infer.model.backbone_facts import backbone_name, size_and_precision
from qstar_infer.model.batch_checks import check_batch
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.thinking import ThoughtTrace, think_at
from qstar_infer.model.thought_parts import ThoughtParts
from qstar_infer.sampling_params import (
    MAX_INTEGER,
    MAX_SEED,
    checked_float,
    checked_int,
    normalised_temperature,
)
from qstar_infer.thinking_rule import ThinkingPlaces, ThinkingRule, read_rule, resolve_rule

MAX_TEMPERATURE = torch.finfo(torch.float32).max
"""The highest `temperature` of `think`, which is held in float32."""


def check_attention(backbone: PreTrainedModel) -> None:
    """Check that the attention of a backbone can be ours; a `QuietStarModel` checks it too.

    Raises:
        CheckpointError: it cannot.
    """
    install_attention(backbone)


def num_positions(backbone: PreTrainedModel) -> int | None:
    """Rows of a learned position table; None for rotary positions."""
    if hasattr(backbone.base_model, "rotary_emb"):
        return None
    return int(backbone.config.get_text_config().max_position_embeddings)


class QuietStarModel(nn.Module):
    """What `load_model` returns, in eval mode.

    Attributes:
        backbone: a stock causal language model whose attention is ours.
        tokenizer: its tokenizer.
        thought_parts: None for a model that cannot think.
        config: None for a model that cannot think.
        layer_shapes: what each attention layer stores for a token.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        thought_parts: ThoughtParts | None = None,
        config: QuietStarConfig | None = None,
    ) -> None:
        super().__init__()
        assert (thought_parts is None) == (config is None)
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.thought_parts = thought_parts
        self.config = config
        self.layer_shapes = install_attention(backbone)

    @property
    def can_think(self) -> bool:
        return self.thought_parts is not None

    @property
    def num_thought_tokens(self) -> int:
        """Thought length as trained; 0 for a model that cannot think."""
        return 0 if self.config is None else self.config.num_thought_tokens

    @property
    def has_gate(self) -> bool:
        """Whether a gate can decide where it thinks."""
        return self.thought_parts is not None and self.thought_parts.gate is not None

    @property
    def delimiter_ids(self) -> tuple[int, ...]:
        return () if self.config is None else self.config.delimiter_ids

    @property
    def thinking_parts(self) -> ThoughtParts:
        """The thought parts of a model that can think."""
        assert self.thought_parts is not None, "asked for the thought parts of a plain model"
        return self.thought_parts

    @property
    def hidden_size(self) -> int:
        return int(self.backbone.config.get_text_config().hidden_size)

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding; may exceed the tokenizer's vocabulary."""
        embedding = self.backbone.get_input_embeddings()
        assert isinstance(embedding, nn.Embedding)
        return embedding.num_embeddings

    @property
    def num_positions(self) -> int | None:
        """Rows of a learned position table; None for rotary positions."""
        return num_positions(self.backbone)

    @property
    def is_sharded(self) -> bool:
        """Whether this is one rank's shard of a model, whose passes all ranks compute together."""
        return (self.backbone.tp_size or 1) > 1

    @property
    def backbone_config(self) -> PreTrainedConfig:
        return self.backbone.config

    @property
    def generation_config(self) -> GenerationConfig | None:
        return self.backbone.generation_config

    @property
    def name(self) -> str:
        """The name of the source it was loaded from. The default name of a served model."""
        return backbone_name(self.backbone)

    @property
    def size_and_precision(self) -> str:
        """Number of parameters and dtype, for a person."""
        return size_and_precision(self.backbone)

    @property
    def dtype(self) -> torch.dtype:
        return self.backbone.dtype

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    def embed(self, token_ids: Tensor) -> Tensor:
        """Embedding rows: `[...]` int64 to `[..., hidden]` in the model's dtype."""
        rows: Tensor = self.backbone.get_input_embeddings()(token_ids)
        return rows

    def as_embedding(self, vector: Tensor) -> Tensor:
        """A thought vector in the dtype it is fed in."""
        return vector.to(self.dtype)

    def hidden(self, embeddings: Tensor, positions: Tensor, attention: AttentionState) -> Tensor:
        """Last-layer states (after the final norm) of one pass.

        Args:
            embeddings: `[batch, rows, hidden]`.
            positions: `[batch, rows]`, int64.
            attention: decides what each row sees, and stores keys and values.

        Returns:
            `[batch, rows, hidden]` in the model's dtype.
        """
        output = self.backbone.base_model(
            inputs_embeds=embeddings,
            position_ids=positions,
            use_cache=False,
            attention_state=attention,
        )
        states: Tensor = output.last_hidden_state
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """`lm_head(hidden)`: `[..., hidden]` to `[..., vocab]`, float32."""
        output: Tensor = self.backbone.lm_head(hidden)
        return output.float()

    def mask_delimiters(self, logits: Tensor) -> Tensor:
        """The same logits with the delimiters at minus infinity; a copy if there are delimiters."""
        if not self.delimiter_ids:
            return logits
        masked = logits.clone()
        masked[..., list(self.delimiter_ids)] = float("-inf")
        return masked

    def check_batch(
        self, input_ids: Tensor, attention_mask: Tensor | None, num_thought_tokens: int
    ) -> Tensor:
        """Check a batch and a thought length; return the attention mask, `[batch, seq]` bool.

        Args:
            input_ids, attention_mask: as for `think`.

        Raises:
            RequestError: the batch is malformed or too long, or the model cannot think.
        """
        is_real = check_batch(
            input_ids, attention_mask, vocab_size=self.vocab_size, delimiter_ids=self.delimiter_ids
        )
        checked_int("num_thought_tokens", num_thought_tokens, 0, MAX_INTEGER)
        if num_thought_tokens > 0 and not self.can_think:
            raise RequestError(
                f"num_thought_tokens={num_thought_tokens} is not possible here: the model has no "
                "thought parts. Leave it out or give 0",
                param="num_thought_tokens",
            )
        seq = input_ids.shape[1]
        last_position = seq - 1 + (num_thought_tokens + 2 if num_thought_tokens else 0)
        if self.num_positions is not None and last_position >= self.num_positions:
            raise RequestError(
                f"{seq} tokens with thoughts of {num_thought_tokens} reach position "
                f"{last_position}; this model has {self.num_positions}",
                param="input_ids",
            )
        return is_real

    def resolve_thinking(
        self, thinking: ThinkingRule | Mapping[str, Any] | None = None
    ) -> ThinkingPlaces:
        """Where this model thinks.

        Args:
            thinking: a rule that replaces the checkpoint's; None: the checkpoint's.

        Raises:
            RequestError: it is no rule, it names a token or a gate that the model does not have, or
                the model cannot think.
        """
        if thinking is None:
            if self.config is None:
                return ThinkingPlaces()
            thinking = self.config.thinking
        elif not self.can_think:
            raise RequestError(
                "thinking is not possible here: the model has no thought parts. Leave it out",
                param="thinking",
            )
        try:
            rule = read_rule(thinking)
            # The tokenizer builds this anew each time.
            vocabulary = self.tokenizer.get_vocab() if rule.tokens else {}
            return resolve_rule(
                rule,
                id_of=vocabulary.get,
                vocab_size=self.vocab_size,
                has_gate=self.has_gate,
            )
        except ValueError as error:
            raise RequestError(f"thinking cannot be followed: {error}", param="thinking") from None

    @torch.no_grad()
    def think(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        num_thought_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        thinking: ThinkingRule | Mapping[str, Any] | None = None,
    ) -> ThoughtTrace:
        """Think at each position of a batch: the thought at `a` helps predict token `a + 1`.

        Where the rule says no, the base logits decide.

        A number that is NaN or infinite stays in the tensors for you to see; nothing is raised. It
        may spread to every position of its row of the batch, also to earlier ones.

        Args:
            input_ids: `[batch, seq]`, int64, right padded.
            attention_mask: `[batch, seq]`, 0 where a token is padding. None: no padding.
            num_thought_tokens: sampled tokens per thought. None: as trained. 0: no thoughts.
            temperature: of the thought's tokens; 0, or less than 1e-6, is greedy.
            seed: of the sampling noise.
            thinking: at which tokens to think. None: as the checkpoint says.

        Raises:
            RequestError: the batch is malformed or too long, a setting is out of range, or the
                model cannot think, or not so.
        """
        length = self.num_thought_tokens if num_thought_tokens is None else num_thought_tokens
        is_real = self.check_batch(input_ids, attention_mask, length)
        temperature = normalised_temperature(
            checked_float("temperature", temperature, 0.0, MAX_TEMPERATURE)
        )
        seed = checked_int("seed", seed, -MAX_SEED - 1, MAX_SEED)
        places = self.resolve_thinking(thinking)
        return think_at(
            self,
            input_ids.to(self.device),
            attention_mask=is_real.to(self.device),
            num_thought_tokens=int(length),
            temperature=temperature,
            seed=seed,
            places=places,
        )
