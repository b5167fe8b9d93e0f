"""Sampling settings of a checkpoint, for requests that leave them out."""

from dataclasses import asdict, dataclass
from typing import Any

from qstar_infer.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingDefaults:
    """The values in `generation_config.json` and `quiet_star.json`; None: not set there.

    A value in the request always wins.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    thought_temperature: float | None = None
    """For requests that leave it out and do not decode greedily."""

    def params(self, **given: Any) -> SamplingParams:
        """Parameters of a request: the given fields, then these defaults, then those of the class.

        Does not set `thought_temperature`, which depends on the request's temperature; see
        `resolve_thought_temperature`.

        Args:
            **given: fields of `SamplingParams`.

        Raises:
            RequestError: a field is out of range or of a wrong type; `param` names it.
        """
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        fields.pop("thought_temperature", None)
        return SamplingParams(**fields | given)

    def resolve_thought_temperature(self, params: SamplingParams) -> float:
        """The request's value; else 0 if it decodes greedily; else the checkpoint's; else 1."""
        if params.thought_temperature is not None:
            return params.thought_temperature
        if params.temperature == 0:
            return 0.0
        return 1.0 if self.thought_temperature is None else self.thought_temperature
