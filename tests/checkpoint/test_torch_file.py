"""Files of `torch.save` are read only if they hold tensors and plain containers; none is run.

Each hostile file would create a canary. A test first shows that the file is live, by unpickling it
with Python's own pickle, so that the absence of the canary proves something.
"""

import collections
import io
import os
import pickle
import sys
import tarfile
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from qstar_infer.checkpoint import load_model
from qstar_infer.checkpoint.torch_file import read_torch_file
from qstar_infer.errors import CheckpointError


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path, call: Callable[..., Any] = os.system) -> None:
        self.path, self.call = path, call

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        by_python = f"open({str(self.path)!r}, 'w').close()"
        return self.call, (f"touch {self.path}" if self.call is os.system else by_python,)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "the file's code was run"


def pickled_name(call: Callable[..., Any]) -> str:
    return f"{call.__module__}.{call.__name__}"


def data_pkl(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))


def rewrite(path: Path, change: Callable[[str, bytes], bytes], *, packed: bool = False) -> None:
    """Write the records of an archive again, changed, with right checksums."""
    with zipfile.ZipFile(path) as archive:
        records = {each.filename: archive.read(each) for each in archive.filelist}
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in records.items():
            archive.writestr(name, change(name, content))


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        read_torch_file(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("call", [os.system, exec, eval])
def test_a_file_that_calls_a_function(tmp_path: Path, canary: Path, call: Any) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {}, "callbacks": [Touch(canary, call)]}, path)
    pickle.loads(data_pkl(path))
    assert canary.exists(), "the file is live"
    canary.unlink()
    assert_refused(path, f"wants to run code: {pickled_name(call)}")


def test_a_file_with_a_config_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the trainer writes it: the class is not on this machine, or is and must not be used."""
    module = types.ModuleType("quiet_star.config")
    config = type("QwenDefaultConfig", (), {"__module__": "quiet_star.config"})
    monkeypatch.setattr(module, "QwenDefaultConfig", config, raising=False)
    monkeypatch.setitem(sys.modules, "quiet_star", types.ModuleType("quiet_star"))
    monkeypatch.setitem(sys.modules, "quiet_star.config", module)
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {}, "hyper_parameters": {"config": config()}}, path)
    message = r"wants to run code: quiet_star\.config\.QwenDefaultConfig\. .*'Lightning files'"
    assert_refused(path, message)
    monkeypatch.delitem(sys.modules, "quiet_star.config")
    assert_refused(path, message)


def test_a_class_that_another_library_has_allowed(tmp_path: Path) -> None:
    """torch's list of allowed classes is for the whole process; it counts for nothing here."""
    path = tmp_path / "x.ckpt"
    torch.save({"config": types.SimpleNamespace(thought_length=8)}, path)
    with torch.serialization.safe_globals([types.SimpleNamespace]):
        assert torch.load(path, weights_only=True)["config"].thought_length == 8
        assert_refused(path, "types.SimpleNamespace")
        assert types.SimpleNamespace in torch.serialization.get_safe_globals()


def test_bare_and_old_pickles(tmp_path: Path, canary: Path) -> None:
    content = {"state_dict": {}, "callbacks": Touch(canary)}
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(content))
    torch.save(content, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    torch.save({"a": torch.ones(2)}, tmp_path / "plain.ckpt", _use_new_zipfile_serialization=False)
    for name in ("bare", "old", "plain"):
        assert_refused(tmp_path / f"{name}.ckpt", "no whole zip archive .*bare pickle")


def test_a_tar_archive(tmp_path: Path, canary: Path) -> None:
    path = tmp_path / "x.ckpt"
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            record = tarfile.TarInfo(name)
            record.size = len(pickle.dumps(Touch(canary)))
            archive.addfile(record, io.BytesIO(pickle.dumps(Touch(canary))))
    assert_refused(path, "no whole zip archive")


@pytest.mark.parametrize("protocol", [0, 1, 3, 4, 5])
def test_a_pickle_of_another_protocol_in_the_archive(
    tmp_path: Path, canary: Path, protocol: int
) -> None:
    """Other protocols name a function by other opcodes, which a list of names may not see."""
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {}}, path)
    evil = pickle.dumps({"state_dict": {}, "callbacks": Touch(canary)}, protocol=protocol)
    rewrite(path, lambda name, content: evil if name.endswith("data.pkl") else content)
    assert_refused(path, "wants to run code: posix.system|other than tensors")


