import errno
import os
import resource
import signal
from pathlib import Path

import pytest

from jaxmimo.core.files import (
    as_path,
    atomic_path,
    remove_drafts,
    seal_of,
    sealed,
    why_not_writable,
)


class Place(os.PathLike):
    """A path that is neither a string nor a `pathlib.Path`."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def test_a_seal_tells_every_flipped_bit_and_every_cut():
    content = sealed(b"what was written")
    assert seal_of(content) == "whole"
    assert seal_of(sealed(b"")) == "whole"
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        assert seal_of(bytes(damaged)) != "whole"
    for size in range(len(content)):
        assert seal_of(content[:size]) == "missing"
    assert seal_of(content + b"\n") == "missing"


@pytest.mark.parametrize("kind", [str, Path, Place, os.fsencode])
def test_paths_of_all_kinds(kind, tmp_path):
    assert as_path("file", kind(tmp_path / "a")) == tmp_path / "a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "`file` must be a path, but got a `int`"),
        (None, "`file` must be a path, but got a `NoneType`"),
        ("a\0b", "holds the character NUL"),
    ],
)
def test_what_is_no_path(value, text):
    with pytest.raises(ValueError, match=text):
        as_path("file", value)


@pytest.mark.parametrize(
    ("path", "obstacle"),
    [
        (".", "it is a folder"),
        ("folder", "it is a folder"),
        ("a" * 300, "File name too long"),
        ("a" * 300 + "/b", "File name too long"),
        ("file/b", "Not a directory"),
        ("/proc/b", "No such file or directory"),
        ("new/b", None),
        ("file", None),
    ],
)
def test_where_no_file_can_be_written(path, obstacle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    assert why_not_writable(Path(path)) == obstacle
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]


def test_drafts_of_killed_processes_are_removed(tmp_path):
    for number, name in enumerate(["run[1]", "run1", "other"]):
        (tmp_path / f".jaxmimo-{number}").mkdir()
        (tmp_path / f".jaxmimo-{number}" / name).touch()
    remove_drafts(tmp_path / "run[1]", age=60.0)  # somebody may be writing
    assert (tmp_path / ".jaxmimo-0" / "run[1]").exists()
    remove_drafts(tmp_path / "run[1]")
    assert sorted(each.name for each in tmp_path.iterdir()) == [".jaxmimo-1", ".jaxmimo-2"]


def test_a_full_disk_leaves_the_older_file_and_nothing_else(tmp_path):
    """The kernel refuses what goes beyond a limit, as a full disk does, in the middle of a file."""
    path = tmp_path / "file"
    path.write_text("older")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="cannot be written: File too large") as error:
            write(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "\n" not in str(error.value)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def write(path, content):
    with atomic_path(path) as draft:
        draft.write_bytes(content)


def test_no_space_says_what_to_do(tmp_path, monkeypatch):
    def no_space(self, content):
        raise OSError(errno.ENOSPC, "raw", str(self))

    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(OSError, match=r"No space left on device\. Make room"):
        write(tmp_path / "file", b"content")
