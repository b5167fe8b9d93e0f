"""Builds the C libraries into the installed package, for machines without a C compiler.

    python -m qstar_infer.prebuild

One build serves every CPU of this architecture: each library is there for each set of
instructions that torch distinguishes.
"""

import subprocess
import sys

from qstar_infer.attention.paged import library as paged
from qstar_infer.compiled.build import PREBUILT, prebuild
from qstar_infer.decoder import row_ops_library
from qstar_infer.sampling import logit_rows_library

SOURCES = (paged.SOURCE, row_ops_library.SOURCE, logit_rows_library.SOURCE)


def main() -> None:
    """Build all libraries and name their files; what the compiler says ends the process."""
    try:
        built = prebuild(SOURCES, PREBUILT)
    except subprocess.CalledProcessError as error:
        sys.exit(error.stderr.decode(errors="replace"))
    for path in built:
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
