"""Runs in chunks: which realizations go together, and which core or device sums them.

A run is cut into chunks at realizations that depend on little but the kernel, so that a run that
stops early, is killed and resumed, or is extended adds the same numbers in the same order as one
that was not. Chunks come back in order, whoever computed them.
"""

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from jaxmimo.core.programs import Program, compiled, kept_jit, remembered
from jaxmimo.simulation.batches import (
    available_bytes,
    batch_that_fits,
    power_of_two,
    usable_cores,
)
from jaxmimo.simulation.block_sums import block_sums, joined, non_finite
from jaxmimo.simulation.model import Model

LEAST = 8
"""Realizations of the first chunks of a run on CPUs, whose cores share even short runs."""
BATCHES = 64
"""Batches of the chunks of a long run on CPUs: a call then costs little beside its sums."""

Task = TypeVar("Task")
Result = TypeVar("Result")
Sample = Callable[[Array], PyTree[Array]]


@dataclass(frozen=True)
class Chunk:
    """Realizations start ... stop - 1, whose batches begin at `first`."""

    first: int
    start: int
    stop: int

    def rows(self, blocks: int) -> slice:
        """The blocks that its realizations belong to; sums of others are zero."""
        lowest = self.start % blocks
        highest = lowest + self.stop - self.start
        return slice(lowest, highest) if highest <= blocks else slice(None)


class Sums:
    """A compiled sum of chunks, and what it tells of itself, which takes milliseconds to ask."""

    def __init__(self, program: Program) -> None:
        self.program = program

    @cached_property
    def temporary_bytes(self) -> int:
        """Memory of its temporary arrays."""
        return remembered(self.program.name, "temporary_bytes", self._temporary_bytes)

    def _temporary_bytes(self) -> int:
        memory = self.program.run.memory_analysis()
        return memory.temp_size_in_bytes if memory is not None else 0

    @cached_property
    def calls_libraries(self) -> bool:
        """Whether it calls LAPACK or BLAS."""
        # Not remembered: XLA's flags, which no name tells, may change it, and a wrong one hangs.
        return "custom_call_target" in self.program.run.as_text()


_PROGRAMS: MutableMapping[Any, dict[tuple, Sums]] = WeakKeyDictionary()
"""Of the traces of all models, so that further runs of a model find theirs at once."""

Round = tuple[Chunk, ...]
"""Chunks that are summed at once, one on each device."""


@dataclass(frozen=True)
class Lengths:
    """Lengths of chunks, powers of two: they grow from `least` to `most` along a run."""

    least: int
    most: int

    def at(self, realization: int) -> int:
        """Length of the chunk that holds `realization`: an eighth of what lies before it."""
        eighth = 2 ** max(0, realization.bit_length() - 4)
        return max(self.least, min(eighth, self.most))

    def chunks(self, start: int, stop: int) -> Iterator[Chunk]:
        """Chunks that cover start ... stop - 1; only the outer ones can be cut short."""
        while start < stop:
            length = self.at(start)
            first = start // length * length
            yield Chunk(first, start, min(first + length, stop))
            start = first + length


