"""Chooses the decoder of a model."""

import logging

import psutil
import torch

from qstar_infer.decoder.decoder import Decoder
from qstar_infer.decoder.fused_decoder import FusedDecoder
from qstar_infer.decoder.llama_family import NotFusableError
from qstar_infer.decoder.module_decoder import ModuleDecoder
from qstar_infer.decoder.probe import check_decoder
from qstar_infer.kernels.linear_kernel import LinearKernel
from qstar_infer.kernels.one_dnn import OneDnnKernel
from qstar_infer.kernels.packed_linear import pack_linears
from qstar_infer.kernels.plain import PlainKernel
from qstar_infer.model.quiet_star import QuietStarModel

_log = logging.getLogger(__name__)

_MEMORY_SHARE = 0.5
"""Largest share of free memory for packed copies of the weights."""


def build_decoder(model: QuietStarModel) -> Decoder:
    """The fastest decoder that gives the model's results on this machine."""
    try:
        return _fused_decoder(model)
    except NotFusableError as error:
        _log.debug("the layers run as the modules of transformers: %s", error)
    pack_linears(model.backbone)
    return ModuleDecoder(model)


def _fused_decoder(model: QuietStarModel) -> FusedDecoder:
    """Fused layers that have been compared with the model's own.

    Raises:
        NotFusableError: the model, its device or its size does not allow them, or they differ.
    """
    if model.device.type != "cpu":
        raise NotFusableError(f"they would run on {model.device.type}; only a CPU has kernels")
    kernel = _choose_kernel(model.dtype)
    needed = sum(
        parameter.numel() * max(parameter.element_size(), kernel.dtype.itemsize)
        for parameter in model.backbone.parameters()
    )
    if needed > psutil.virtual_memory().available * _MEMORY_SHARE:
        raise NotFusableError(f"packed copies need {needed / 2**30:.1f} GiB, which is too much")
    decoder = FusedDecoder(model, kernel)
    check_decoder(decoder, model)
    return decoder


def _choose_kernel(dtype: torch.dtype) -> LinearKernel:
    packed = OneDnnKernel(dtype)
    return packed if dtype == torch.bfloat16 and packed.is_available() else PlainKernel(dtype)
