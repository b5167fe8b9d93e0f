"""The time of a step computed from data sheets: what a GPU must read and multiply at least.

What is measured of it comes from outside: the time to start kernels, and that of Python.
"""

from dataclasses import dataclass

from benchmarks.fleet.cost import HostTime, StepSize

LAUNCH_MS_PER_LAYER = 2.0
"""Measured on an H200 with the 135M model: 57 to 61 ms for a thinking pass of 30 layers."""
_BYTES = 2
"""Of a weight, and of a number of keys and values: bfloat16."""
_MEMORY_SHARE = 0.7
_COMPUTE_SHARE = 0.5
"""Of what the data sheet promises; assumed."""
_POOL_SHARE = 0.85
"""Of the memory beside the weights, as the engine's `sizing` takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A line of a data sheet."""

    memory_gb: float
    bandwidth_tb_s: float
    bf16_tflops: float
    """Dense, without sparsity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What decides how much a model reads and multiplies."""

    billion_params: float
    """All weights, the output embedding once."""
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    hidden_size: int
    vocab_size: int

    @property
    def kv_bytes(self) -> int:
        """Of keys and values of a token in all layers."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * _BYTES

    @property
    def weight_bytes(self) -> float:
        return self.billion_params * 1e9 * _BYTES


GPUS = {
    "h200": Gpu(memory_gb=141, bandwidth_tb_s=4.8, bf16_tflops=989),
    "h100": Gpu(memory_gb=80, bandwidth_tb_s=3.35, bf16_tflops=989),
    "l4": Gpu(memory_gb=24, bandwidth_tb_s=0.3, bf16_tflops=121),
}
SHAPES = {
    "smollm2-135m": ModelShape(
        billion_params=0.1345,
        num_layers=30,
        num_heads=9,
        num_kv_heads=3,
        head_dim=64,
        hidden_size=576,
        vocab_size=49_152,
    ),
    "llama-3.2-1b": ModelShape(
        billion_params=1.236,
        num_layers=16,
        num_heads=32,
        num_kv_heads=8,
        head_dim=64,
        hidden_size=2048,
        vocab_size=128_256,
    ),
    "qwen2.5-7b": ModelShape(
        billion_params=7.616,
        num_layers=28,
        num_heads=28,
        num_kv_heads=4,
        head_dim=128,
        hidden_size=3584,
        vocab_size=152_064,
    ),
    "mistral-7b": ModelShape(
        billion_params=7.242,
        num_layers=32,
        num_heads=32,
        num_kv_heads=8,
        head_dim=128,
        hidden_size=4096,
        vocab_size=32_000,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflineTime:
    """The larger of reading and multiplying, or of starting kernels; then Python.

    Keys and values of a sequence are read once for all its rows.
    """

    gpu: Gpu
    shape: ModelShape
    launch_ms_per_layer: float = 0.0
    """What a CPU needs to start the kernels of a layer, one by one; 0: they are one graph."""
    host: HostTime = HostTime()
    """The GPU waits for it."""

    @property
    def weights_s(self) -> float:
        """Time to read the weights once, which is the least that a step takes."""
        return self.shape.weight_bytes / (self.gpu.bandwidth_tb_s * 1e12 * _MEMORY_SHARE)

    def seconds(self, step: StepSize) -> float:
        shape, gpu = self.shape, self.gpu
        moved = shape.weight_bytes + shape.kv_bytes * step.sequence_context
        memory_s = moved / (gpu.bandwidth_tb_s * 1e12 * _MEMORY_SHARE)
        head = shape.hidden_size * shape.vocab_size
        layers = shape.billion_params * 1e9 - head
        attention = 2 * shape.num_layers * shape.num_heads * shape.head_dim * step.row_context
        operations = 2 * (layers * step.rows + head * step.logit_rows + attention)
        compute_s = operations / (gpu.bf16_tflops * 1e12 * _COMPUTE_SHARE)
        launch_s = self.launch_ms_per_layer * shape.num_layers / 1000
        return max(memory_s, compute_s, launch_s) + self.host.ms(step) / 1000

    def num_blocks(self, *, block_size: int, most_tokens: int) -> int:
        """Blocks of the pool for keys and values that fit beside the weights.

        Args:
            most_tokens: that can ever be used.

        Raises:
            ValueError: the weights do not fit.
        """
        free = (self.gpu.memory_gb * 1e9 - self.shape.weight_bytes) * _POOL_SHARE
        if free <= 0:
            raise ValueError(
                f"the weights need {self.shape.weight_bytes / 1e9:.1f} GB, and the GPU has "
                f"{self.gpu.memory_gb:g} GB; take a larger GPU, or several (tensor parallel)"
            )
        return int(min(most_tokens, free / self.shape.kv_bytes)) // block_size
