"""Chooses the decoder of a model."""

from qstar_infer.decoder.decoder import Decoder
from qstar_infer.decoder.module_decoder import ModuleDecoder
from qstar_infer.kernels.choose import choose_kernel
from qstar_infer.kernels.module_layers import pack_layers
from qstar_infer.model.quiet_star import QuietStarModel


def build_decoder(model: QuietStarModel) -> Decoder:
    """The fastest decoder that gives the model's results on this machine."""
    if model.device.type == "cpu":
        pack_layers(model.backbone, choose_kernel(model.backbone))
    return ModuleDecoder(model)
