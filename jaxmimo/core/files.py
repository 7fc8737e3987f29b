"""Files that are whole or absent, and that tell whether they are as they were written."""

import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from jaxmimo.core.checks import require

_DRAFTS = ".jaxmimo-"
"""What the names of hidden folders begin with in which files are written."""

IS_FOLDER = "it is a folder"
"""Why a file cannot be written where a folder is."""

_SEAL = b"\njaxmimo sha256 "
_SEAL_SIZE = len(_SEAL) + 2 * hashlib.sha256().digest_size + 1


def sealed(content: bytes) -> bytes:
    """`content`, and after it a line with its digest; readers of HDF5 stop before that line."""
    return content + _seal(memoryview(content))


def seal_of(content: bytes) -> Literal["whole", "broken", "missing"]:
    """Whether what `sealed` made is as it was; libraries that change HDF5 take the seal away."""
    body, end = memoryview(content)[:-_SEAL_SIZE], content[-_SEAL_SIZE:]
    if not end.startswith(_SEAL):
        return "missing"
    return "whole" if end == _seal(body) else "broken"


def _seal(content: memoryview) -> bytes:
    return _SEAL + hashlib.sha256(content).hexdigest().encode() + b"\n"


def as_path(name: str, value: object) -> Path:
    """`value` as a path, refusing what cannot be one; `name` is what the caller calls it."""
    if not isinstance(value, str | bytes | os.PathLike):
        raise ValueError(
            f"`{name}` must be a path, but got a `{type(value).__name__}`. Give a string or a "
            "`pathlib.Path`."
        )
    path = Path(os.fsdecode(value))
    require(
        "\0" not in str(path),
        f"`{name}` must be a path, but `{path}` holds the character NUL. Leave it out.",
    )
    return path


def why_not_writable(path: Path) -> str | None:
    """Why no file can be written at `path`, found out without leaving a trace; None if it can."""
    try:
        if path.is_dir():
            return IS_FOLDER
        existing = next(folder for folder in path.absolute().parents if folder.exists())
        with tempfile.TemporaryDirectory(dir=existing, prefix=_DRAFTS) as folder:
            (Path(folder) / path.name).touch()
    except OSError as error:
        return reason(error)
    return None


def reason(error: OSError) -> str:
    """What the operating system complains about, such as `No space left on device`."""
    return os.strerror(error.errno) if error.errno else str(error)


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file as a whole or not at all.

    Yields a path to write to, in a hidden folder beside `path` and with its name. When the body
    ends well the file is moved to `path` in one step, replacing what was there; when it fails,
    nothing is left behind and an older file at `path` is untouched.

    Args:
        path: Where the file shall be. Its folder is made if it is missing.

    Yields:
        The path to write to.

    Raises:
        OSError: If the file cannot be written, with what can be done about it.
    """
    path = as_path("path", path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=_DRAFTS) as folder:
            draft = Path(folder) / path.name
            yield draft
            with draft.open("rb") as file:  # on disk before its name, whatever happens next
                os.fsync(file.fileno())
            draft.replace(path)
    except OSError as error:
        raise OSError(
            f"`{path}` cannot be written: {reason(error)}. Make room for it, or name another place."
        ) from error


def remove_drafts(path: Path, age: float = 0.0) -> None:
    """Remove what processes that were killed while they wrote `path` have left behind.

    Args:
        path: What they wrote.
        age: How long nobody may have touched a draft [s]; 0 where nobody else can be writing.
    """
    for draft in path.parent.glob(f"{_DRAFTS}*/{glob.escape(path.name)}"):
        with suppress(OSError):
            if time.time() - draft.stat().st_mtime >= age:
                shutil.rmtree(draft.parent)
