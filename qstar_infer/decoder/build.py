"""Chooses the decoder of a model."""

from qstar_infer.decoder.decoder import Decoder
from qstar_infer.decoder.module_decoder import ModuleDecoder
from qstar_infer.kernels.packed_linear import pack_linears
from qstar_infer.model.quiet_star import QuietStarModel


def build_decoder(model: QuietStarModel) -> Decoder:
    """The fastest decoder that gives the model's results on this machine."""
    pack_linears(model.backbone)
    return ModuleDecoder(model)
