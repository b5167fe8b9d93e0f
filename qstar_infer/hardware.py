"""What the machine computes fast."""

import torch


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic on a device is faster than float32.

    True for CUDA. On a CPU it takes bfloat16 instructions (AVX512-BF16 or AMX) and a oneDNN whose
    kernels use them. Without them torch computes one element at a time, several times slower than
    float32. `ATEN_CPU_CAPABILITY` and `ONEDNN_MAX_CPU_ISA` restrict both, so that they can
    simulate an older CPU.
    """
    if device.type != "cpu":
        return True
    # oneDNN says no on ARM without bfloat16 as well; the flags below exist for x86 alone.
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (has_onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    # The CPU's flags ignore ATEN_CPU_CAPABILITY; torch's capability follows it.
    allows_avx512 = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return allows_avx512 and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
