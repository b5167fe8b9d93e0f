"""Limits of an engine on llama.cpp. Plain data, no llama.cpp."""

from dataclasses import replace

from qstar_infer.config import EngineConfig
from qstar_infer.errors import ConfigError

MAX_TEXTS = 256
"""The most texts that one cache tells apart (`LLAMA_MAX_SEQ`)."""
PADDING_TEXT = MAX_TEXTS - 1
"""The text of the rows that only fill up a pass; sequences and lanes have the numbers below."""


def fitting_config(config: EngineConfig) -> EngineConfig:
    """The config, with as many drafts and scored positions as there are numbers for.

    Without the prefix cache: the cells of llama.cpp have no blocks to share.

    They limit the speed, never the result. Each running sequence needs two numbers: its own, and
    that of its oldest lane.

    Raises:
        ConfigError: the sequences leave no number for a draft and a scored position.
    """
    left = PADDING_TEXT - 2 * config.max_num_seqs
    if left < 2:
        raise ConfigError(
            f"max_num_seqs is {config.max_num_seqs}, and the runner llama.cpp runs at most "
            f"{PADDING_TEXT // 2 - 1} sequences at the same time; lower it, or use the torch runner"
        )
    drafts = config.max_drafts
    scoring = max(1, min(config.scoring_positions, left - min(drafts, left // 2)))
    return replace(
        config,
        scoring_positions=scoring,
        max_drafts=min(drafts, left - scoring),
        prefix_caching=False,
    )
