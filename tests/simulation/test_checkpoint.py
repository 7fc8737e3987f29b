import os
import random
import signal
import subprocess
import sys
import time

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.simulation import checkpoint, tally
from jaxmimo.simulation.chunks import Kernel
from jaxmimo.simulation.monte_carlo import monte_carlo
from tests.simulation.models import KEY, power, rate, rich


class Always(tally.Pace):
    """Saves after every chunk."""

    def due(self):
        return True


def bits(estimate):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(estimate)]


def stopped_at(realizations, monkeypatch):
    """Ctrl-C during the chunk that ends at `realizations`."""
    add = tally.Tally.add

    def add_and_press(self, chunk, sums):
        add(self, chunk, sums)
        if chunk.stop == realizations:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tally.Tally, "add", add_and_press)


@pytest.mark.parametrize("options", [{}, {"target_error": 0.05}])
@pytest.mark.parametrize("where", [64, 320, 1024])
def test_an_interrupted_run_ends_with_the_bits_of_one_that_was_not(
    where, options, tmp_path, monkeypatch
):
    file = tmp_path / "run"
    whole = monte_carlo(rich, KEY, 2000, statistic=rate, **options)
    with monkeypatch.context() as patch:
        stopped_at(where, patch)
        with pytest.raises(KeyboardInterrupt):
            monte_carlo(rich, KEY, 2000, statistic=rate, checkpoint=file, **options)
    assert checkpoint.open_checkpoint(file).records["1"].realizations == where
    resumed = monte_carlo(rich, KEY, 2000, statistic=rate, checkpoint=file, **options)
    assert resumed.realizations == whole.realizations
    assert bits(resumed) == bits(whole)


