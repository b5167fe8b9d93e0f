"""Starts an image, and checks that it does what docs/containers.md says.

    unshare --mount --net python -m scripts.image_check.trial IMAGE.json

In a network of its own, so that the image's port is free, and nobody else can reach the server.
"""

import fcntl
import json
import os
import secrets
import socket
import struct
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scripts.image_check.commands import CheckError
from scripts.image_check.container import Container
from scripts.image_check.image import Image
from scripts.image_check.requests import ask, stream

DRAIN_S = 300.0
"""`drain_grace_s` of the server here: a machine that is busy with other work must not fail."""
_EXIT_S = 120.0
_LOADING_S = 600.0
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_COMPILERS = {"as", "c++", "c89", "c99", "cc", "clang", "g++", "gcc", "ld", "make", "pip", "uv"}
_PROMPT = "The capital of France is"
_WRITE = """
import pathlib, sys
for name in sys.argv[1:]:
    try:
        pathlib.Path(name, "written").touch()
        print(name, 0)
    except OSError as error:
        print(name, error.errno)
"""


def write_spec(image: Image, path: Path) -> None:
    """Write what `main` reads."""
    path.write_text(json.dumps(asdict(image), default=str), encoding="utf-8")


def main() -> None:
    """Try the image whose description is in the file; the exit status is 1 if a check fails."""
    spec = Path(sys.argv[1])
    fields = json.loads(spec.read_text(encoding="utf-8"))
    image = Image(**fields | {"root": Path(fields["root"])})
    volume = spec.parent / "volume"
    volume.mkdir()
    uid, _, gid = image.user.partition(":")
    os.chown(volume, int(uid), int(gid))
    set_loopback_up()
    try:
        Trial(image, volume, spec.parent / "log").run()
    except CheckError as error:
        sys.exit(f"FAILED: {error}")


