"""`transformers` itself: `generate`, padded batches, continuous batching and plain forward."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from transformers import GenerationConfig

from qstar_infer.bench.measure import Prompts
from qstar_infer.checkpoint import load_from_args
from qstar_infer.engine_args import EngineArgs
from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel

DTYPES = ("float32", "bfloat16")
"""Which of them is faster depends on the CPU and on the number of rows."""

_PAGE = 256
"""Tokens per page of its continuous batching; its default."""


def load_stock(args: EngineArgs, dtype: str) -> QuietStarModel:
    """A copy of the model whose backbone has the attention of transformers.

    The engine of `args` may be another runner or quantised; this copy never is.

    Raises:
        CheckpointError, ConfigError: the model cannot be loaded.
    """
    plain = {"dtype": dtype, "quantization": "none", "runner": "torch"}
    model = load_from_args(EngineArgs.of(**args.settings() | plain))
    model.backbone.set_attn_implementation("sdpa")
    if model.backbone.generation_config is not None:
        model.backbone.generation_config.eos_token_id = None
    return model


@dataclass(slots=True)
class StockGenerate:
    """`generate` with its own cache; prompts of different lengths are padded on the left."""

    model: QuietStarModel
    num_tokens: int

    def __call__(self, prompts: Prompts) -> list[list[int]]:
        ids, mask = padded(prompts, device=self.model.device)
        generate = cast(Any, self.model.backbone).generate
        with torch.inference_mode():
            output = generate(ids, attention_mask=mask, generation_config=greedy(self.num_tokens))
        new_ids: list[list[int]] = output[:, ids.shape[1] :].tolist()
        assert all(len(each) == self.num_tokens for each in new_ids), "generate stopped early"
        return new_ids


@dataclass(slots=True)
class StockContinuousBatching:
    """Continuous batching of transformers. Keeps its manager, so that only work is timed."""

    model: QuietStarModel
    num_tokens: int
    _manager: Any = None

    def __call__(self, prompts: Prompts) -> list[list[int]]:
        """Decode each prompt. The first call fixes the size of the cache.

        Raises:
            ConfigError: it cannot run here; the message has its reason.
        """
        if self._manager is None:
            self._manager = self._start(prompts)
        inputs = [list(prompt) for prompt in prompts]
        request_ids = self._manager.add_requests(inputs, max_new_tokens=self.num_tokens)
        found: dict[str, list[int]] = {}
        while len(found) < len(prompts):
            result = self._manager.get_result(timeout=1)
            if result is None and not self._manager.is_running():
                raise ConfigError("continuous batching of transformers stopped without a reason")
            if result is None or not result.is_finished():
                continue
            if result.error is not None:
                raise ConfigError(f"continuous batching of transformers failed: {result.error}")
            found[result.request_id] = list(result.generated_tokens)
        assert {len(ids) for ids in found.values()} == {self.num_tokens}, "it stopped early"
        return [found[request_id] for request_id in request_ids]

    def close(self) -> None:
        """Stop its thread and free its cache."""
        if self._manager is not None:
            self._manager.stop(block=True)
            self._manager.destroy()
            self._manager = None
            self.model.backbone.set_attn_implementation("sdpa")

    def _start(self, prompts: Prompts) -> Any:
        config = greedy(self.num_tokens)
        config.eos_token_id = -1  # what its documentation calls disabled
        begin = cast(Any, self.model.backbone).init_continuous_batching
        try:
            with torch.inference_mode():
                manager = begin(config, _batching_config(prompts, self.num_tokens))
                manager.start()
        except (RuntimeError, ValueError, NotImplementedError) as error:
            raise ConfigError(
                f"continuous batching of transformers cannot start: {error}"
            ) from None
        return manager


@dataclass(slots=True)
class StockCache:
    """`generate` at a long context whose keys and values exist already."""

    model: QuietStarModel
    num_tokens: int
    _prompt: list[int] = field(default_factory=list)
    _cache: Any = None

    def prefill(self, prompt: Sequence[int]) -> None:
        """Compute the cache of all but the last token."""
        self._prompt = list(prompt)
        ids = torch.tensor([self._prompt[:-1]], device=self.model.device)
        with torch.inference_mode():
            output = cast(Any, self.model.backbone)(ids, use_cache=True, logits_to_keep=1)
        self._cache = output.past_key_values

    def __call__(self, prompts: Prompts) -> list[list[int]]:
        """Decode behind the prompt of `prefill`."""
        assert list(prompts) == [self._prompt], "another prompt was prefilled"
        ids, mask = padded(prompts, device=self.model.device)
        generate = cast(Any, self.model.backbone).generate
        with torch.inference_mode():
            output = generate(
                ids,
                attention_mask=mask,
                cache=self._cache,
                generation_config=greedy(self.num_tokens),
            )
        num_new = self._cache.get_seq_length() - (len(self._prompt) - 1)
        self._cache.crop(-num_new)
        new_ids: list[list[int]] = output[:, ids.shape[1] :].tolist()
        return new_ids


@dataclass(slots=True)
class StockForward:
    """One forward pass over a prompt."""

    model: QuietStarModel
    has_all_logits: bool = False
    """Whether the logits of all tokens are computed, or only those of the last."""

    def __call__(self, prompts: Prompts) -> None:
        """Compute the pass."""
        ids, mask = padded(prompts, device=self.model.device)
        num_logits = 0 if self.has_all_logits else 1  # 0: all
        with torch.inference_mode():
            cast(Any, self.model.backbone)(ids, attention_mask=mask, logits_to_keep=num_logits)


def greedy(num_tokens: int) -> GenerationConfig:
    """Greedy decoding of exactly this many tokens."""
    # Without an end-of-sequence id it never stops early; min_new_tokens would cost time.
    return cast(
        GenerationConfig,
        cast(Any, GenerationConfig)(
            do_sample=False, max_new_tokens=num_tokens, eos_token_id=None, pad_token_id=0
        ),
    )


def padded(prompts: Prompts, *, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, `[batch, seq]` int64, padded on the left."""
    longest = max(map(len, prompts))
    gaps = [longest - len(prompt) for prompt in prompts]
    ids = [[0] * gap + list(prompt) for gap, prompt in zip(gaps, prompts, strict=True)]
    mask = [[0] * gap + [1] * (longest - gap) for gap in gaps]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _batching_config(prompts: Prompts, num_tokens: int) -> Any:
    """Room for exactly this work: by default it would take most of the machine's memory."""
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    pages = sum(-(-(len(prompt) + num_tokens) // _PAGE) + 1 for prompt in prompts)
    return cast(Any, ContinuousBatchingConfig)(
        page_size=_PAGE,
        num_blocks=pages,
        max_batch_tokens=max(_PAGE, sum(map(len, prompts))),
        allow_block_sharing=False,
    )
