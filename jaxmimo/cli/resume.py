"""Which earlier run a run goes on from, and which it may overwrite."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jaxmimo.core.checks import require
from jaxmimo.simulation.checkpoint import Checkpoint, require_same_run
from jaxmimo.simulation.hosts import content_on_all_hosts, on_first_host
from jaxmimo.simulation.results import open_result


def prepare(
    path: Path,
    result: Path,
    about: Mapping[str, Any],
    *,
    realizations: int,
    target_error: float | None,
    resume: bool,
    force: bool,
) -> Checkpoint:
    """The checkpoint of a run, with what is known already.

    Args:
        path: Where the checkpoint shall be, or is.
        result: Where the result shall be, or is.
        about: What the run is: its parameters, seed and precision.
        realizations: Realizations that the run draws at most.
        target_error: Relative standard error at which it ends.
        resume: Whether to go on from what is there.
        force: Whether work that the run neither goes on from nor repeats may be overwritten.

    Returns:
        The checkpoint, which only the first process writes.

    Raises:
        ValueError: If there is an unfinished run but `resume` is false, what is there belongs to
            another run, or the result holds work that the run would not do again.
    """
    checkpoint = Checkpoint(path if jax.process_index() == 0 else None, about)
    for source in (path, result) if resume else ():
        content = content_on_all_hosts(source)
        if content is not None:
            checkpoint.read(content, str(source))
            break
    if not resume and not force:
        require(
            content_on_all_hosts(path) is None,
            f"`{path}` is of an unfinished run. Add `--resume` to go on with it, or `--force` to "
            "begin anew.",
        )
    if not force and checkpoint.source != str(result):
        on_first_host(lambda: _require_done_again(result, about, realizations, target_error))
    return checkpoint


def _require_done_again(
    result: Path, about: Mapping[str, Any], realizations: int, target_error: float | None
) -> None:
    """Refuse to overwrite a result, unless the run does all of its work again."""
    remedy = "Choose another `--out`, or add `--force` to overwrite it."
    if not result.exists():
        return
    try:
        theirs = open_result(result).attrs
    except ValueError as error:
        raise ValueError(f"`{result}` is there, and is no whole result. {remedy}") from error
    run = {"seed": int(theirs["seed"]), "precision": theirs["precision"]}
    require_same_run(str(result), about, {**json.loads(theirs["parameters"]), **run}, remedy)
    held = int(theirs["realizations"])
    require(
        held <= realizations,
        f"`{result}` holds {held} realizations, and this run draws {realizations} at most. Ask for "
        f"as many. {remedy}",
    )
    if target_error is not None:
        reached = float(theirs.get("target_error", 0.0))
        require(
            target_error <= reached,
            f"`{result}` was drawn to `--target-error` {reached:g}, and this run ends at "
            f"{target_error:g}. Ask for as little, or for none. {remedy}",
        )
