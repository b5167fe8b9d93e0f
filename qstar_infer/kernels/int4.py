"""Linear layers with 4-bit weights in groups of 32 inputs, for CPUs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from qstar_infer.errors import ConfigError

GROUP = 32
"""Inputs that share a scale and a zero."""
_OUTPUTS = 16
"""torch packs a multiple of so many outputs."""
_JOINABLE = 64
"""torch packs so many outputs as a block, so packed weights of whole blocks can be appended."""
_LEVELS = 15
_MIDDLE = 8


class Int4Weight:
    """A `QuantisedWeight`: `(level - 8) * scale + zero`, with levels from 0 to 15."""

    format_name = "int4-cpu"

    def __init__(self, packed: Tensor, scales_and_zeros: Tensor) -> None:
        """
        Args:
            packed: `[out, in / 2]`, uint8, in torch's layout for this CPU.
            scales_and_zeros: `[in / 32, out, 2]`, bfloat16.
        """
        self.packed = packed
        self.scales_and_zeros = scales_and_zeros
        self.shape = (packed.shape[0], 2 * packed.shape[1])

    @classmethod
    def quantise(cls, weight: Tensor) -> "Int4Weight":
        """Round `[out, in]` to 16 levels between the extremes of each group.

        Raises:
            ConfigError: the shape cannot be packed.
        """
        check_shape(weight)
        groups = weight.float().reshape(len(weight), -1, GROUP)
        low, high = groups.aminmax(dim=2)
        scales = ((high - low) / _LEVELS).bfloat16()
        zeros = (low + _MIDDLE * scales.float()).bfloat16()
        divisors = torch.where(scales == 0, 1.0, scales.float()).unsqueeze(2)
        levels = ((groups - zeros.float().unsqueeze(2)) / divisors).round() + _MIDDLE
        return cls.of_levels(levels.clamp(0, _LEVELS).flatten(1), scales, zeros)

    @classmethod
    def of_levels(cls, levels: Tensor, scales: Tensor, zeros: Tensor) -> "Int4Weight":
        """Pack levels.

        Args:
            levels: `[out, in]`, whole numbers from 0 to 15, of any dtype.
            scales, zeros: `[out, in / 32]`; rounded to bfloat16.

        Raises:
            ConfigError: the shape cannot be packed.
        """
        check_shape(levels)
        packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels.to(torch.int32), 1)
        both = torch.stack([scales.bfloat16(), zeros.bfloat16()], dim=-1)
        return cls(packed, both.transpose(0, 1).contiguous())

    @classmethod
    def join(cls, parts: "Sequence[Int4Weight]") -> "Int4Weight | None":
        """One weight with the outputs of all; None if torch's layout does not allow it.

        The parts become views of the packed levels, so that these are not held twice.
        """
        sizes = [part.shape[0] for part in parts]
        if any(size % _JOINABLE for size in sizes):
            return None
        packed = torch.cat([part.packed for part in parts])
        joined = cls(packed, torch.cat([part.scales_and_zeros for part in parts], dim=1))
        for part, view in zip(parts, torch.split(packed, sizes), strict=True):
            part.packed = view
        return joined

    @property
    def num_bytes(self) -> int:
        """Memory."""
        return self.packed.nbytes + self.scales_and_zeros.nbytes

    def multiply(self, states: Tensor) -> Tensor:
        """See `QuantisedWeight.multiply`."""
        product: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            states, self.packed, GROUP, self.scales_and_zeros
        )
        return product


def fits(weight: Tensor) -> bool:
    """Whether torch can pack a weight, `[out, in]`, in 4 bits."""
    num_outputs, num_inputs = weight.shape
    return num_inputs % GROUP == 0 and num_outputs % _OUTPUTS == 0


def check_shape(weight: Tensor) -> None:
    """Check that torch can pack a weight, `[out, in]`, in 4 bits.

    Raises:
        ConfigError: it cannot; the message names the size.
    """
    num_outputs, num_inputs = weight.shape
    if num_inputs % GROUP:
        raise ConfigError(
            f"a width of {num_inputs} cannot be rounded to 4 bits in groups of {GROUP} inputs; "
            "use int8-cpu"
        )
    if num_outputs % _OUTPUTS:
        raise ConfigError(
            f"{num_outputs} outputs cannot be packed in 4 bits: torch needs a multiple of "
            f"{_OUTPUTS}; use int8-cpu"
        )
