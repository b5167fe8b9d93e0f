"""The sampling settings that a checkpoint recommends."""

from transformers import GenerationConfig

from qstar_infer.errors import CheckpointError, RequestError
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.served_model import ServedModel
from qstar_infer.sampling_defaults import SamplingDefaults
from qstar_infer.sampling_params import SamplingParams, normalised_temperature

_FIELDS = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
"""Of `generation_config.json`. Others, such as `do_sample` and the length limits, are not used."""


def sampling_defaults(model: ServedModel) -> SamplingDefaults:
    """What the checkpoint itself sets, in the ranges of `SamplingParams`.

    The defaults of transformers, such as top_k = 50, are not the checkpoint's and do not count.

    Raises:
        CheckpointError: `generation_config.json` sets a value that `SamplingParams` refuses. It is
            not dropped silently, since the text would then not be what the checkpoint recommends.
    """
    return checkpoint_defaults(model.generation_config, model.config, name=model.name)


def checkpoint_defaults(
    generation: GenerationConfig | None, config: QuietStarConfig | None, *, name: str
) -> SamplingDefaults:
    """As `sampling_defaults`, from the parts of a model."""
    own = {} if generation is None else generation.to_diff_dict()
    values = {name: own[name] for name in _FIELDS if own.get(name) is not None}
    try:
        params = SamplingParams(**values)
    except RequestError as error:
        raise CheckpointError(
            f"generation_config.json of {name}: {error}. Correct it, or ignore "
            'its sampling settings with generation_config="none" (--generation-config none).'
        ) from error
    thought_temperature = None if config is None else config.thought_temperature
    return SamplingDefaults(
        **{name: getattr(params, name) for name in values},
        thought_temperature=(
            None if thought_temperature is None else normalised_temperature(thought_temperature)
        ),
    )
