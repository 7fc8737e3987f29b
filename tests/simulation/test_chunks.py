from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.randomness import complex_normal
from jaxmimo.simulation import chunks
from jaxmimo.simulation.chunks import Chunk, Kernel, Lengths
from jaxmimo.simulation.model import Model
from jaxmimo.simulation.monte_carlo import monte_carlo

KEY = jax.random.key(2024)
LENGTHS = Lengths(8, 128)


def power(key):
    return jnp.abs(complex_normal(key, (1,)))[0] ** 2


@pytest.mark.parametrize(("start", "stop"), [(0, 5000), (0, 3), (8, 9), (700, 5001), (13, 14)])
def test_chunks_cover_a_run_once_and_begin_where_batches_do(start, stop):
    cut = list(LENGTHS.chunks(start, stop))
    assert [i for c in cut for i in range(c.start, c.stop)] == list(range(start, stop))
    for chunk in cut:
        length = LENGTHS.at(chunk.start)
        assert chunk.first % length == 0
        assert chunk.first <= chunk.start < chunk.stop <= chunk.first + length


@pytest.mark.parametrize("lengths", [LENGTHS, Lengths(8, 4096), Lengths(2048, 8192)])
def test_chunks_are_the_same_wherever_a_run_goes_on_or_ends(lengths):
    whole = list(lengths.chunks(0, 20_000))
    for chunk in whole[:: max(1, len(whole) // 7)]:
        assert list(lengths.chunks(chunk.start, 20_000)) == whole[whole.index(chunk) :]
        assert list(lengths.chunks(0, chunk.start)) == whole[: whole.index(chunk)]


def test_chunks_grow_so_that_short_runs_are_shared_and_long_ones_are_not_cut_fine():
    lengths = [c.stop - c.start for c in LENGTHS.chunks(0, 10_000)]
    assert lengths[:16] == [8] * 16
    assert lengths == sorted(lengths[:-1]) + lengths[-1:]
    assert max(lengths) == 128
    assert all(LENGTHS.at(n) <= max(8, n / 8) for n in (0, 100, 256, 1000, 2048, 5000))


def sums(kernel, start, stop):
    return [(chunk, np.array(part)) for chunk, part in kernel.sums(start, stop)]


def test_sums_come_in_order_and_do_not_depend_on_where_a_run_begins():
    kernel = Kernel(Model(power, KEY), 600, 64)
    whole = sums(kernel, 0, 600)
    assert [chunk for chunk, _ in whole] == list(Lengths(64, 1024).chunks(0, 600))
    for chunk, part in sums(kernel, 320, 600):
        np.testing.assert_array_equal(part, dict(whole)[chunk])
    index = jnp.arange(600)
    values = np.asarray(jax.vmap(lambda i: power(jax.random.fold_in(KEY, i)))(index))
    total = sum(part for _, part in whole)
    np.testing.assert_allclose(total, np.bincount(index % 64, values, 64), rtol=1e-5)


def test_a_run_may_be_left_early():
    stream = Kernel(Model(power, KEY), 10**6, 64).sums(0, 10**6)
    assert next(stream)[0] == Chunk(0, 0, 64)
    stream.close()


def test_a_batch_is_halved_until_it_fits_the_memory(monkeypatch):
    expected = monte_carlo(power, KEY, 40_000)
    arguments = Kernel(Model(power, KEY), 40_000, 64)._arguments((Chunk(0, 0, 8),))
    program = chunks.compiled(chunks._sums_on_mesh, *arguments)
    needed = program.run.memory_analysis().temp_size_in_bytes
    monkeypatch.setattr(chunks, "available_bytes", lambda _: 4.0 * needed)
    kernel = Kernel(Model(power, KEY), 40_000, 64)
    total = sum(part for _, part in sums(kernel, 0, 40_000))
    assert max(kernel._programs) < 1024
    for program in kernel._programs.values():
        assert program.temporary_bytes <= 4 * needed
    np.testing.assert_allclose(total.sum() / 40_000, expected.mean, rtol=1e-5)


def test_runs_of_one_model_share_their_programs():
    kernels = [Kernel(Model(power, KEY), realizations, 64) for realizations in (300, 200)]
    for kernel in kernels:
        sums(kernel, 0, 200)
    first, second = (kernel._programs for kernel in kernels)
    assert first.keys() == second.keys()
    assert all(first[size] is second[size] for size in first)
    other = Kernel(Model(power, KEY), 300, 32)  # blocks
    sums(other, 0, 200)
    assert all(first[size] is not program for size, program in other._programs.items())


def test_when_memory_runs_out_the_chunk_is_drawn_again_in_smaller_batches(monkeypatch):
    program = Kernel._program
    failures = []

    def short_of_memory(self, members):
        def run(*arguments):
            if self._batch_of(members[0]) > 2 and members[0].start >= 64:
                failures.append(members[0].start)
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory.")
            return real.program(*arguments)

        real = program(self, members)
        return SimpleNamespace(program=run, calls_libraries=real.calls_libraries)

    expected = sums(Kernel(Model(power, KEY), 300, 64, batch_size=8), 0, 300)
    monkeypatch.setattr(Kernel, "_program", short_of_memory)
    kernel = Kernel(Model(power, KEY), 300, 64, batch_size=8)
    found = sums(kernel, 0, 300)
    assert failures
    assert kernel._batch == 2
    assert [chunk for chunk, _ in found] == [chunk for chunk, _ in expected]
    for (_, a), (_, b) in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    ("message", "batch_size"), [("INTERNAL: no", 8), ("RESOURCE_EXHAUSTED: no", 1)]
)
def test_other_errors_and_batches_of_one_are_passed_on(message, batch_size, monkeypatch):
    def fail(self, members):
        raise jax.errors.JaxRuntimeError(message)

    monkeypatch.setattr(Kernel, "_program", fail)
    with pytest.raises(jax.errors.JaxRuntimeError, match="no"):
        sums(Kernel(Model(power, KEY), 300, 64, batch_size=batch_size), 0, 300)
