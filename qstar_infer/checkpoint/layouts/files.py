"""The JSON and the tensor headers of a checkpoint, which layouts are recognised by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qstar_infer.checkpoint.backbone import CONFIG_NAME
from qstar_infer.checkpoint.native import check_names_and_shapes
from qstar_infer.checkpoint.reading import read_json
from qstar_infer.checkpoint.tensors import TensorHeader, backbone_tensor_files, tensor_headers
from qstar_infer.errors import CheckpointError, RequestError
from qstar_infer.sampling_params import SamplingParams

_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFiles:
    """What is known of a checkpoint without reading its weights."""

    directory: Path
    config: dict[str, Any]
    tensors: Mapping[str, TensorHeader]

    @classmethod
    def read(cls, directory: Path) -> "CheckpointFiles":
        """Read `config.json` and the headers of the tensors.

        Raises:
            CheckpointError: a file is missing, malformed or truncated.
        """
        return cls(
            directory=directory,
            config=read_json(directory / CONFIG_NAME),
            tensors=tensor_headers(backbone_tensor_files(directory)),
        )

    @property
    def config_path(self) -> Path:
        return self.directory / CONFIG_NAME

    def check_thought_tensors(
        self, names: Iterable[str], shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        """Check that these tensors are those needed, floating point and with their shapes.

        Args:
            names: the tensors that are not the backbone's.
            shapes: name -> shape of those needed.

        Raises:
            CheckpointError: one is missing, unknown, or unfit; it is named.
        """
        found = {name: self.tensors[name] for name in names}
        check_names_and_shapes(
            {name: header.shape for name, header in found.items()}, shapes, self.directory
        )
        for name, header in found.items():
            if header.dtype not in _FLOATS:
                raise CheckpointError(
                    f"{name} in {self.directory} is stored as {header.dtype}; this backbone needs "
                    "floating point. The thought parts belong to another model."
                )

    @property
    def hidden_size(self) -> int:
        """The backbone's width.

        Raises:
            CheckpointError: it is missing or no positive integer.
        """
        return self.integer("hidden_size", least=1)

    def integer(self, key: str, *, least: int, default: int | None = None) -> int:
        """An integer of `config.json`.

        Args:
            key: its key.
            least: the smallest valid value.
            default: where the key is missing; None: it must not be missing.

        Raises:
            CheckpointError: it is missing, is not an integer, or is smaller than `least`.
        """
        value = self.config.get(key, default)
        if type(value) is not int or value < least:
            raise CheckpointError(
                f"{self.config_path} has {key} = {value!r}; it must be an integer of at least "
                f"{least}. Correct it, or fetch the checkpoint again."
            )
        return value

    def temperature(self, key: str) -> float | None:
        """A temperature of `config.json`; None if the key is missing.

        Raises:
            CheckpointError: it is not a number in [0, 2].
        """
        value = self.config.get(key)
        try:
            return SamplingParams(thought_temperature=value).thought_temperature
        except RequestError as error:
            raise CheckpointError(f"{self.config_path} has {key}: {error}. Correct it.") from error
