"""Detects what the hardware computes fast."""

import torch


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic on a device is faster than float32.

    True for CUDA. A CPU needs bfloat16 instructions (AVX512-BF16 or AMX) and a oneDNN whose kernels
    use them. Otherwise torch computes one element at a time, several times slower than in float32.
    The environment variables `ATEN_CPU_CAPABILITY` and `ONEDNN_MAX_CPU_ISA` can simulate an older
    CPU.
    """
    if device.type != "cpu":
        return True
    # oneDNN also says no on ARM without bfloat16; the flags below exist only for x86.
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (has_onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    # The CPU flags ignore ATEN_CPU_CAPABILITY; torch's capability respects it.
    allows_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return allows_avx512 and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
