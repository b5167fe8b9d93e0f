"""Open sources of text, on the hub or local, with `datasets`.

Whatever `datasets` raises for a wrong path, split, field or file becomes a ConfigError.
"""

import glob
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import datasets
from datasets.exceptions import DatasetGenerationError, DatasetsError
from datasets.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

# httpx or httpx2, by the release of huggingface_hub
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]
from pyarrow import parquet

from qstar_infer.errors import ConfigError
from qstar_train.config import SourceConfig
from qstar_train.data.text_files import BYTE_ORDER_MARK, check_encoding

BUILDERS = {".jsonl": "json", ".json": "json", ".txt": "text", ".parquet": "parquet"}
"""From a file's suffix to the builder of `datasets` that reads it."""

TEXT_TYPES = {"string", "large_string"}

_READING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    EOFError,
    zlib.error,
    httpx.HTTPError,
    DatasetsError,
)


def open_source(source: SourceConfig) -> Any:
    """Open a source; its text is the only field.

    Returns:
        A `datasets.Dataset`; for a streaming source a `datasets.IterableDataset`.

    Raises:
        ConfigError: the source cannot be opened, is empty, or lacks the text field.
    """
    with explained(source), progress_bars():
        dataset = _load(source)
        if source.max_documents is None:
            return dataset
        return dataset.take(source.max_documents)


def _load(source: SourceConfig) -> Any:
    """All documents of a source.

    `datasets` does not join JSON files whose other fields differ. Such files are opened one by
    one: after joining has failed, or at once for a stream, where it would fail late.
    """
    arguments = _arguments(source)
    files = local_files(source.path) or []
    # A slice of a split is a slice of all files together.
    is_divisible = arguments["path"] == "json" and len(files) > 1 and source.split == "train"
    if not (is_divisible and source.streaming):
        try:
            dataset = datasets.load_dataset(
                **arguments, split=source.split, streaming=source.streaming
            )
            _check_text(dataset, source)
            dataset = dataset.select_columns([source.text_field])
            # `datasets` drops the mark from JSON. From text it does so for some files only.
            is_text = bool(files) and arguments["path"] == "text"
            return dataset.map(_without_mark) if is_text else dataset
        except DatasetGenerationError:
            if not is_divisible:
                raise
    return _one_by_one(source, files)


def _without_mark(row: dict[str, str]) -> dict[str, str]:
    """A document that is a whole file, without the byte order mark at its start."""
    return {name: text.removeprefix(BYTE_ORDER_MARK) for name, text in row.items()}


def _one_by_one(source: SourceConfig, files: list[Path]) -> Any:
    """The documents of all files in order; an error names the file."""
    parts = []
    for file in files:
        with suppress(_NoDocumentsError):
            one = {"path": str(file), "max_documents": None}
            parts.append(open_source(source.model_copy(update=one)))
    if not parts:
        raise _empty(source)
    return datasets.concatenate_datasets(parts)


def documents(source: SourceConfig) -> Iterator[str]:
    """The texts of a source, in order, once.

    Raises:
        ConfigError: see `open_source`; or a document has no text.
    """
    dataset = open_source(source)
    with explained(source):
        for number, row in enumerate(dataset):
            text = row[source.text_field]
            if not isinstance(text, str):
                raise missing_text(source, number, text)
            yield text


def missing_text(source: SourceConfig, number: int, value: object) -> ConfigError:
    """The error for a document without text."""
    return ConfigError(
        f"{source.path}: {source.text_field} of document {number} is {value!r}, not text. "
        "Remove that document."
    )


@contextmanager
def explained(source: SourceConfig) -> Iterator[None]:
    """Turn errors of reading a source into a ConfigError that names the source.

    `datasets` raises StopIteration for a JSON file without rows; damaged gzip files raise EOFError
    and zlib.error.
    """
    try:
        yield
    except ConfigError:
        raise
    except StopIteration as error:
        raise _empty(source) from error
    except _READING_ERRORS as error:
        reason = str(error.__cause__ or error).strip().rstrip(".")
        if local_files(source.path) is not None:
            raise ConfigError(f"{source.path} cannot be read: {reason}.") from error
        raise ConfigError(
            f"{source.path} is not a local file and cannot be read from the hub: {reason}. Check "
            "path, config, split and revision, and that the hub can be reached."
        ) from error


