"""`init_model`: fresh thought parts for a causal language model, ready for training."""

import logging
from pathlib import Path

import torch

from qstar_infer.checkpoint.load import load_model
from qstar_infer.checkpoint.options import check_thought_length
from qstar_infer.checkpoint.start_row import start_row
from qstar_infer.checkpoint.tokenizer import delimiter_ids
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.thought_parts import ThoughtParts

logger = logging.getLogger(__name__)


def init_model(
    source: str | Path,
    *,
    num_thought_tokens: int = 5,
    seed: int = 0,
    dtype: str | torch.dtype = "stored",
    device: str | torch.device = "auto",
    revision: str | None = None,
) -> QuietStarModel:
    """Load a language model and give it untrained thought parts.

    The model thinks, but its thoughts change nothing until the parts are trained. The delimiters
    need no rows in the vocabulary; if it has them, their ids are recorded, and never sampled.

    Args:
        source: as in `load_model`; a model without thought parts.
        num_thought_tokens: sampled tokens per thought, at least 1.
        seed: draws the talk head.
        dtype: as in `load_model`. The default keeps the checkpoint's, so that the result does not
            depend on the machine.
        device, revision: as in `load_model`.

    Raises:
        CheckpointError: it cannot be loaded, has thought parts already, or its vocabulary has one
            delimiter without the other.
        ConfigError: an argument is out of range.
    """
    check_thought_length(num_thought_tokens)
    model = load_model(source, dtype=dtype, device=device, revision=revision)
    if model.thought_parts is not None:
        raise CheckpointError(
            f"{source} has thought parts already, and fresh ones would replace them. "
            "Load it as it is, or give its base model."
        )
    return add_fresh_parts(
        model,
        num_thought_tokens=num_thought_tokens,
        seed=seed,
        base_model=str(source),
        # The commit, if one was fetched: a branch may point elsewhere later.
        base_revision=getattr(model.backbone.config, "_commit_hash", None) or revision,
    )


def add_fresh_parts(
    model: QuietStarModel,
    *,
    num_thought_tokens: int,
    seed: int,
    base_model: str | None,
    base_revision: str | None,
) -> QuietStarModel:
    """The same backbone and tokenizer with untrained thought parts.

    Raises:
        CheckpointError: the vocabulary has one delimiter without the other, or no tokens.
    """
    row, note = start_row(model.backbone, model.tokenizer)
    if note is not None:
        logger.warning(note)
    start_id, end_id = delimiter_ids(model.tokenizer) or (None, None)
    config = QuietStarConfig(
        num_thought_tokens=num_thought_tokens,
        start_thought_token_id=start_id,
        end_thought_token_id=end_id,
        base_model=base_model,
        base_revision=base_revision,
        notes=[] if note is None else [note],
    )
    parts = ThoughtParts.fresh(row, seed=seed).to(model.backbone.device)
    return QuietStarModel(
        model.backbone, model.tokenizer, thought_parts=parts, config=config
    ).eval()
