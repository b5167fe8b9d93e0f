"""Quiet-STaR as a training method: think at every position, reinforce what helps."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling.noise import row_keys
from qstar_train.config import ObjectiveConfig, TrainConfig
from qstar_train.data.windows import WindowStream
from qstar_train.fingerprint import fingerprint_of
from qstar_train.objective.chunked_logits import base_losses
from qstar_train.objective.losses import mean_counted
from qstar_train.objective.objective import Objective, evaluate_objective
from qstar_train.sampling import partly_true_thoughts, sampled_thoughts
from qstar_train.trainer.method import ThoughtSample
from qstar_train.trainer.schedule import BatchPlan, micro_batches, thought_length, true_share

NUM_SAMPLES = 3
CONTEXT_TOKENS = 16
METRICS = (
    "total_loss",
    "base_loss",
    "mixed_loss",
    "talk_loss",
    "thought_loss",
    "policy_loss",
    "reward",
    "mixing_weight",
    "thought_loglikelihood",
    "thought_entropy",
    "foresight_loss",
    "teacher_divergence",
)
"""Scalars of every step, means over the windows that are thought about."""


class QuietStar:
    """Implements `TrainingMethod`.

    Args:
        config: of the run.
        model: what learns, from `model_to_train`.
        teacher: the model that the base prediction is kept close to.
        stream: the training text.
        plan: which windows this process trains on.
    """

    metric_names: tuple[str, ...] = METRICS

    def __init__(
        self,
        config: TrainConfig,
        model: QuietStarModel,
        *,
        teacher: QuietStarModel | None,
        stream: WindowStream,
        plan: BatchPlan,
    ) -> None:
        self._config = config
        self._device = model.device
        self._tokenizer = model.tokenizer
        self._stream = stream
        self._plan = plan
        self.num_rounds = plan.num_rounds
        self.module: nn.Module = ObjectiveModule(model, config.objective, teacher)

    def batches(self, first_step: int) -> Iterator[dict[str, Any]]:
        """See `TrainingMethod`."""
        # Locals, because a generator that held `self` would keep the module alive.
        config, plan, device = self._config, self._plan, self._device

        def arguments(number: int, input_ids: Tensor, indices: Tensor) -> dict[str, Any]:
            step, seed = first_step + number // plan.num_rounds, config.seed
            return {
                "input_ids": input_ids.to(device),
                "window_indices": indices.to(device),
                "seed": seed,
                "num_thought_tokens": thought_length(step, config.thought_lengths, seed=seed),
                "true_share": true_share(
                    step, config.true_thought_share, config.true_thought_steps
                ),
            }

        windows = micro_batches(self._stream, plan, first_step=first_step)
        return (arguments(number, *window) for number, window in enumerate(windows))

    def inputs(self) -> dict[str, str]:
        """See `TrainingMethod`."""
        config = self._config
        named = {
            "model": config.model,
            "teacher": None if config.trains_without_thoughts else config.teacher,
        }
        models = {name: fingerprint_of(source) for name, source in named.items() if source}
        return models | self._stream.digests()

    def state(self) -> dict[str, Tensor]:
        """Nothing: noise and windows are functions of the seed and the step."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See `state`."""

    def describe(self, metrics: dict[str, float]) -> str:
        """See `TrainingMethod`."""
        return (
            f"loss {metrics['mixed_loss']:.3f} base {metrics['base_loss']:.3f} "
            f"reward {metrics['reward']:+.3f} weight {metrics['mixing_weight']:.3f}"
        )

    def samples(
        self, batch: dict[str, Any], output: dict[str, Tensor], step: int
    ) -> list[ThoughtSample]:
        """Thoughts of the first window, at positions drawn by the step."""
        if "thought_ids" not in output:
            return []
        input_ids = batch["input_ids"][0]
        generator = torch.Generator().manual_seed(step)
        places = torch.randperm(len(input_ids) - 1, generator=generator)[:NUM_SAMPLES]

        def text(ids: Tensor) -> str:
            return str(self._tokenizer.decode(ids.tolist()))

        return [
            ThoughtSample(
                context=text(input_ids[max(0, place - CONTEXT_TOKENS + 1) : place + 1]),
                thought=text(output["thought_ids"][place]),
                next_token=text(input_ids[place + 1 : place + 2]),
                gain=round(float(output["gains"][place]), 4),
                mixing_weight=round(float(output["mixing_weights"][place]), 4),
            )
            for place in sorted(places.tolist())
        ]