def set_loopback_up() -> None:
    """Let the processes of a new network namespace reach each other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


class Trial:
    """The checks of one image."""

    def __init__(self, image: Image, volume: Path, log: Path) -> None:
        """
        Args:
            volume: an empty folder that belongs to the image's user.
            log: where the server's output goes.
        """
        self._image = image
        self._volume = volume
        self._log = log
        self._key = secrets.token_hex(16)
        self._port = int(image.env["QSTAR_PORT"])

    def run(self) -> None:
        """
        Raises:
            CheckError: the image is not what it should be.
        """
        self.has_no_compiler()
        self.needs_a_key()
        self.stops_before_it_has_started()
        with self._container(QSTAR_API_KEY=self._key, QSTAR_DRAIN_GRACE_S=str(DRAIN_S)) as server:
            self.becomes_healthy(server)
            self.is_confined(server)
            self.answers(server)
            self.uses_prebuilt_libraries(server)
            self.drains(server)

    def has_no_compiler(self) -> None:
        """Neither a compiler nor an installer is in a folder of programs."""
        folders = [
            self._image.root / path.lstrip("/") for path in self._image.env["PATH"].split(":")
        ]
        programs = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
        found = {name for name in programs if name in _COMPILERS or name.startswith("gcc-")}
        expect(not found, f"no compiler and no installer is in the image{found or ''}")

    def needs_a_key(self) -> None:
        """Without a key the server refuses to start, and says what to do."""
        with self._container() as server:
            status = server.wait(_EXIT_S)
            expect(status == 2, f"without a key it does not start: exit status {status}")
            expect("QSTAR_API_KEY" in self._said(), "it says: " + self._said().splitlines()[0])

    def stops_before_it_has_started(self) -> None:
        """A SIGTERM to process 1 counts from the first moment."""
        with self._container(QSTAR_API_KEY=self._key) as server:
            while not server.has_started():
                time.sleep(0.01)
            server.stop()
            expect(server.wait(_EXIT_S) in (0, 143), "SIGTERM while Python starts ends it")

    def becomes_healthy(self, server: Container) -> None:
        """The health check fails while the model loads, and succeeds then."""
        began, answers = time.monotonic(), list[str]()
        while (result := server.run(*self._image.healthcheck)).returncode:
            answers.append(result.stderr.strip())
            if server.exit_status is not None or time.monotonic() - began > _LOADING_S:
                raise CheckError(f"the server is not ready: {answers[-1]}\n{self._said()}")
            time.sleep(2)
        while_loading = [answer for answer in answers if "model_loading" in answer]
        expect(bool(while_loading), f"unhealthy while loading, {len(while_loading)} times")
        print(f"  ok: healthy after {time.monotonic() - began:.0f} s", flush=True)

    def is_confined(self, server: Container) -> None:
        """Not root, no rights to gain, and only volume and /tmp can be written to."""
        process = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{server.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        expect(process["NSpid"].split()[-1] == "1", f"process 1 is {process['Name']}")
        expect(set(process["Uid"].split()) == {"10001"}, "it runs as user 10001")
        expect(int(process["CapBnd"], 16) == 0, "it has no capabilities")
        (volume,) = self._image.volumes
        places = ["/", "/opt/qstar", "/etc", "/tmp", volume]
        said = server.run("python3", "-c", _WRITE, *places).stdout.split()
        errors = dict(zip(said[::2], said[1::2], strict=True))
        writable = {place for place, error in errors.items() if error == "0"}
        expect(errors["/"] == "30" and writable == {"/tmp", volume}, f"writable are {writable}")

    def uses_prebuilt_libraries(self, server: Container) -> None:
        """The C libraries of the image are loaded, and torch computes nothing in their place."""
        script = "cat /proc/[0-9]*/maps | grep -o '[^ /]*[.]so$' | sort -u"
        loaded = set(server.run("sh", "-c", script).stdout.split())
        folders = self._image.root.glob(
            "opt/qstar/lib/python3*/site-packages/qstar_infer/compiled/prebuilt"
        )
        built = {path.name for folder in folders for path in folder.iterdir()}
        names = sorted(loaded & built)
        expect(len(names) == 3, f"prebuilt libraries are loaded: {', '.join(names)}")
        expect("Torch computes what" not in self._said(), "nothing is computed by torch instead")

    def answers(self, server: Container) -> None:
        """A completion with thoughts, for those who have the key."""
        body = self._body(max_tokens=6, temperature=0, show_thoughts=True)
        status, _ = ask(self._port, "POST", "/v1/completions", body=body)
        expect(status == 401, "without the key: 401")
        status, answer = ask(self._port, "POST", "/v1/completions", key=self._key, body=body)
        expect(status == 200, f"with it: {status}")
        choice = answer["choices"][0]
        thoughts = [entry for entry in choice["thoughts"] if entry["thought"]]
        print(f"    {_PROMPT!r} -> {choice['text']!r}")
        for thought in thoughts:
            print(f"    thought {thought['thought']!r} before {thought['token']!r}")
        expect(len(thoughts) == 6, "each of 6 tokens has a thought")
        server.run(*self._image.healthcheck)
        lines = self._said().count("GET /health 200")
        expect(lines == 1, f"health checks that succeeded left {lines} line in the log")

    def drains(self, server: Container) -> None:
        """After SIGTERM an open stream is finished, and the exit status is 0."""
        body = self._body(max_tokens=12, ignore_eos=True, stream=True)
        events = stream(self._port, "/v1/completions", key=self._key, body=body)
        first = next(events)
        server.stop()
        rest = [first, *events]
        finish = [event["choices"][0]["finish_reason"] for event in rest[:-1] if event["choices"]]
        expect(finish[-1] == "length" and rest[-1] == "[DONE]", "SIGTERM: the stream is finished")
        status = server.wait(DRAIN_S + _EXIT_S)
        expect(status == 0, f"exit status {status}")

    def _body(self, **fields: Any) -> dict[str, Any]:
        _, models = ask(self._port, "GET", "/v1/models", key=self._key)
        return {"model": models["data"][0]["id"], "prompt": _PROMPT, **fields}

    def _container(self, **env: str) -> Container:
        return Container(self._image, self._volume, self._log, env=env)

    def _said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


def expect(holds: bool, text: str) -> None:
    """Print a check that holds.

    Raises:
        CheckError: it does not hold.
    """
    if not holds:
        raise CheckError(text)
    print(f"  ok: {text}", flush=True)


if __name__ == "__main__":
    main()