class Kernel:
    """Sums of chunks of realizations, compiled for the devices at hand.

    A single CPU device is shared by a thread per core: XLA's own threads, which split single
    operations, make less of two cores than this does, by a factor of 1.4 to 2. Several devices, of
    one process or of many, work on a chunk each, side by side.
    """

    def __init__(
        self,
        model: Model,
        realizations: int,
        blocks: int,
        *,
        batch_size: int | None = None,
        devices: Sequence[Any] | None = None,
    ) -> None:
        self._model, self._blocks = model, blocks
        self._devices = list(jax.devices() if devices is None else devices)
        self._mesh = Mesh(np.asarray(self._devices), "devices")
        arrays, static = eqx.partition(_shared(model), eqx.is_array)
        # On one device without a mesh in the types, so that the model's trace serves the kernel.
        alone = len(self._devices) == 1
        everywhere = self._devices[0] if alone else NamedSharding(self._mesh, P())
        self._shared = eqx.combine(jax.device_put(arrays, everywhere), static)
        self._batch = power_of_two(batch_size or model.promising_batch)
        self._batch_is_chosen = batch_size is not None
        if self._devices[0].platform == "cpu":
            self._lengths = Lengths(max(LEAST, self._batch // 16), BATCHES * self._batch)
        else:
            share = math.ceil(realizations / len(self._devices))
            self._batch = min(self._batch, power_of_two(2 * share - 1))
            self._lengths = Lengths(self._batch, 4 * self._batch)
        self._programs: dict[int, Sums] = {}

    def sums(self, start: int, stop: int) -> Iterator[tuple[Chunk, PyTree[np.ndarray]]]:
        """The sums of chunk after chunk, per block, in JAX's default precision.

        When memory runs out the batch is halved, and the chunk drawn again.
        """
        while start < stop:
            try:
                for chunk, sums in self._stream(self._lengths.chunks(start, stop)):
                    yield chunk, sums
                    start = chunk.stop
            except jax.errors.JaxRuntimeError as error:
                lonely = jax.process_count() == 1  # others do not know, and would wait for ever
                if "RESOURCE_EXHAUSTED" not in str(error) or self._batch == 1 or not lonely:
                    raise
                self._batch //= 2

    def compile_first(self) -> None:
        """Compile what a run begins with, or look it up."""
        self._program((Chunk(0, 0, 1),))

    def non_finite(self, chunk: Chunk) -> tuple[int, int]:
        """How many realizations of a chunk are not finite, and the first of them."""
        sample, key, size = self._model.sample, self._model.key, self._batch_of(chunk)
        first, start, stop = jnp.asarray([chunk.first, chunk.start, chunk.stop], jnp.int32)
        count, lowest = _jitted_non_finite(sample, key, first, start, stop, size)
        return int(count), int(lowest)

    def _stream(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, PyTree[np.ndarray]]]:
        """The sums of as many chunks at once as there are devices, round after round."""
        count = self._mesh.size
        rounds = iter(lambda: tuple(islice(chunks, count)), ())
        one_cpu = count == 1 and self._devices[0].platform == "cpu"
        work = self._on_threads if one_cpu else self._dispatched
        with closing(work(rounds)) as results:
            for members, sums in results:
                for i, chunk in enumerate(members):
                    own = jax.tree.map(lambda s, i=i: s[i], sums)
                    yield chunk, joined(self._model.shapes, own)

    def _dispatched(self, rounds: Iterator[Round]) -> Generator[tuple[Round, PyTree[np.ndarray]]]:
        """The next round is under way while the sums of the last one are fetched."""

        def start(members: Round) -> Callable[[], PyTree[np.ndarray]]:
            sums = self._program(members).program(*self._arguments(members))
            return lambda: _on_host(sums)

        yield from _in_order(rounds, start, 2)

    def _on_threads(self, rounds: Iterator[Round]) -> Generator[tuple[Round, PyTree[np.ndarray]]]:
        """A round on each core."""
        first = next(rounds)
        # LAPACK and BLAS calls of two programs can block each other for ever on two cores.
        threads = 1 if self._program(first).calls_libraries else usable_cores()
        pool = ThreadPoolExecutor(threads)

        def start(members: Round) -> Callable[[], PyTree[np.ndarray]]:
            run, arguments = self._program(members).program, self._arguments(members)
            return pool.submit(lambda: _on_host(run(*arguments))).result

        try:
            yield from _in_order(chain([first], rounds), start, 2 * threads)
        finally:
            pool.shutdown(cancel_futures=True)

    def _batch_of(self, chunk: Chunk) -> int:
        """Batches of a chunk; one size for all chunks that are shorter than a full batch."""
        full = self._lengths.at(chunk.start) >= self._batch
        return self._batch if full else min(self._lengths.least, self._batch)

    def _program(self, members: Round) -> Sums:
        """The program for a round, with batches whose arrays fit the memory."""
        while (size := self._batch_of(members[0])) not in self._programs:
            program = self._compiled(members)
            here = available_bytes(self._mesh.local_devices[0])
            fitting = _least_of_all_hosts(batch_that_fits(size, program.temporary_bytes, here))
            if fitting < size and not self._batch_is_chosen:
                self._batch = fitting
            else:
                self._programs[size] = program
        return self._programs[size]

    def _compiled(self, members: Round) -> Sums:
        if self._model.name is not None:
            return Sums(compiled(_sums_on_mesh, *self._arguments(members)))
        known = _PROGRAMS.setdefault(self._model.jaxpr, {})
        name = self._batch_of(members[0]), self._blocks, tuple(self._devices)
        if name not in known:
            known[name] = Sums(compiled(_sums_on_mesh, *self._arguments(members)))
        return known[name]

    def _arguments(self, members: Round) -> tuple:
        """Arguments of the program; devices without a chunk get an empty one."""
        idle = (Chunk(0, 0, 0),) * (self._mesh.size - len(members))
        bounds = np.asarray([[c.first, c.start, c.stop] for c in members + idle], np.int32)
        mesh = self._mesh if self._mesh.size > 1 else None
        return self._shared, bounds, mesh, self._blocks, self._batch_of(members[0])


def _sums_on_mesh(
    shared: tuple[Sample, Array, Any],
    bounds: Array,
    mesh: Mesh | None,
    blocks: int,
    batch_size: int,
) -> PyTree[Array]:
    """`block_sums` of a chunk on each device of the mesh, with a leading axis of devices."""
    arrays, static = eqx.partition(shared, eqx.is_array)

    def sums_of(arrays: PyTree[Array], chunk: Array) -> PyTree[Array]:
        sample, key_data, implementation = eqx.combine(arrays, static)
        key = jax.random.wrap_key_data(key_data, impl=implementation)
        first, start, stop = chunk
        sums = block_sums(sample, key, first, start, stop, blocks, batch_size)
        return jax.tree.map(lambda s: s[None], sums)

    if mesh is None:  # a map over one device would double the time that tracing takes
        return sums_of(arrays, bounds[0])

    def on_device(arrays: PyTree[Array], bounds: Array) -> PyTree[Array]:
        return sums_of(arrays, bounds[lax.axis_index("devices")])

    specs = {"in_specs": P(), "out_specs": P("devices"), "check_vma": False}
    return jax.shard_map(on_device, mesh=mesh, **specs)(arrays, bounds)


def _least_of_all_hosts(number: int) -> int:
    if jax.process_count() == 1:
        return number
    return int(np.min(multihost_utils.process_allgather(np.int32(number))))


def _shared(model: Model) -> tuple[Sample, np.ndarray, Any]:
    """What all devices need of a model, off the device that it may be on."""
    key = np.asarray(jax.random.key_data(model.key)), jax.random.key_impl(model.key)
    return jax.tree.map(_off_device, model.sample), *key


def _off_device(leaf: Any) -> Any:
    is_numeric = isinstance(leaf, Array) and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(leaf) if is_numeric else leaf


_jitted_non_finite = kept_jit(non_finite)


def _in_order(
    tasks: Iterator[Task], start: Callable[[Task], Callable[[], Result]], ahead: int
) -> Iterator[tuple[Task, Result]]:
    """Results of tasks in their order, with up to `ahead` of them started before they are asked."""
    waiting: deque[tuple[Task, Callable[[], Result]]] = deque()
    for task in tasks:
        waiting.append((task, start(task)))
        if len(waiting) > ahead:
            task, result = waiting.popleft()
            yield task, result()
    for task, result in waiting:
        yield task, result()


def _on_host(sums: PyTree[Array]) -> PyTree[np.ndarray]:
    """Sums of all devices, on every host."""
    if jax.process_count() > 1:
        return multihost_utils.process_allgather(sums, tiled=True)
    return jax.tree.map(np.asarray, sums)
