"""The device that the tests compute on: the CPU, or what the environment variable names.

With `QSTAR_TEST_DEVICE=cuda` the tests of parity, engine, server and trainer run on the GPU, and
those of `tests/gpu` are not skipped. References still compute on the CPU.
"""

import os

DEVICE = os.environ.get("QSTAR_TEST_DEVICE", "cpu")
