"""Linear layers with int8 weights and one scale for each output, for CPUs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from qstar_infer.errors import ConfigError

_LARGEST = 127
_INPUTS = 16
"""torch's product reads whole groups of so many inputs, without a check past the end of a row."""


class Int8Weight:
    """A `QuantisedWeight`: a weight is its int8 value times the bfloat16 scale of its row."""

    format_name = "int8-cpu"

    def __init__(self, values: Tensor, scales: Tensor) -> None:
        """
        Args:
            values: `[out, in]`, int8.
            scales: `[out]`, bfloat16.
        """
        self.values = values
        self.scales = scales
        self.shape = (values.shape[0], values.shape[1])

    @classmethod
    def quantise(cls, weight: Tensor) -> "Int8Weight":
        """Round `[out, in]` to the nearest of 255 levels, symmetric around 0.

        Raises:
            ConfigError: the width cannot be multiplied.
        """
        if weight.shape[1] % _INPUTS:
            raise ConfigError(
                f"a width of {weight.shape[1]} cannot be multiplied in 8 bits: torch needs a "
                f"multiple of {_INPUTS}; leave the quantization out"
            )
        wide = weight.float()
        scales = (wide.abs().amax(dim=1) / _LARGEST).bfloat16()
        divisors = torch.where(scales == 0, 1.0, scales.float()).unsqueeze(1)
        values = (wide / divisors).round().clamp(-_LARGEST, _LARGEST).to(torch.int8)
        return cls(values, scales)

    @classmethod
    def join(cls, parts: "Sequence[Int8Weight]") -> "Int8Weight":
        """One weight with the outputs of all. The parts become views, so nothing is held twice."""
        joined = cls(
            torch.cat([part.values for part in parts]), torch.cat([part.scales for part in parts])
        )
        sizes = [part.shape[0] for part in parts]
        for part, values in zip(parts, torch.split(joined.values, sizes), strict=True):
            part.values = values
        return joined

    @property
    def num_bytes(self) -> int:
        """Memory."""
        return self.values.nbytes + self.scales.nbytes

    def multiply(self, states: Tensor) -> Tensor:
        """See `QuantisedWeight.multiply`."""
        return torch._weight_int8pack_mm(states, self.values, self.scales)
