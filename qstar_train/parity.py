"""Compare the training objective with the paper's own code.

    python -m qstar_train.parity DIRECTORY

DIRECTORY has the layout of tests/golden/A: a checkpoint and the training vectors that the paper's
code computed on it. Cases may have any n_ahead from 4, n_ahead_talk, n_passes and thought rule.
Prints the largest relative deviation of each quantity over all cases. Exits with 0 if all are
within the tolerance, with 1 if one is not, with 2 if the directory cannot be compared.

The comparison is test support (tests/parity/training), so the command needs a checkout of the
repository.
"""

import argparse
import importlib
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
COMPARISON = "tests.parity.training.compare"


def main() -> int:
    """Compare and print; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    if not (CHECKOUT / f"{COMPARISON.replace('.', '/')}.py").is_file():
        parser.error(
            f"{CHECKOUT} is no checkout; the comparison is part of the repository's tests. Run the "
            "command in a checkout (pip install --editable .)."
        )
    sys.path.insert(0, str(CHECKOUT))
    return int(importlib.import_module(COMPARISON).print_comparison(directory))


if __name__ == "__main__":
    sys.exit(main())
