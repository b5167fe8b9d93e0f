"""Executes the steps of a Dockerfile's stages, each stage in a root of its own."""

import copy
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from scripts.image_check.commands import CheckError, bound, in_root, run
from scripts.image_check.copying import copy_from_context, copy_from_root, inside_of
from scripts.image_check.dockerfile import Dockerfile, Instruction, Stage, expand
from scripts.image_check.image import Image
from scripts.image_check.machine import make_base, pip_configuration


class ImageBuilder:
    """Builds stages when they are needed, once each."""

    def __init__(
        self,
        dockerfile: Dockerfile,
        *,
        context: Path,
        directory: Path,
        pip_cache: Path,
        say: Callable[[str], None],
    ) -> None:
        """
        Args:
            context: the folder that COPY reads.
            directory: for the roots; empty.
            pip_cache: kept between builds.
            say: called with each step.
        """
        self._file = dockerfile
        self._context = context
        self._directory = directory
        self._pip_cache = pip_cache
        self._say = say
        self._images: dict[str, Image] = {}

    def build(self, name: str) -> Image:
        """The image of a stage, or one that is not in the file.

        Raises:
            CheckError: a step failed.
        """
        if name not in self._images:
            stage = self._file.stages.get(name)
            self._images[name] = self._base(name) if stage is None else self._stage(stage)
        return self._images[name]

    def _base(self, name: str) -> Image:
        began = time.monotonic()
        root = self._directory / "base"
        make_base(name, root)
        self._say(f"{time.monotonic() - began:6.1f} s  {name}, made by debootstrap")
        return Image(root)

    def _stage(self, stage: Stage) -> Image:
        base = self.build(stage.base)
        image = copy.deepcopy(base)
        image.root, image.args = self._directory / stage.name, {}
        run("cp", "--archive", base.root, image.root)
        for step in stage.instructions:
            for name in [value for flag, value in step.flags if flag == "from"]:
                self.build(name)
            began = time.monotonic()
            self._step(image, step)
            seconds = time.monotonic() - began
            self._say(f"{seconds:6.1f} s  {stage.name}: {step.keyword} {step.value[:80]}")
        return image

    def _step(self, image: Image, step: Instruction) -> None:
        match step.keyword:
            case "RUN":
                self._run(image, step)
            case "COPY":
                self._copy(image, step)
            case "WORKDIR":
                image.workdir = expand(step.value, image.variables)
                inside_of(image.root, image.workdir).mkdir(parents=True, exist_ok=True)
            case "ARG":
                # Without a default it repeats an ARG from before the first FROM.
                outer = {step.value: self._file.args.get(step.value, "")}
                image.args |= step.pairs(image.variables) or outer
            case _:
                image.describe(step)

    def _run(self, image: Image, step: Instruction) -> None:
        with ExitStack() as mounts:
            for name in ("etc/resolv.conf", "etc/hosts"):
                mounts.enter_context(bound(Path("/", name), image.root / name, read_only=True))
            for name, value in step.flags:
                if name != "mount":
                    raise CheckError(f"line {step.line}: RUN --{name} cannot be executed here")
                self._mount(image.root, value, mounts)
            command = in_root(
                image.root,
                step.exec_form() or ["/bin/sh", "-c", step.value],
                env={"HOME": "/root"} | image.variables,
                workdir=image.workdir,
                user=image.user,
            )
            # What a step leaves running ends with its process namespace.
            namespaces = ("--mount", "--pid", "--fork", "--kill-child")
            run("unshare", *namespaces, f"--mount-proc={image.root}/proc", *command)

    def _mount(self, root: Path, value: str, mounts: ExitStack) -> None:
        options = dict(each.split("=", 1) for each in value.split(","))
        target = inside_of(root, options.pop("target"))
        if options == {"type": "cache"}:
            self._pip_cache.mkdir(parents=True, exist_ok=True)
            mounts.enter_context(bound(self._pip_cache, target))
        elif options == {"type": "secret", "id": "pip"}:
            secret = self._directory / "pip.conf"
            secret.write_text(mounts.enter_context(pip_configuration(root)), encoding="utf-8")
            mounts.enter_context(bound(secret, target, read_only=True))
        else:
            raise CheckError(f"--mount={value} cannot be executed here")

    def _copy(self, image: Image, step: Instruction) -> None:
        *sources, target = expand(step.value, image.variables).split()
        place = str(Path(image.workdir, target))
        if target.endswith(("/", ".")):
            place += "/"
        for source in sources:
            match step.flags:
                case ():
                    copy_from_context(self._context, source, image.root, place)
                case (("from", stage),):
                    copy_from_root(self.build(stage).root, source, image.root, place)
                case _:
                    raise CheckError(f"line {step.line}: flags of COPY that are not understood")
