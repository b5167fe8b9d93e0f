"""Reads a file of `torch.save` that holds only tensors and plain containers.

Such a file is a zip archive around a pickle, and a pickle is a program. Only `qstar convert` reads
one, and only by torch's restricted unpickler, which calls nothing that the file names. A file that
names anything else than tensors and plain containers is refused before it is unpickled.
"""

import pickle
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.serialization import (
    add_safe_globals,
    clear_safe_globals,
    get_safe_globals,
    get_unsafe_globals_in_checkpoint,
)

from qstar_infer.checkpoint.reading import third_party
from qstar_infer.errors import CheckpointError

_NAMED = 4
"""How many names a message lists."""
_REMEDY = (
    "Only tensors, numbers, strings and plain containers are read, so nothing of it was run. If "
    "you trust its author, save what is needed of it again as plain data, where the code that it "
    "comes from is installed; docs/loading.md, 'Lightning files', has the lines."
)


def read_torch_file(path: Path) -> dict[str, Any]:
    """The object in the file: a dict of tensors, numbers, strings and plain containers.

    Args:
        path: a zip archive as `torch.save` writes it.

    Returns:
        Its tensors are on the CPU, in their stored dtype.

    Raises:
        CheckpointError: not such a file, damaged, or it names code to run.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file. Check the path.")
    with third_party(str(path), "Copy or save the file again."), _without_registered_classes():
        _check_archive(path)
        try:
            _check_names_no_code(path)
            # Not by mmap, which does not compare the sizes of tensors with those of their records.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
        except pickle.UnpicklingError as error:
            raise CheckpointError(
                f"{path} holds something other than tensors and plain containers. {_REMEDY}"
            ) from error
    if type(content) is not dict:
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not a dict with a state_dict. Give the "
            "checkpoint file that the trainer wrote."
        )
    return content


def _check_archive(path: Path) -> None:
    """Check that it is a whole zip archive, with the content that its checksums promise."""
    try:
        with zipfile.ZipFile(path) as archive:
            is_packed = any(each.compress_type != zipfile.ZIP_STORED for each in archive.filelist)
            damaged = None if is_packed else archive.testzip()
    except (zipfile.BadZipFile, EOFError) as error:
        raise CheckpointError(
            f"{path} is no whole zip archive ({error}), so torch.save of torch 1.6 or later did "
            "not write it. It was cut off, or it is a bare pickle, which is never read: copy it "
            "again, or save it again with a current torch."
        ) from error
    if is_packed:
        raise CheckpointError(
            f"{path} is a compressed archive, which torch.save does not write. Give the file that "
            "the trainer wrote."
        )
    if damaged is not None:
        raise CheckpointError(
            f"{path} is damaged: {damaged} in it does not match its checksum. Copy it again."
        )


def _check_names_no_code(path: Path) -> None:
    names = sorted(get_unsafe_globals_in_checkpoint(str(path)))
    if names:
        more = ", ..." if len(names) > _NAMED else ""
        raise CheckpointError(
            f"{path} is a pickle that wants to run code: {', '.join(names[:_NAMED])}{more}. "
            f"{_REMEDY}"
        )


@contextmanager
def _without_registered_classes() -> Iterator[None]:
    """Forget the classes that other libraries have told torch to unpickle."""
    registered = get_safe_globals()
    clear_safe_globals()
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(registered)
