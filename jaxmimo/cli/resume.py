"""Which earlier run a run goes on from: an unfinished one, or a result that is to be extended."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jaxmimo.core.checks import require
from jaxmimo.simulation.checkpoint import Checkpoint, content_on_all_hosts


def prepare(path: Path, result: Path, about: Mapping[str, Any], *, resume: bool) -> Checkpoint:
    """The checkpoint of a run, with what is known already.

    Args:
        path: Where the checkpoint shall be, or is.
        result: Where the result shall be, or is.
        about: What the run is: its parameters, seed and precision.
        resume: Whether to go on from what is there.

    Returns:
        The checkpoint, which only the first process writes.

    Raises:
        ValueError: If there is an unfinished run but `resume` is false, or what is there belongs
            to another run.
    """
    checkpoint = Checkpoint(path if jax.process_index() == 0 else None, about)
    if not resume:
        require(
            content_on_all_hosts(path) is None,
            f"`{path}` is of an unfinished run. Add `--resume` to go on with it, or delete it.",
        )
        return checkpoint
    for source in (path, result):
        content = content_on_all_hosts(source)
        if content is not None:
            checkpoint.read(content, str(source))
            break
    return checkpoint
