"""Files that are whole or absent."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Write a file as a whole or not at all.

    Yields a path to write to, in a hidden folder beside `path` and with its name. When the body
    ends well the file is moved to `path` in one step, replacing what was there; when it fails,
    nothing is left behind and an older file at `path` is untouched.

    Args:
        path: Where the file shall be. Its folder is made if it is missing.

    Yields:
        The path to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".jaxmimo-") as folder:
        draft = Path(folder) / path.name
        yield draft
        with draft.open("rb") as file:  # on disk before it gets its name, whatever happens next
            os.fsync(file.fileno())
        draft.replace(path)
