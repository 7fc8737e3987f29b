"""Runs that several processes share, on one host or on many."""

from dataclasses import dataclass

import jax
from tyro.conf import DisallowNone

from jaxmimo.core.checks import require


@dataclass(frozen=True)
class HostFlags:
    """Sharing a run among processes, each of which is started with the same flags."""

    distributed: bool = False
    """Share the run with the other processes of this job: SLURM, Open MPI and Kubernetes are
    detected, elsewhere give the next three flags."""
    coordinator: DisallowNone[str | None] = None
    """HOST:PORT of the process number 0."""
    processes: DisallowNone[int | None] = None
    """Number of processes."""
    process_id: DisallowNone[int | None] = None
    """Number of this process, from 0 on."""

    def __post_init__(self) -> None:
        given = [self.coordinator, self.processes, self.process_id]
        require(
            self.distributed or given == [None] * 3,
            "`--coordinator`, `--processes` and `--process-id` are for runs of several processes. "
            "Add `--distributed`.",
        )
        require(
            all(each is None for each in given) or None not in given,
            "`--coordinator`, `--processes` and `--process-id` belong together. Give all three, or "
            "none of them where the job tells.",
        )


def join(flags: HostFlags) -> None:
    """Meet the other processes; JAX must not have been used before."""
    if not flags.distributed:
        return
    try:
        jax.distributed.initialize(flags.coordinator, flags.processes, flags.process_id)
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"`--distributed` did not find the other processes: {error} Start the run in a job of "
            "SLURM, Open MPI or Kubernetes, or give `--coordinator`, `--processes` and "
            "`--process-id`."
        ) from error