class ObjectiveModule(nn.Module):
    """A model with its objective, as one module that DDP and FSDP2 can wrap like any model."""

    def __init__(
        self,
        model: QuietStarModel,
        config: ObjectiveConfig,
        teacher: QuietStarModel | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        # In a tuple the teacher is not a submodule: it is not wrapped, trained or saved.
        self._teacher = (teacher,)
        self._config = config
        # Accelerate reads here which layers FSDP2 wraps one by one.
        self._no_split_modules = getattr(model.backbone, "_no_split_modules", None)

    def forward(
        self,
        input_ids: Tensor,
        window_indices: Tensor,
        seed: int,
        num_thought_tokens: int | None = None,
        true_share: float = 0.0,
    ) -> dict[str, Tensor]:
        """Loss, metrics and samples of some windows.

        Args:
            input_ids: `[windows, seq]`, int64, no padding.
            window_indices: `[windows]`, int64: the windows' numbers in the stream.
            seed: of the run.
            num_thought_tokens: None: the model's own length.
            true_share: share of thoughts that are the true text to come.

        Returns:
            `loss`, a scalar to differentiate; a detached scalar for each of `METRICS`; and for
            samples, about the first thought at each position of the first window: `thought_ids`
            `[seq, n]`, `gains` `[seq - 1]` (base less mixed loss, nats) and `mixing_weights`
            `[seq - 1]`. The last three are missing if the model cannot think.
        """
        if not self.model.can_think:
            return self._without_thoughts(input_ids)
        every = self._config.think_every
        objective = self._think(
            input_ids[::every], window_indices[::every], seed, num_thought_tokens, true_share
        )
        loss = objective.total
        if every > 1:
            others = torch.arange(len(input_ids), device=input_ids.device) % every > 0
            loss = loss + self._other_windows(input_ids[others], objective.base_losses, every)
        return {"loss": loss, **_metrics(objective), **_sample(objective)}

    def _think(
        self,
        input_ids: Tensor,
        window_indices: Tensor,
        seed: int,
        num_thought_tokens: int | None,
        true_share: float,
    ) -> Objective:
        num_passes = self._config.num_passes
        passes = torch.arange(num_passes, device=input_ids.device).repeat(len(input_ids))
        windows = window_indices.repeat_interleave(num_passes)
        seeds = row_keys(torch.full_like(windows, seed), windows, passes)
        pick = sampled_thoughts(seeds, temperature=self._config.thought_temperature)
        if true_share > 0:
            rows = input_ids.repeat_interleave(num_passes, dim=0)
            pick = partly_true_thoughts(pick, rows, seeds, share=true_share)
        return evaluate_objective(
            self.model,
            input_ids,
            torch.ones_like(input_ids),
            self._config,
            pick=pick,
            num_thought_tokens=num_thought_tokens,
            teacher=self._teacher[0],
        )

    def _other_windows(self, input_ids: Tensor, thinking: Tensor, every: int) -> Tensor:
        """The term that turns the base loss of the thinking windows into that of all windows.

        Args:
            input_ids: `[windows, seq]`: the windows without thoughts.
            thinking: `[rows, seq - 1]`: base losses of the windows with thoughts, one in `every`.
        """
        others = base_losses(self.model, input_ids, torch.ones_like(input_ids))
        difference = mean_counted(others) - mean_counted(thinking)
        return self._config.base_loss_weight * (1 - 1 / every) * difference

    def _without_thoughts(self, input_ids: Tensor) -> dict[str, Tensor]:
        """The next-token loss of a model that cannot think."""
        losses = base_losses(self.model, input_ids, torch.ones_like(input_ids))
        loss = mean_counted(losses)
        zero = torch.zeros_like(loss)
        is_loss = ("total_loss", "base_loss", "mixed_loss")
        return {"loss": loss, **{m: loss.detach() if m in is_loss else zero for m in METRICS}}


@torch.no_grad()
def _metrics(objective: Objective) -> dict[str, Tensor]:
    values = (
        objective.total,
        mean_counted(objective.base_losses),
        mean_counted(objective.talk_losses[0]),
        torch.stack([mean_counted(losses) for losses in objective.talk_losses]).mean(),
        objective.thought,
        objective.policy.mean(),
        objective.rewards.mean(),
        objective.mixing_weights[0].mean(),
        torch.stack(objective.loglikelihoods).mean(),
        objective.entropy,
        objective.foresight,
        objective.teacher_divergence,
    )
    return {name: value.detach() for name, value in zip(METRICS, values, strict=True)}


@torch.no_grad()
def _sample(objective: Objective) -> dict[str, Tensor]:
    return {
        "thought_ids": objective.thought_ids[0],
        "gains": (objective.base_losses[0] - objective.talk_losses[0][0]).detach(),
        "mixing_weights": objective.mixing_weights[0][0].detach(),
    }
