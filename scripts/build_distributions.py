"""Build sdists and wheels of `qstar` and `qstar-client` into `dist/`, always with the same bytes.

    .venv/bin/python -m scripts.build_distributions

The files that git tracks are copied to a temporary directory, with uncommitted changes (then the
version says so), and built there with the setuptools of this environment. Each wheel is built from
its sdist. The bytes depend on the commit, and on the versions of Python, zlib, setuptools and
setuptools-scm; not on place, time, user, umask or files that git does not track.
"""

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
OUT = ROOT / "dist"
PROJECTS = (".", "clients/python")


def main() -> None:
    """Replace `dist/`, and print the SHA-256 of each file."""
    if not (ROOT / ".git").exists():
        raise SystemExit(f"{ROOT} is not a git checkout: files and versions are taken from git.")
    shutil.rmtree(OUT, ignore_errors=True)
    for path in build_all(OUT):
        print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)


def build_all(out: Path) -> list[Path]:
    """Build an sdist and a wheel of each project; returns their paths."""
    with TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        copy_checkout(tree)
        for project in PROJECTS:
            built = Path(temporary) / "built" / project
            build(tree / project, "--sdist", built)
            (sdist,) = built.glob("*.tar.gz")
            normalise(sdist, commit_time())
            build(sdist, "--wheel", built)
            shutil.copytree(built, out, dirs_exist_ok=True)
    return sorted(out.iterdir())


def copy_checkout(tree: Path) -> None:
    """Clone the repository, with the uncommitted changes of tracked files."""
    run("git", "clone", "--quiet", "--shared", str(ROOT), str(tree))
    run("git", "-C", str(tree), "checkout", "--quiet", "--detach")  # sdists name the branch
    changes = tree.with_name("changes.patch")
    run("git", "-C", str(ROOT), "diff", "--binary", f"--output={changes}", "HEAD")
    run("git", "-C", str(tree), "apply", "--allow-empty", str(changes))


def build(source: Path, kind: str, out: Path) -> None:
    command = (sys.executable, "-m", "build", "--quiet", "--no-isolation", kind)
    run(*command, "--outdir", str(out), str(source))


def normalise(sdist: Path, time: int) -> None:
    """Write a .tar.gz again: sorted, with one time, and without the user who made it."""
    with tarfile.open(sdist) as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name)
        contents = [archive.extractfile(member) for member in members]
        data = [None if file is None else file.read() for file in contents]
    with (
        sdist.open("wb") as raw,
        gzip.GzipFile("", "wb", fileobj=raw, mtime=time) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for member, content in zip(members, data, strict=True):
            member.mtime = time
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.pax_headers = {}
            archive.addfile(member, None if content is None else io.BytesIO(content))


def commit_time() -> int:
    """Seconds since 1970 of the commit that is checked out."""
    return int(subprocess.check_output(["git", "log", "-1", "--format=%ct"], cwd=ROOT))


def run(*command: str) -> None:
    """Run with the commit's time and fixed permissions of new files; its stdout is not shown."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(commit_time())}
    subprocess.run(command, env=environment, umask=0o022, stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
