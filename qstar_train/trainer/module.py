"""The objective as one module, so that DDP and FSDP2 wrap it as they wrap any model."""

import torch
from torch import Tensor, nn

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling.noise import row_keys
from qstar_train.objective.base import base_losses
from qstar_train.objective.config import ObjectiveSettings
from qstar_train.objective.losses import mean_counted
from qstar_train.objective.objective import Objective, evaluate_objective
from qstar_train.sampling import partly_true_thoughts, sampled_thoughts


class ObjectiveModule(nn.Module):
    """A model with its objective; the forward pass is a whole training step but for the update."""

    def __init__(
        self,
        model: QuietStarModel,
        settings: ObjectiveSettings,
        teacher: QuietStarModel | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        # In a tuple it is no submodule: it is neither wrapped, nor trained, nor saved.
        self._teacher = (teacher,)
        self._settings = settings
        # Accelerate asks for the layers that FSDP2 wraps one by one.
        self._no_split_modules = getattr(model.backbone, "_no_split_modules", None)

    def forward(
        self,
        input_ids: Tensor,
        window_indices: Tensor,
        seed: int,
        num_thought_tokens: int | None = None,
        true_share: float = 0.0,
    ) -> dict[str, Tensor]:
        """
        Args:
            input_ids: `[windows, seq]`, int64, no padding.
            window_indices: `[windows]`, int64: numbers of the windows in the stream.
            seed: of the run.
            num_thought_tokens: None: as the model was trained.
            true_share: of the thoughts, are the true text to come.

        Returns:
            `loss`, to be differentiated; detached scalars for `metrics`; and for samples, of the
            first window's first thought at each position: `thought_ids` `[seq, n]`, `gains`
            `[seq - 1]` (base less mixed loss, nats) and `mixing_weights` `[seq - 1]`; these three
            not of a model that cannot think.
        """
        if not self.model.can_think:
            return self._without_thoughts(input_ids)
        every = self._settings.think_every
        objective = self._think(
            input_ids[::every], window_indices[::every], seed, num_thought_tokens, true_share
        )
        loss = objective.total
        if every > 1:
            silent = torch.arange(len(input_ids), device=input_ids.device) % every > 0
            loss = loss + self._of_silent_windows(input_ids[silent], objective.base_losses, every)
        return {"loss": loss, **_metrics(objective), **_sample(objective)}

    def _think(
        self,
        input_ids: Tensor,
        window_indices: Tensor,
        seed: int,
        num_thought_tokens: int | None,
        true_share: float,
    ) -> Objective:
        num_passes = self._settings.num_passes
        passes = torch.arange(num_passes, device=input_ids.device).repeat(len(input_ids))
        windows = window_indices.repeat_interleave(num_passes)
        seeds = row_keys(torch.full_like(windows, seed), windows, passes)
        pick = sampled_thoughts(seeds, temperature=self._settings.thought_temperature)
        if true_share > 0:
            rows = input_ids.repeat_interleave(num_passes, dim=0)
            pick = partly_true_thoughts(pick, rows, seeds, share=true_share)
        return evaluate_objective(
            self.model,
            input_ids,
            torch.ones_like(input_ids),
            self._settings,
            pick=pick,
            num_thought_tokens=num_thought_tokens,
            teacher=self._teacher[0],
        )

    def _of_silent_windows(self, input_ids: Tensor, thinking: Tensor, every: int) -> Tensor:
        """What turns the base loss of the thinking windows into that of all windows.

        Args:
            input_ids: `[windows, seq]`: those that are not thought about.
            thinking: `[rows, seq - 1]`: base losses of those that are, one in `every`.
        """
        silent = base_losses(self.model, input_ids, torch.ones_like(input_ids))
        difference = mean_counted(silent) - mean_counted(thinking)
        return self._settings.base_loss_weight * (1 - 1 / every) * difference

    def _without_thoughts(self, input_ids: Tensor) -> dict[str, Tensor]:
        """The next-token loss of a model that cannot think; there is no thought to sample."""
        losses = base_losses(self.model, input_ids, torch.ones_like(input_ids))
        loss = mean_counted(losses)
        zero = torch.zeros_like(loss)
        is_loss = ("total_loss", "base_loss", "mixed_loss")
        return {"loss": loss, **{m: loss.detach() if m in is_loss else zero for m in METRICS}}


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
