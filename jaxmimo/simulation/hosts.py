"""What the first process of a run does for all, such as reading a file that only it sees."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.experimental.multihost_utils import broadcast_one_to_all

from jaxmimo.core.files import reason


def on_first_host(action: Callable[[], bytes | None]) -> bytes | None:
    """Do something in the first process, and return what it gives in all of them.

    Raises:
        ValueError: In all of them, if the first one cannot.
    """
    if jax.process_count() == 1:
        return action()
    found, complaint = None, None
    if jax.process_index() == 0:
        try:
            found = action()
        except ValueError as error:
            complaint = str(error).encode()
    complaint = _from_first(complaint)
    if complaint is not None:
        raise ValueError(complaint.decode())
    return _from_first(found)


def content_on_all_hosts(path: Path) -> bytes | None:
    """Content of a file that the first process sees, on all hosts; None if there is none."""
    return on_first_host(lambda: _content(path))


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise ValueError(
            f"`{path}` cannot be read: {reason(error)}. Mend that, or name another place."
        ) from None


def _from_first(content: bytes | None) -> bytes | None:
    size = int(broadcast_one_to_all(np.int32(-1 if content is None else len(content))))
    if size < 0:
        return None
    buffer = np.frombuffer(content or bytes(size), np.uint8)
    return np.asarray(broadcast_one_to_all(buffer)).tobytes()
