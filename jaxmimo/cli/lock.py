"""One run of a study at a time in a folder."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from jaxmimo.simulation.hosts import on_first_host

if sys.platform != "win32":
    import fcntl


@contextmanager
def one_run_at_a_time(folder: Path, study: str) -> Iterator[None]:
    """Keep other processes from running `study` into `folder` while the body runs.

    The lock is the kernel's and ends with the process, however that ends. It is on a hidden file,
    which tells others whose it is, and which goes when the body ends, as does the folder if it was
    made for that file and holds nothing else.

    Raises:
        ValueError: If another process runs the study there.
    """
    path, held = folder / f".{study}.lock", list[TextIO]()
    missing = [each for each in (folder, *folder.parents) if not each.exists()]  # deepest first

    def acquire() -> None:
        held.append(_open_locked(path))
        print(os.getpid(), "on", socket.gethostname(), file=held[0], flush=True)

    on_first_host(acquire)
    try:
        yield
    finally:
        for file in held:
            path.unlink(missing_ok=True)  # while it is locked, so that nobody takes it as his
            file.close()
            with suppress(OSError):  # not empty
                for each in missing:
                    each.rmdir()


def _open_locked(path: Path) -> TextIO:
    file = _open(path)
    while _lock(file):
        if _is_at(file, path):
            file.truncate(0)
            return file
        file.close()  # it went in between, with the run that had it
        file = _open(path)
    with file:
        file.seek(0)
        raise ValueError(
            f"`{path.parent}` is in use: process {file.readline(200).strip()} runs the same study "
            "there. Wait for it, or choose another `--out`."
        )


def _open(path: Path) -> TextIO:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # the folder went in between
            return path.open("a+")


def _is_at(file: TextIO, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _lock(file: TextIO) -> bool:
    """Whether the file is ours now; file systems and platforms without locks say yes."""
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
    return True