def test_a_pickle_that_hides_the_name_of_a_function(tmp_path: Path, canary: Path) -> None:
    """Module and name are pushed as strings; no opcode holds `posix.system` as a whole."""
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {}}, path)
    line = f"touch {canary}".encode()
    evil = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c" + bytes([len(line)]) + line + b"\x85R."
    pickle.loads(evil)
    assert canary.exists(), "the pickle is live"
    canary.unlink()
    rewrite(path, lambda name, content: evil if name.endswith("data.pkl") else content)
    assert_refused(path, "other than tensors")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_torchscript_archive(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "x.ckpt")
    assert_refused(tmp_path / "x.ckpt", "TorchScript|torchscript|other than tensors")


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"a": torch.arange(100.0)}}, path)
    whole = path.read_bytes()
    for length in (0, 1, 4, 30, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_refused(path, "no whole zip archive")


def test_a_changed_byte(tmp_path: Path) -> None:
    """torch does not compare the checksums of an archive."""
    path = tmp_path / "x.ckpt"
    numbers = torch.arange(100.0)
    torch.save({"state_dict": {"a": numbers}}, path)
    content = bytearray(path.read_bytes())
    content[content.index(numbers.numpy().tobytes()) + 50] ^= 1
    path.write_bytes(bytes(content))
    assert not torch.load(path, weights_only=True)["state_dict"]["a"].equal(numbers)
    assert_refused(path, "damaged: .*data/0 in it does not match its checksum")


def test_a_record_that_is_shorter_than_its_tensor(tmp_path: Path) -> None:
    """Read by mmap, the tensor would continue with the bytes of the next record."""
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"a": torch.arange(100.0), "b": torch.ones(100)}}, path)
    rewrite(path, lambda name, content: content[:200] if name.endswith("data/0") else content)
    assert_refused(path, "record size|size")


def test_a_compressed_archive(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, path)
    rewrite(path, lambda _, content: content, packed=True)
    assert_refused(path, "compressed archive")


def test_what_is_no_file(tmp_path: Path) -> None:
    assert_refused(tmp_path / "absent.ckpt", "is not a file")
    assert_refused(tmp_path, "is not a file")
    (tmp_path / "text.ckpt").write_text("hello", encoding="utf-8")
    assert_refused(tmp_path / "text.ckpt", "no whole zip archive")
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as archive:
        archive.writestr("a.txt", "hello")
    assert_refused(tmp_path / "zip.ckpt", "zip.ckpt could not be loaded")


def test_a_list_is_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(1)], tmp_path / "x.ckpt")
    assert_refused(tmp_path / "x.ckpt", "holds a list")


def test_plain_content_is_read(tmp_path: Path) -> None:
    content = {
        "state_dict": collections.OrderedDict(a=torch.arange(5.0).bfloat16()),
        "numbers": [1, 2.5, None, True, "text", (1, 2), {3}],
    }
    torch.save(content, tmp_path / "x.ckpt")
    read = read_torch_file(tmp_path / "x.ckpt")
    assert read["numbers"] == content["numbers"]
    assert read["state_dict"]["a"].equal(torch.arange(5.0).bfloat16())


@pytest.mark.parametrize("suffix", [".ckpt", ".CKPT"])
def test_loading_names_the_converter(tmp_path: Path, canary: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    torch.save({"state_dict": {}, "callbacks": Touch(canary)}, path)
    with pytest.raises(CheckpointError, match="qstar convert FILE.ckpt DST --base BASE"):
        load_model(path)
