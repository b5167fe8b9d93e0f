"""All tests of the kernels, on a CPU that is restricted to AVX2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RESTRICTED = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",
}
HERE = Path(__file__)


@pytest.mark.slow
@pytest.mark.skipif(
    RESTRICTED.items() <= os.environ.items(), reason="this process is restricted already"
)
def test_the_kernels_on_a_cpu_with_avx2_only() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, str(HERE.parent), f"--ignore={HERE}"],
        cwd=HERE.parents[2],
        env=os.environ | RESTRICTED,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
