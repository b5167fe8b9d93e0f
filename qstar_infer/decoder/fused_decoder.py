"""Runs the layers of the Llama family from packed weights, with few operations between them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qstar_infer.attention.interface import AttentionState
from qstar_infer.decoder.fused_layer import FusedLayer, pack_layer, read_norm
from qstar_infer.decoder.llama_family import NotFusableError, all_modules, read_layers
from qstar_infer.decoder.native_row_ops import build_row_ops
from qstar_infer.decoder.row_ops import Norm, Rotation
from qstar_infer.kernels.linear_kernel import LinearKernel, PackedLinear, pad_rows
from qstar_infer.kernels.pack_together import pack_together
from qstar_infer.model.quiet_star import QuietStarModel


class FusedDecoder:
    """A `Decoder` on the CPU. Packs again when a weight of the model has changed."""

    layers: list[FusedLayer]

    def __init__(self, model: QuietStarModel, kernel: LinearKernel) -> None:
        """
        Raises:
            NotFusableError: the model's layers are not of the known structure.
        """
        self._model = model
        self._kernel = kernel
        self.modules = read_layers(model.backbone, model.layer_shapes)
        self._weights = [
            parameter
            for module in all_modules(model.backbone, self.modules)
            for parameter in module.parameters()
        ]
        self._rotary_emb = model.backbone.base_model.get_submodule("rotary_emb")
        self.dtype = kernel.dtype
        self.device = model.device
        self.ops = build_row_ops(self.dtype, head_dim=self.modules[0].head_dim)
        try:
            self._pack()
        except TypeError as error:
            raise NotFusableError(f"its weights cannot be packed: {error}") from error

    def embed(self, token_ids: Tensor) -> Tensor:
        """See `Decoder.embed`."""
        return self._model.embed(token_ids).to(self.dtype)

    def hidden(self, embeddings: Tensor, positions: Tensor, attention: AttentionState) -> Tensor:
        """See `Decoder.hidden`."""
        self._pack_if_changed()
        num_rows = embeddings.shape[0]
        # Once here, not in each product. Rounded layers need no padding.
        padded = self._kernel.padded_rows(num_rows) if self._has_packed_layers else num_rows
        states = pad_rows(embeddings, padded).to(torch.float32, copy=True)
        positions = F.pad(positions, (0, padded - num_rows))
        rotation = self.rotation(states, positions)
        update: Tensor | None = None
        for layer in self.layers:
            update = layer.run(self.ops, states, update, rotation, attention, num_rows)
        return self.ops.add_norm_(states, update, self._final_norm)[:num_rows]

    def logits(self, hidden: Tensor) -> Tensor:
        """See `Decoder.logits`. The pass that computed the states has noticed changes."""
        return self._lm_head(hidden).float()

    def rotation(self, states: Tensor, positions: Tensor) -> Rotation:
        """The rotary positions of `[rows]`, by the model's own module in float32."""
        cos, sin = self._rotary_emb(states.unsqueeze(0), positions.unsqueeze(0))
        return Rotation(cos=cos[0].contiguous(), sin=sin[0].contiguous())

    def _pack_if_changed(self) -> None:
        if self._sum_of_versions() != self._versions:
            self._pack()

    def _sum_of_versions(self) -> int:
        """Grows with every change in place; torch counts the changes of each tensor."""
        return sum([weight._version for weight in self._weights])

    @torch.no_grad()
    def _pack(self) -> None:
        backbone, kernel = self._model.backbone, self._kernel
        self._versions = self._sum_of_versions()
        self.layers = [pack_layer(modules, kernel) for modules in self.modules]
        self._has_packed_layers = any(
            type(linear) is nn.Linear for modules in self.modules for linear in modules.linears
        )
        self._final_norm: Norm = read_norm(backbone.base_model.get_submodule("norm"))
        self._lm_head: PackedLinear = pack_together([backbone.get_submodule("lm_head")], kernel)