@contextmanager
def progress_bars() -> Iterator[None]:
    """Show the progress bars of `datasets` only if stderr is a terminal."""
    is_to_change = not (are_progress_bars_disabled() or sys.stderr.isatty())
    if is_to_change:
        disable_progress_bars()
    try:
        yield
    finally:
        if is_to_change:
            enable_progress_bars()


def local_files(path: str) -> list[Path] | None:
    """The local files that a source's path names, sorted; None if it is an id of the hub.

    Raises:
        ConfigError: the path looks local, and there is nothing to read.
    """
    here = Path(path).expanduser()
    if here.is_file():
        return [here]
    if here.is_dir():
        files = sorted(file for file in here.rglob("*") if file.is_file() and _suffix(file))
    elif glob.has_magic(path):
        files = sorted(Path(name) for name in glob.glob(str(here), recursive=True))
        files = [file for file in files if file.is_file()]
    elif _suffix(here) or path.startswith((".", "~")) or here.is_absolute():
        raise ConfigError(f"{path} does not exist. Give a file, a glob, a directory or a hub id.")
    else:
        return None
    if not files:
        raise ConfigError(f"{path} holds no file that ends in {', '.join(BUILDERS)}.")
    return files


def _arguments(source: SourceConfig) -> dict[str, Any]:
    """The arguments of `datasets.load_dataset`."""
    files = local_files(source.path)
    if files is None:
        return {"path": source.path, "name": source.config, "revision": source.revision}
    for name in ("config", "revision"):
        if getattr(source, name) is not None:
            raise ConfigError(
                f"{name} = {getattr(source, name)!r} is for the hub, but {source.path} is local. "
                f"Leave {name} out."
            )
    builder = _builder(source, files)
    # A text file is one document; the builder's default is one document per line.
    whole = {"sample_by": "document"} if builder == "text" else {}
    if builder == "parquet":  # which fails for a file without rows
        files = [file for file in files if parquet.read_metadata(file).num_rows]
        if not files:
            raise _empty(source)
    else:
        for file in files:
            check_encoding(file)
    names = [glob.escape(str(file)) for file in files]  # it takes names as patterns
    return {"path": builder, "data_files": {"train": names}} | whole


def _builder(source: SourceConfig, files: list[Path]) -> str:
    suffixes = {_suffix(file) for file in files}
    if None in suffixes:
        unknown = next(file for file in files if _suffix(file) is None)
        raise ConfigError(
            f"{unknown} has an unknown suffix. A source's files end in {', '.join(BUILDERS)} "
            "(JSON and text may be gzipped)."
        )
    builders = {BUILDERS[suffix] for suffix in suffixes if suffix is not None}
    if len(builders) > 1:
        raise ConfigError(
            f"{source.path} holds files of several kinds ({', '.join(sorted(map(str, suffixes)))})"
            "; make each kind a source of its own, with a glob such as *.jsonl."
        )
    return builders.pop()


def _suffix(file: Path) -> str | None:
    """The suffix that says how to read a file; None if it is unknown."""
    is_zipped = file.suffix == ".gz"
    suffix = Path(file.stem).suffix if is_zipped else file.suffix
    if suffix not in BUILDERS or (is_zipped and suffix == ".parquet"):
        return None
    return suffix


def _check_text(dataset: Any, source: SourceConfig) -> None:
    """Check that there is a first document and that it has text."""
    row = next(iter(dataset), None)
    if row is None:
        raise _empty(source)
    if source.text_field not in row:
        raise ConfigError(
            f"{source.path} has no field {source.text_field!r}; text_field can be one of "
            f"{', '.join(row)}."
        )
    features = dataset.features
    feature = None if features is None else features.get(source.text_field)
    is_text = isinstance(row[source.text_field], str)
    if not is_text and getattr(feature, "dtype", None) not in TEXT_TYPES:
        raise missing_text(source, 0, row[source.text_field])


class _NoDocumentsError(ConfigError):
    pass


def _empty(source: SourceConfig) -> ConfigError:
    return _NoDocumentsError(f"{source.path} holds no documents (split {source.split!r}).")
