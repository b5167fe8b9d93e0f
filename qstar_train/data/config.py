"""Where text comes from, as a user writes it down."""

from pydantic import Field

from qstar_train.settings import Settings


class SourceSettings(Settings):
    """One source of text: a dataset of the hub, or local files."""

    path: str = Field(min_length=1)
    """A dataset id of the hub; or a file, a glob or a directory of .jsonl, .json, .txt (one
    document a file) or .parquet. JSON and text may be gzipped (.jsonl.gz)."""

    config: str | None = None
    """The hub's name of a configuration of the dataset, such as `en`; for the hub only."""

    split: str = Field(default="train", min_length=1)
    """The split, which may be cut: `train[:1%]` (not of a stream). Local files are all `train`."""

    text_field: str = Field(default="text", min_length=1)
    """The field that holds a document's text."""

    streaming: bool = False
    """Read as it comes, without a copy on disk: for what is too large to tokenise first. A stream
    is read in its own order, and a run that resumes reads it again from the start."""

    weight: float = Field(default=1.0, gt=0)
    """This source's share of the windows, relative to the other sources' weights."""

    revision: str | None = None
    """A commit, tag or branch of the hub's dataset; for the hub only."""

    max_documents: int | None = Field(default=None, ge=1)
    """Only the first so many documents; None for all."""
