"""A model with its objective, as one module that DDP and FSDP2 can wrap like any model."""

import torch
from torch import Tensor, nn

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.sampling.noise import row_keys
from qstar_train.config import ObjectiveConfig
from qstar_train.objective.at_places import evaluate_at_places
from qstar_train.objective.chunked_logits import (
    base_losses,
    base_states,
    is_most_likely,
    token_losses,
)
from qstar_train.objective.losses import mean_counted, mean_over
from qstar_train.objective.objective import evaluate_objective
from qstar_train.objective.places import Counts, Places
from qstar_train.sampling import (
    Pick,
    ordinary_ids,
    partly_true_thoughts,
    random_thoughts,
    sampled_thoughts,
)
from qstar_train.trainer.step_metrics import (
    metrics_at_places,
    metrics_everywhere,
    metrics_without_thoughts,
    samples_at_places,
    samples_everywhere,
)


class ObjectiveModule(nn.Module):
    """A model with its objective.

    Args:
        model: what learns.
        config: of the objective.
        teacher: the base prediction is kept close to its prediction.
    """

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
        self._config = config.with_thoughts_resolved()
        is_random = config.thoughts == "random"
        self._ordinary_ids = ordinary_ids(model) if is_random else None
        # Accelerate reads here which layers FSDP2 wraps one by one.
        self._no_split_modules = getattr(model.backbone, "_no_split_modules", None)

    def forward(
        self,
        input_ids: Tensor,
        window_indices: Tensor,
        seed: int,
        num_thought_tokens: int | None = None,
        true_share: float = 0.0,
        is_real: Tensor | None = None,
        places: Places | None = None,
        counts: Counts | None = None,
    ) -> dict[str, Tensor]:
        """Loss, metrics and samples of some windows.

        Args:
            input_ids: `[windows, seq]`, int64, right padded.
            window_indices: `[windows]`, int64: the windows' numbers in the stream.
            seed: of the run.
            num_thought_tokens: None: the model's own length.
            true_share: share of thoughts that are the true text to come.
            is_real: `[windows, seq]`, bool, False at padding. None: no padding.
            places: where to think. None: everywhere, by the paper's objective; then without
                padding.
            counts: what the means at places are over. None: what is in these windows.

        Returns:
            `loss`, a scalar to differentiate; `num_tokens`, the real tokens; detached scalars by
            the names of `metric_names`; and, if the model thinks, samples, see
            `samples_at_places`.
        """
        if is_real is None:
            is_real = torch.ones_like(input_ids, dtype=torch.bool)
        if not self.model.can_think:
            found = self._without_thoughts(input_ids, is_real, places, counts)
        elif places is None:
            found = self._everywhere(
                input_ids, window_indices, seed, num_thought_tokens, true_share
            )
        else:
            if counts is None:
                counts = Counts.of(is_real, places, num_ahead=self._config.num_ahead)
            objective = evaluate_at_places(
                self.model,
                input_ids,
                is_real,
                self._config,
                places=places,
                pick=self._pick(input_ids, window_indices, seed, true_share),
                counts=counts,
                num_thought_tokens=num_thought_tokens,
                teacher=self._teacher[0],
            )
            found = metrics_at_places(objective, places, counts)
            found |= samples_at_places(objective, places) | {"loss": objective.total}
        return found | {"num_tokens": is_real.sum().float()}

    def _pick(
        self, input_ids: Tensor, window_indices: Tensor, seed: int, true_share: float
    ) -> Pick:
        """How thoughts are chosen: a function of seed, window, pass, anchor and stream index."""
        num_passes = self._config.num_passes
        passes = torch.arange(num_passes, device=input_ids.device).repeat(len(input_ids))
        windows = window_indices.repeat_interleave(num_passes)
        seeds = row_keys(torch.full_like(windows, seed), windows, passes)
        if self._ordinary_ids is not None:
            return random_thoughts(seeds, self._ordinary_ids.to(input_ids.device))
        pick = sampled_thoughts(seeds, temperature=self._config.thought_temperature)
        if true_share > 0:
            rows = input_ids.repeat_interleave(num_passes, dim=0)
            pick = partly_true_thoughts(pick, rows, seeds, share=true_share)
        return pick

    def _everywhere(
        self,
        input_ids: Tensor,
        window_indices: Tensor,
        seed: int,
        num_thought_tokens: int | None,
        true_share: float,
    ) -> dict[str, Tensor]:
        """The paper's objective, for one window in `think_every`."""
        every = self._config.think_every
        thinking = input_ids[::every]
        objective = evaluate_objective(
            self.model,
            thinking,
            torch.ones_like(thinking),
            self._config,
            pick=self._pick(thinking, window_indices[::every], seed, true_share),
            num_thought_tokens=num_thought_tokens,
            teacher=self._teacher[0],
        )
        loss = objective.total
        if every > 1:
            others = torch.arange(len(input_ids), device=input_ids.device) % every > 0
            loss = loss + self._other_windows(input_ids[others], objective.base_losses, every)
        return {"loss": loss, **metrics_everywhere(objective), **samples_everywhere(objective)}

    def _other_windows(self, input_ids: Tensor, thinking: Tensor, every: int) -> Tensor:
        """The term that turns the base loss of the thinking windows into that of all windows.

        Args:
            input_ids: `[windows, seq]`: the windows without thoughts.
            thinking: `[rows, seq - 1]`: base losses of the windows with thoughts, one in `every`.
        """
        others = base_losses(self.model, input_ids, torch.ones_like(input_ids))
        difference = mean_counted(others) - mean_counted(thinking)
        return self._config.base_loss_weight * (1 - 1 / every) * difference

    def _without_thoughts(
        self, input_ids: Tensor, is_real: Tensor, places: Places | None, counts: Counts | None
    ) -> dict[str, Tensor]:
        """The next-token loss of a model that cannot think."""
        states = base_states(self.model, input_ids, is_real)[:, :-1]
        labels = input_ids[:, 1:]
        losses = token_losses(self.model, states, labels, is_real[:, 1:])
        loss = mean_counted(losses) if counts is None else mean_over(losses, counts.predicted)
        is_right = None
        if self._config.places is not None:
            is_right = is_most_likely(self.model, states, labels)
        metrics = metrics_without_thoughts(
            loss, losses, is_right=is_right, places=places, counts=counts
        )
        return {"loss": loss, **metrics}
