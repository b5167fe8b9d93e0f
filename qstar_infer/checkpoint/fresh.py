"""`init_model`: fresh thought parts for a causal language model, ready for training."""

import logging
from pathlib import Path

import torch
from torch import Tensor

from qstar_infer.checkpoint.load import load_model
from qstar_infer.checkpoint.options import check_thought_length
from qstar_infer.checkpoint.start_row import start_row, token_row
from qstar_infer.checkpoint.tokenizer import delimiter_ids
from qstar_infer.errors import CheckpointError
from qstar_infer.model.config import QuietStarConfig
from qstar_infer.model.quiet_star import QuietStarModel
from qstar_infer.model.source_name import source_text
from qstar_infer.model.thought_parts import ThoughtParts

logger = logging.getLogger(__name__)


def init_model(
    source: str | Path,
    *,
    num_thought_tokens: int = 5,
    seed: int = 0,
    start_token: str | None = None,
    end_token: str | None = None,
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
        start_token, end_token: tokens of the vocabulary, by their exact names, whose embeddings
            the two thought vectors start as. None: that of `---`, as in the paper.
        dtype: as in `load_model`. The default keeps the checkpoint's, so that the result does not
            depend on the machine.
        device, revision: as in `load_model`.

    Raises:
        CheckpointError: it cannot be loaded, has thought parts already, or its vocabulary has one
            delimiter without the other.
        ConfigError: an argument is out of range, or the vocabulary lacks a token that is named.
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
        start_token=start_token,
        end_token=end_token,
        base_model=source_text(source),
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
    start_token: str | None = None,
    end_token: str | None = None,
) -> QuietStarModel:
    """The same backbone and tokenizer with untrained thought parts.

    Arguments are those of `init_model`.

    Raises:
        CheckpointError: the vocabulary has one delimiter without the other, or no tokens.
        ConfigError: the vocabulary lacks `start_token` or `end_token`.
    """
    start, end, notes = _first_vectors(model, start_token, end_token)
    start_id, end_id = delimiter_ids(model.tokenizer) or (None, None)
    config = QuietStarConfig(
        num_thought_tokens=num_thought_tokens,
        start_thought_token_id=start_id,
        end_thought_token_id=end_id,
        base_model=base_model,
        base_revision=base_revision,
        notes=notes,
    )
    parts = ThoughtParts.fresh(start, end, seed=seed).to(model.backbone.device)
    return QuietStarModel(
        model.backbone, model.tokenizer, thought_parts=parts, config=config
    ).eval()


def _first_vectors(
    model: QuietStarModel, start_token: str | None, end_token: str | None
) -> tuple[Tensor, Tensor, list[str]]:
    """First values of start and end vector, `[hidden]` each, and notes that say what they are."""
    rows: dict[str, Tensor] = {}
    notes = []
    for name, token in (("start", start_token), ("end", end_token)):
        if token is not None:
            setting = f"{name}_token"
            rows[name] = token_row(model.backbone, model.tokenizer, token, setting=setting)
            notes.append(f"The {name} vector starts as the embedding of {token!r}.")
    if len(rows) < 2:
        row, note = start_row(model.backbone, model.tokenizer)
        rows = {"start": row, "end": row} | rows
        if note is not None:
            logger.warning(note)
            notes.append(note)
    return rows["start"], rows["end"], notes
