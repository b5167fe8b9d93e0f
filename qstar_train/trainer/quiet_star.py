"""Quiet-STaR as a training method: think, and reinforce what helps."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from qstar_infer.model.quiet_star import QuietStarModel
from qstar_train.config import TrainConfig
from qstar_train.data.windows import WindowStream
from qstar_train.fingerprint import fingerprint_of
from qstar_train.trainer.batches import BatchPlan, MicroBatch, micro_batches
from qstar_train.trainer.method import ThoughtSample
from qstar_train.trainer.objective_module import ObjectiveModule
from qstar_train.trainer.placing import placing_of, warn_about_gate, warn_without_markers
from qstar_train.trainer.samples import thought_samples
from qstar_train.trainer.schedule import thought_length, true_share
from qstar_train.trainer.step_metrics import metric_names


class QuietStar:
    """Implements `TrainingMethod`.

    Args:
        config: of the run.
        model: what learns, from `model_to_train`.
        teacher: the model that the base prediction is kept close to.
        stream: the training text.
        plan: which windows this process trains on.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: QuietStarModel,
        *,
        teacher: QuietStarModel | None,
        stream: WindowStream,
        plan: BatchPlan,
    ) -> None:
        self.metric_names = metric_names(config)
        self._config = config
        self._device = model.device
        self._tokenizer = model.tokenizer
        self._stream = stream
        self._plan = plan
        self._placing = placing_of(config, model, stream)
        if plan.process_index == 0:
            warn_about_gate(config, model)
        self.num_rounds = plan.num_rounds
        self.module: nn.Module = ObjectiveModule(model, config.objective, teacher)

    def batches(self, first_step: int) -> Iterator[dict[str, Any]]:
        """See `TrainingMethod`."""
        # Locals, because a generator that held `self` would keep the module alive.
        config, plan, device = self._config, self._plan, self._device

        def arguments(number: int, batch: MicroBatch) -> dict[str, Any]:
            step, seed = first_step + number // plan.num_rounds, config.seed
            if number == 0 and plan.process_index == 0:
                warn_without_markers(config, batch.counts)
            return {
                "input_ids": batch.input_ids.to(device),
                "is_real": batch.is_real.to(device),
                "window_indices": batch.window_indices.to(device),
                "places": None if batch.places is None else batch.places.to(device),
                "counts": batch.counts,
                "seed": seed,
                "num_thought_tokens": thought_length(step, config.thought_lengths, seed=seed),
                "true_share": true_share(
                    step, config.true_thought_share, config.true_thought_steps
                ),
            }

        batches = micro_batches(self._stream, plan, first_step=first_step, placing=self._placing)
        return (arguments(number, batch) for number, batch in enumerate(batches))

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
        """See `thought_samples`."""
        return thought_samples(self._tokenizer, batch["input_ids"], output, step)
