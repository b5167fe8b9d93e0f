"""How a run chooses its places, and a check that its text has the tokens that it names."""

import logging

from qstar_infer.errors import ConfigError
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.thinking_rule import read_rule
from qstar_train.config import TrainConfig
from qstar_train.data.windows import WindowStream
from qstar_train.objective.places import Counts
from qstar_train.trainer.batches import Placing
from qstar_train.trainer.model_setup import place_rule

logger = logging.getLogger(__name__)


def placing_of(config: TrainConfig, model: QuietStarModel, stream: WindowStream) -> Placing | None:
    """How places are chosen; None for the paper's objective, at every position of full windows.

    Raises:
        ConfigError: a token of `objective.places.behind` is not in the vocabulary, or the text has
            none of these tokens.
    """
    rule = place_rule(config.objective, model)
    if rule is None and config.data.packing == "stream":
        return None
    if config.objective.places is not None and rule is not None:
        _check_text(dict(zip(rule.behind_ids, config.objective.places.behind, strict=True)), stream)
    num_ahead = config.objective.with_thoughts_resolved().num_ahead
    return Placing(rule=rule, num_ahead=num_ahead, seed=config.seed)


def _check_text(names: dict[int, str], stream: WindowStream) -> None:
    """Check that the text has the named tokens; a stream is not known before it is read.

    Args:
        names: by token id.
    """
    found = stream.ids_followed(list(names)) if names else None
    if found is None:
        return
    missing = [name for token_id, name in names.items() if token_id not in found]
    if len(missing) == len(names):
        raise ConfigError(
            f"objective.places.behind = {missing}: no window of the text has such a token with "
            "another one behind it, so nothing would be learned there. Name tokens of the text as "
            "the tokenizer writes them; it may join a marker with what is around it, such as a "
            "space."
        )
    if missing:
        logger.warning(
            "objective.places.behind: no window of the text has %s with another token behind it",
            ", ".join(map(repr, missing)),
        )


def warn_without_markers(config: TrainConfig, counts: Counts | None) -> None:
    """Warn if the first step of a run, resumed or not, has no place behind a named token.

    Args:
        counts: of the step's windows.
    """
    places = config.objective.places
    if places is not None and places.behind and counts is not None and not counts.marked[0]:
        logger.warning(
            "No window of the first step has a token of objective.places.behind = %s with another "
            "one behind it. Without any, nothing is learned there, and the metrics of these places "
            "are 0.",
            places.behind,
        )


def warn_about_gate(config: TrainConfig, model: QuietStarModel) -> None:
    """Warn if a gate learns that the checkpoint will not use."""
    if config.objective.gate is None or model.config is None:
        return
    rule = model.config.thinking if config.thinking is None else read_rule(config.thinking)
    if rule.where != "gate":
        logger.warning(
            "objective.gate learns where to think, but the checkpoint thinks %s. If the gate "
            "should decide, set thinking={where: gate}.",
            rule.describe(),
        )
