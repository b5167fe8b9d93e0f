"""The part of `make image-check` that mounts: builds an image in clean roots, and tries it.

unshare --mount --pid --fork python -m scripts.image_check.inside DIRECTORY
"""

import subprocess
import sys
import time
from pathlib import Path

from qstar_infer.cache_directory import cache_directory
from scripts.image_check.builder import ImageBuilder
from scripts.image_check.commands import CheckError, run
from scripts.image_check.dockerfile import DockerfileError, parse
from scripts.image_check.image import Image
from scripts.image_check.trial import write_spec

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker/Dockerfile"
TARGET = "cpu"
"""The other image takes gigabytes."""


def main() -> None:
    """Build and try the image; the exit status is 1 if something is not as it should be."""
    try:
        check(Path(sys.argv[1]))
    except (CheckError, DockerfileError) as error:
        sys.exit(f"FAILED: {error}")


def check(directory: Path) -> None:
    """
    Args:
        directory: for everything that is made; empty.

    Raises:
        CheckError: a step failed, or a check of the running server.
        DockerfileError: a step is not understood.
    """
    began = time.monotonic()
    run(Path(sys.executable).with_name("hadolint"), DOCKERFILE)
    say("  ok: hadolint has nothing to say about docker/Dockerfile")
    builder = ImageBuilder(
        parse(DOCKERFILE.read_text(encoding="utf-8")),
        context=ROOT,
        directory=directory,
        pip_cache=cache_directory() / "image-check-pip",
        say=say,
    )
    image = builder.build(TARGET)
    say(f"{time.monotonic() - began:6.1f} s  the image is built; its size: {size_of(image)}")
    spec = directory / "image.json"
    write_spec(image, spec)
    trial = ("unshare", "--mount", "--net", sys.executable, "-m", "scripts.image_check.trial")
    if subprocess.run([*trial, spec], cwd=ROOT, check=False).returncode:
        raise CheckError("the image is not as it should be; see above")
    say(f"{time.monotonic() - began:6.1f} s  the image is as docs/containers.md says")


def size_of(image: Image) -> str:
    """Bytes of the files, and of their archive as a registry keeps it."""
    unpacked = run("du", "--summarize", "--block-size=1", image.root).split()[0]
    archive = 'tar --create --directory "$1" . | gzip -6 | wc -c'
    packed = run("sh", "-euc", archive, "sh", image.root)
    return f"{int(unpacked) / 1e6:.0f} MB, {int(packed) / 1e6:.0f} MB compressed"


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
