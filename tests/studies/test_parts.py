"""Parts of a study: simulated one after the other, compiled side by side."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxmimo.simulation import chunks
from jaxmimo.simulation.checkpoint import Checkpoint
from jaxmimo.simulation.monte_carlo import identity
from jaxmimo.studies import common
from jaxmimo.studies.study import Sampling

KEY = jax.random.key(2)


def sample(scale, key):
    return scale * jax.random.normal(key, (1, 3))


def refuse(key):
    raise ValueError("no such sample")


def parts(*sizes):
    return [common.Part(Partial(sample, jnp.ones((n, 1))), identity, f"{n}") for n in sizes]


@pytest.fixture
def threads(monkeypatch):
    """Threads that programs are compiled on."""
    seen, compiled = [], chunks.compiled

    def noted(*args):
        seen.append(threading.current_thread())
        return compiled(*args)

    monkeypatch.setattr(chunks, "compiled", noted)
    return seen


def test_parts_are_what_each_is_alone(threads):
    labels = []
    sampling = Sampling(KEY, 40, progress=lambda progress: labels.append(progress.label))
    together = common.simulate_all(parts(1, 2, 3), sampling)
    assert len(threads) == 3
    assert threading.main_thread() not in threads
    assert list(dict.fromkeys(labels)) == ["1", "2", "3"]
    for part, estimate in zip(parts(1, 2, 3), together, strict=True):
        alone = common.simulate(part.sample, part.statistic, Sampling(KEY, 40))
        np.testing.assert_array_equal(estimate.mean, alone.mean)
        np.testing.assert_array_equal(estimate.std_error, alone.std_error)


def test_parts_are_compiled_in_the_precision_of_the_run(threads):
    with jax.enable_x64(True):
        doubles = common.simulate_all(parts(4, 5), Sampling(KEY, 40))
    assert len(threads) == 2  # found, not compiled again
    assert [each.mean.dtype for each in doubles] == 2 * [jnp.float64]


def test_what_is_known_already_is_not_compiled_ahead(threads, tmp_path):
    checkpoint = Checkpoint(tmp_path / "file")
    first = common.simulate_all(parts(6, 7), Sampling(KEY, 40, checkpoint=checkpoint))
    again = Checkpoint(tmp_path / "file", records=checkpoint.records)
    threads.clear()
    second = common.simulate_all(parts(6, 7), Sampling(KEY, 40, checkpoint=again))
    assert not threads
    np.testing.assert_array_equal(first[1].mean, second[1].mean)


def test_a_part_that_fails_says_why_in_its_turn():
    done = []
    sampling = Sampling(KEY, 40, progress=lambda progress: done.append(progress.label))
    broken = [*parts(8), common.Part(Partial(refuse), identity)]
    with pytest.raises(ValueError, match="no such sample"):
        common.simulate_all(broken, sampling)
    assert "8" in done
