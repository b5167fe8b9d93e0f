"""Chooses the decoder of a model."""

import logging

import psutil
import torch

from qstar_infer.decoder.decoder import Decoder
from qstar_infer.decoder.fused_decoder import FusedDecoder
from qstar_infer.decoder.llama_family import NotFusableError
from qstar_infer.decoder.module_decoder import ModuleDecoder
from qstar_infer.decoder.probe import check_decoder
from qstar_infer.hardware import has_fast_bfloat16
from qstar_infer.kernels.choose import choose_kernel
from qstar_infer.kernels.linear_kernel import LinearKernel
from qstar_infer.kernels.module_layers import pack_layers
from qstar_infer.model.quiet_star import QuietStarModel

_log = logging.getLogger(__name__)

_MEMORY_SHARE = 0.25
"""Largest share of free memory for copies of the weights: packed, or joined to one product."""


def build_decoder(model: QuietStarModel) -> Decoder:
    """The fastest decoder that gives the model's results on this machine."""
    if model.device.type != "cpu" or model.is_sharded:
        return ModuleDecoder(model)
    kernel = choose_kernel(model.backbone)
    try:
        return _fused_decoder(model, kernel)
    except NotFusableError as error:
        _log.debug("The layers run as the modules of transformers: %s", error)
    pack_layers(model.backbone, kernel)
    return ModuleDecoder(model)


def largest_dtype(model: QuietStarModel) -> torch.dtype:
    """The largest dtype that the decoder of a model may have, known before it is built."""
    return model.dtype if has_fast_bfloat16(model.device) else torch.float32


def _fused_decoder(model: QuietStarModel, kernel: LinearKernel) -> FusedDecoder:
    """Fused layers that have been compared with the model's own.

    Raises:
        NotFusableError: the model or its size does not allow them, or they differ.
    """
    num_bytes = sum(
        weight.numel() * max(weight.element_size(), kernel.bytes_per_weight)
        for weight in model.backbone.parameters()
    )
    if num_bytes > psutil.virtual_memory().available * _MEMORY_SHARE:
        raise NotFusableError(f"copies of {num_bytes / 2**30:.1f} GiB do not fit in memory")
    decoder = FusedDecoder(model, kernel)
    check_decoder(decoder, model)
    return decoder
