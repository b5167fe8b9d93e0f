"""What a build takes from this machine: Debian's packages, and the configuration of pip."""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.image_check.commands import CheckError, bound, run

_SEEN_AT = Path("/run/machine")
"""Where a root shows the files of this machine that pip's configuration names."""
_PROGRAMS = ("apt-get", "chroot", "dpkg-deb", "mount", "nsenter", "unshare", "wget")
_LEFT_OUT = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "var/cache/apt",
    "var/lib/apt/lists",
)
"""What an image of Debian does not have either."""
_APT_SETTINGS = ("Acquire::Check-", "Acquire::http")
"""Proxies, and what a mirror that stands still needs."""


def why_not() -> str | None:
    """Why images cannot be built on this machine; None if they can."""
    if os.geteuid() != 0:
        return "only root may change the root of a process"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"these programs are missing: {', '.join(missing)}"
    namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "true"]
    if subprocess.run(namespaces, capture_output=True, check=False).returncode:
        return "this machine lets nobody create namespaces"
    return None


def fetch_debootstrap(directory: Path) -> Path:
    """Download debootstrap and unpack it in a folder, without installing it.

    Returns:
        Its program; it needs `DEBOOTSTRAP_DIR`, see `make_base`.

    Raises:
        CheckError: apt cannot be used, or its mirror cannot be reached.
    """
    run("apt-get", "download", "--option=APT::Sandbox::User=root", "debootstrap", cwd=directory)
    (package,) = directory.glob("debootstrap_*.deb")
    run("dpkg-deb", "--extract", package, directory)
    return directory / "usr/sbin/debootstrap"


def make_base(image: str, root: Path) -> None:
    """A clean Debian, from the mirror that apt uses on this machine.

    Args:
        image: such as `debian:bookworm-slim`.
        root: created; the folder that it is in gets the program that makes it, for a while.

    Raises:
        CheckError: it is another image, or the mirror has no such release.
    """
    name, _, tag = image.partition(":")
    suite = tag.removesuffix("-slim")
    if name != "debian" or not tag.endswith("-slim"):
        raise CheckError(f"{image}: only debian:SUITE-slim can be made here")
    sources = _sources(suite)
    mirror = sources[0].split()[1]
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        program = fetch_debootstrap(Path(folder))
        own = {"DEBOOTSTRAP_DIR": f"{folder}/usr/share/debootstrap"}
        run(program, "--variant=minbase", suite, root, mirror, env=own)
    (root / "etc/apt/sources.list").write_text("\n".join(sources) + "\n", encoding="utf-8")
    dump = run("apt-config", "dump", "Acquire").splitlines()
    settings = "\n".join(line for line in dump if line.startswith(_APT_SETTINGS))
    (root / "etc/apt/apt.conf.d/90machine").write_text(settings + "\n", encoding="utf-8")
    (root / "etc/resolv.conf").unlink()  # debootstrap's copy; engines mount one
    for left_out in _LEFT_OUT:
        shutil.rmtree(root / left_out)
        (root / left_out).mkdir()


@contextmanager
def pip_configuration(root: Path) -> Iterator[str]:
    """The text of a pip.conf that is worth what pip is told on this machine.

    While it is in use, the root shows the files that it names: indexes, wheels, certificates.
    """
    lines = ["[global]"]
    with ExitStack() as mounts:
        for name, value in _pip_settings().items():
            words = []
            for word in value.split():
                path = _local_path(word)
                if path is not None:
                    # An index refers to files beside it.
                    shown = path.parent if word.startswith("file:") else path
                    target = root / _SEEN_AT.relative_to("/") / shown.relative_to("/")
                    if not target.exists():
                        mounts.enter_context(bound(shown, target, read_only=True))
                    word = word.replace(str(path), f"{_SEEN_AT}{path}")
                words.append(word)
            lines.append(f"{name} = {' '.join(words)}")
        yield "\n".join(lines) + "\n"


def _sources(suite: str) -> list[str]:
    """Lines of a sources.list: what this machine's apt has of the suite, the suite itself first."""
    form = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    found = run("apt-get", "indextargets", "--format", form, "Created-By: Packages").splitlines()
    releases = (suite, f"{suite}-updates", f"{suite}-security")
    lines = [line for name in releases for line in found if line.split()[2] == name]
    if not lines or lines[0].split()[2] != suite:
        raise CheckError(f"apt has no source for {suite} here, or apt-get update has not run")
    return list(dict.fromkeys(lines))


def _pip_settings() -> dict[str, str]:
    """What pip is told by its files and by the environment, which counts more."""
    settings = {}
    lines = run(sys.executable, "-m", "pip", "config", "list").splitlines()
    for line in sorted(lines, key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    settings.pop("config-file", None)
    return settings


def _local_path(word: str) -> Path | None:
    path = Path(word.removeprefix("file://"))
    return path if path.is_absolute() and path.exists() else None
