"""`python -m qstar_train` is `qstar train`, for `accelerate launch -m`."""

import sys

from qstar_infer.cli.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    main()
