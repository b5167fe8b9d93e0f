"""Sampling settings that a checkpoint recommends, used where a request gives none."""

from dataclasses import asdict, dataclass
from typing import Any

from qstar_infer.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingDefaults:
    """What `generation_config.json` and `quiet_star.json` set; None: the checkpoint says nothing.

    A request's own value always wins.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    thought_temperature: float | None = None
    """Used where a request neither gives one nor decodes greedily."""

    def params(self, **given: Any) -> SamplingParams:
        """Settings of one request: what is given, then these defaults, then those of the class.

        `thought_temperature` is left to `resolve_thought_temperature`, since it depends on the
        request's temperature.

        Args:
            **given: fields of `SamplingParams`.

        Raises:
            RequestError: as `SamplingParams`.
        """
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        fields.pop("thought_temperature", None)
        return SamplingParams(**fields | given)

    def resolve_thought_temperature(self, params: SamplingParams) -> float:
        """The request's own; else 0 for greedy text; else the checkpoint's; else 1."""
        if params.thought_temperature is not None:
            return params.thought_temperature
        if params.temperature == 0:
            return 0.0
        return 1.0 if self.thought_temperature is None else self.thought_temperature
