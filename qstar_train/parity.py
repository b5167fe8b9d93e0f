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
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qstar_infer.errors import ConfigError, QStarError

CHECKOUT = Path(__file__).resolve().parents[1]
COMPARISON = "tests.parity.training.compare"


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    try:
        comparison = _comparison()
        cases = comparison.read_cases(directory)
        worst = comparison.compare_cases(cases)
    except QStarError as error:
        Console(stderr=True).print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 2
    table = Table("quantity", "largest relative deviation", "in case")
    for quantity, (deviation, name) in worst.items():
        table.add_row(quantity, f"{deviation:.1e}", name)
    console = Console()
    console.print(table)
    for note in (note for case in cases for note in case.notes()):
        console.print(Text(note))
    return int(not all(deviation <= comparison.TOLERANCE for deviation, _ in worst.values()))


def _comparison() -> Any:
    """The module of the checkout that compares.

    Raises:
        ConfigError: the package is not installed from a checkout.
    """
    path = CHECKOUT / f"{COMPARISON.replace('.', '/')}.py"
    if not path.is_file():
        raise ConfigError(
            f"{path} does not exist; the comparison is part of the repository's tests. Run the "
            "command in a checkout (pip install --editable .)."
        )
    if str(CHECKOUT) not in sys.path:
        sys.path.insert(0, str(CHECKOUT))
    return importlib.import_module(COMPARISON)


if __name__ == "__main__":
    sys.exit(main())
