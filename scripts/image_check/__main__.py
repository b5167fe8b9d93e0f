"""Builds the CPU image in clean roots, starts it as an engine would, and tries it.

    make image-check

Needs root, and the mirror of Debian that apt uses, but no container engine. Everything is mounted
and started in namespaces of its own, which end with this process: nothing stays mounted or running.
"""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.image_check.machine import why_not

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Build and try the image; the exit status is 1 if something is not as it should be."""
    reason = why_not()
    if reason is not None:
        sys.exit(f"image-check: cannot build images here: {reason}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("image-check: stopped by SIGTERM"))
    with tempfile.TemporaryDirectory(prefix="image-check-") as directory:
        # Outside of the namespace nothing is mounted in the directory, so it can be deleted.
        namespaces = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        inside = (sys.executable, "-m", "scripts.image_check.inside", directory)
        result = subprocess.run(["unshare", *namespaces, *inside], cwd=ROOT, check=False)
    sys.exit(result.returncode)


if __name__ == "__main__":
    main()