def test_ctrl_c_without_a_checkpoint_is_an_ordinary_one(monkeypatch):
    stopped_at(64, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        monte_carlo(power, KEY, 2000)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def drawn(monkeypatch):
    """The realizations that are drawn from now on."""
    chunks, sums = [], Kernel.sums

    def listen(self, start, stop):
        for chunk, part in sums(self, start, stop):
            chunks.append(chunk)
            yield chunk, part

    monkeypatch.setattr(Kernel, "sums", listen)
    return chunks


def test_a_finished_run_is_extended_from_what_it_has(tmp_path, monkeypatch):
    file = tmp_path / "run"
    first = monte_carlo(rich, KEY, 1003, statistic=rate, checkpoint=file)
    chunks = drawn(monkeypatch)
    again = monte_carlo(rich, KEY, 1003, statistic=rate, checkpoint=file)
    assert not chunks
    assert bits(again) == bits(first)
    more = monte_carlo(rich, KEY, 3000, statistic=rate, checkpoint=file)
    assert chunks[0].start == 1003
    monkeypatch.undo()
    fresh = monte_carlo(rich, KEY, 3000, statistic=rate)
    np.testing.assert_allclose(more.mean["rate"], fresh.mean["rate"], rtol=1e-6)
    np.testing.assert_allclose(more.std_error["rate"], fresh.std_error["rate"], rtol=1e-5)


def test_extending_a_run_that_ended_between_chunks_gives_the_bits_of_a_longer_one(tmp_path):
    monte_carlo(rich, KEY, 1024, statistic=rate, checkpoint=tmp_path / "run")
    more = monte_carlo(rich, KEY, 2000, statistic=rate, checkpoint=tmp_path / "run")
    assert bits(more) == bits(monte_carlo(rich, KEY, 2000, statistic=rate))


def test_too_short_a_run_to_extend_begins_anew(tmp_path):
    monte_carlo(power, KEY, 20, checkpoint=tmp_path / "run")  # of 16 blocks, not of 64
    more = monte_carlo(power, KEY, 200, checkpoint=tmp_path / "run")
    assert bits(more) == bits(monte_carlo(power, KEY, 200))


OTHERS = {
    "key": lambda file: monte_carlo(power, jax.random.key(7), 200, checkpoint=file),
    "model": lambda file: monte_carlo(rich, KEY, 200, checkpoint=file),
    "number": lambda file: monte_carlo(scaled(2.0), KEY, 200, checkpoint=file),
}


def scaled(scale):
    return jax.tree_util.Partial(lambda scale, key: scale * power(key), jnp.asarray(scale))


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_model_is_refused(other, tmp_path):
    first = scaled(1.0) if other == "number" else power
    monte_carlo(first, KEY, 200, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match="belongs to another model") as error:
        OTHERS[other](tmp_path / "run")
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_precision_or_version_is_refused(tmp_path, monkeypatch):
    monte_carlo(power, KEY, 200, checkpoint=tmp_path / "run")
    with jax.enable_x64(True), pytest.raises(ValueError, match="belongs to another model"):
        monte_carlo(power, KEY, 200, checkpoint=tmp_path / "run")
    monkeypatch.setattr(checkpoint, "versions", lambda: {"jax": "0.0.1"})
    with pytest.raises(ValueError, match=r"it has `version of jax` = .*, this one has 0\.0\.1"):
        monte_carlo(power, KEY, 200, checkpoint=tmp_path / "run")


def test_fewer_realizations_than_there_are_is_refused(tmp_path):
    monte_carlo(power, KEY, 200, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match="`realizations` = 100 must not be less than the 200"):
        monte_carlo(power, KEY, 100, checkpoint=tmp_path / "run")


@pytest.mark.parametrize("content", [b"", b"no HDF5", "other"])
def test_a_file_that_is_no_checkpoint_is_refused(content, tmp_path):
    file = tmp_path / "run"
    if content == "other":
        with h5py.File(file, "w") as other:
            other["x"] = 1
    else:
        file.write_bytes(content)
    with pytest.raises(ValueError, match="holds no tallies to go on from"):
        monte_carlo(power, KEY, 100, checkpoint=file)


def test_holds_numbers_and_text_only(tmp_path):
    monte_carlo(rich, KEY, 200, checkpoint=tmp_path / "run")
    kinds = set()
    with h5py.File(tmp_path / "run") as file:
        file.visititems(lambda _, item: kinds.add(getattr(item, "dtype", None)))
    assert kinds == {None, np.dtype(np.float64), np.dtype(np.complex128)}


def test_a_non_finite_realization_leaves_what_was_known(tmp_path, monkeypatch):
    def fails_late(key):
        bad = jnp.all(jax.random.key_data(key) == BAD)
        return jnp.where(bad, jnp.nan, power(key))

    monkeypatch.setattr(tally, "Pace", Always)
    with pytest.raises(FloatingPointError, match="the first is number 300"):
        monte_carlo(fails_late, KEY, 1000, checkpoint=tmp_path / "run")
    assert checkpoint.open_checkpoint(tmp_path / "run").records["1"].realizations == 256


BAD = jax.random.key_data(jax.random.fold_in(KEY, 300))

# It saves after every chunk, and its chunks take a few milliseconds: the run takes seconds.
LIFE = """
import sys
from jaxmimo import monte_carlo
from jaxmimo.simulation import tally
from tests.simulation.models import KEY, rate, rich
pace, add = tally.Pace, tally.Tally.add
class Always(pace):
    def due(self): return True
tally.Pace = Always
def add_slowly(self, chunk, sums):
    import time; time.sleep(1.5e-4 * (chunk.stop - chunk.start))
    add(self, chunk, sums)
    print(chunk.stop, flush=True)
tally.Tally.add = add_slowly
monte_carlo(rich, KEY, 60_000, statistic=rate, checkpoint=sys.argv[1])
print("ended", flush=True)
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_still_ends_with_the_same_bits(kills, tmp_path):
    file, moments = tmp_path / "run", random.Random(5)
    begins = []
    for _ in range(kills):
        life = subprocess.Popen(
            [sys.executable, "-c", LIFE, str(file)], stdout=subprocess.PIPE, text=True
        )
        begins.append(int(life.stdout.readline()))
        time.sleep(moments.uniform(0, 3.0 / kills))
        os.kill(life.pid, signal.SIGKILL)
        assert "ended" not in life.communicate()[0]
        assert life.returncode == -signal.SIGKILL
    assert begins == sorted(begins)
    assert begins[-1] > 1000  # lives go on where the last one ended
    resumed = monte_carlo(rich, KEY, 60_000, statistic=rate, checkpoint=file)
    assert bits(resumed) == bits(monte_carlo(rich, KEY, 60_000, statistic=rate))
