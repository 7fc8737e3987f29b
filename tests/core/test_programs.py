"""Programs on disk are found by what they are, by nothing less, and run as if freshly traced."""

import os
import subprocess
import sys
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import jaxmimo
from jaxmimo import IQImbalance, programs_kept_in
from jaxmimo.cell_free_iqi import CellFreeIQI, simulate_se
from jaxmimo.core import naming, programs
from jaxmimo.core.naming import is_own
from jaxmimo.core.programs import compiled, kept_jit, name_of
from jaxmimo.distributed_rician import DistributedRician, maximum_ratio_drop
from jaxmimo.simulation.jackknife import jackknife, num_blocks
from jaxmimo.simulation.model import Model
from jaxmimo.simulation.monte_carlo import identity, monte_carlo
from jaxmimo.studies.iqi import sum_se_closed_form

KEY = jax.random.key(3)


def own_function(x):
    return 2 * x


class Settings(eqx.Module):
    values: jax.Array
    count: int = eqx.field(static=True)
    label: str = eqx.field(static=True, default="")


@pytest.fixture
def settings():
    """Of a class that has its home in jaxmimo, where names look for it."""
    Settings.__module__, programs.Settings = programs.__name__, Settings
    yield Settings(jnp.ones(3), 4)
    del programs.Settings


@pytest.fixture
def kept(tmp_path):
    with programs_kept_in(tmp_path):
        yield tmp_path


@pytest.fixture
def traced(monkeypatch):
    """Names of what is traced to be kept."""
    seen, exported = [], programs._exported

    def noted(function, *args):
        seen.append(function.__name__)
        return exported(function, *args)

    monkeypatch.setattr(programs, "_exported", noted)
    return seen


def system(users=3, **changes):
    hardware = IQImbalance(amplitude=0.9, phase=0.1)
    given = {
        "beta": jnp.ones((4, users)),
        "receive": hardware,
        "transmit": hardware,
        "user_antennas": 1,
        "coherence_length": 50,
        "pilot_snr": 1.0,
        "data_snr": 1.0,
    }
    return CellFreeIQI(**(given | changes))


def name(*args):
    return name_of(jackknife, *args)


def test_nothing_is_kept_unless_a_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert name(jnp.ones(3)) is None
    simulate_se(KEY, system(), realizations=16)
    assert not list(tmp_path.iterdir())


def test_a_later_process_gets_the_same_bits_without_tracing(tmp_path, traced, monkeypatch):
    def results():
        estimate = simulate_se(KEY, system(), realizations=200)
        return estimate.mean, estimate.std_error, sum_se_closed_form(system())

    with programs_kept_in(tmp_path):
        first = results()
    assert set(traced) == {"_sums_on_mesh", "with_unseen", "sum_se_closed_form"}
    traced.clear()
    monkeypatch.delattr(Model, "jaxpr")
    with programs_kept_in(tmp_path):  # which forgets what it has in memory
        second = results()
    assert not traced
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_kept_programs_give_the_bits_of_others(tmp_path):
    with programs_kept_in(tmp_path):
        with_store = simulate_se(KEY, system(), realizations=200)
    without = simulate_se(KEY, system(), realizations=200)
    np.testing.assert_array_equal(with_store.mean, without.mean)
    np.testing.assert_array_equal(with_store.std_error, without.std_error)


RUN = """
import sys
from jaxmimo.cli import main
from jaxmimo.core import naming, programs
exported = programs._exported
def noted(function, *args):
    print("traced", function.__name__)
    return exported(function, *args)
programs._exported = noted
sys.exit(main("run squint-gain --realizations 16".split()))
"""


def test_names_are_the_same_in_every_process(tmp_path):
    """Each process hashes strings in its own way."""

    def run(seed):
        environment = {"JAXMIMO_CACHE_DIR": str(tmp_path / "cache"), "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", RUN],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert "traced _sums_on_mesh" in run("1")
    kept = set((tmp_path / "cache" / "traces").iterdir())
    assert "traced" not in run("2")
    assert set((tmp_path / "cache" / "traces").iterdir()) == kept


def test_names_tell_everything_but_the_values_of_arrays(kept, settings):
    array = jnp.ones(3)
    assert name(array, 2) == name(2 * array, 2)
    assert name(KEY) == name(jax.random.key(4))
    assert name(settings) == name(eqx.tree_at(lambda s: s.values, settings, array + 1))
    different = [
        (jnp.ones(3), 2),
        (jnp.ones(3), 3),
        (jnp.ones(3), 2.0),
        (jnp.ones(3), True),
        (jnp.ones(4), 2),
        (jnp.ones((3, 1)), 2),
        (jnp.ones(3, int), 2),
        ((jnp.ones(3),), 2),
        ([jnp.ones(3)], 2),
        (jnp.ones(3), "2"),
        (jnp.ones(3), None),
        (jnp.ones(3), num_blocks),
        (jnp.ones(3), Partial(num_blocks)),
        (jnp.ones(3), Partial(num_blocks, 2)),
        (jnp.ones(3), jaxmimo.zf_combiner),
        (jnp.ones(3), jaxmimo.mr_combiner),
        (jnp.asarray(1.0), 2),
        (KEY, 2),
        (jax.random.key(3, impl="rbg"), 2),
        (settings, 2),
        (Settings(settings.values, 5), 2),
        (Settings(settings.values, 4, "table"), 2),
        (partial(num_blocks, np.arange(3)), 2),
        (partial(num_blocks, np.arange(1, 4)), 2),
        (system(), 2),
        (system(ap_antennas=2), 2),
        (system(users=4), 2),
    ]
    names = [name(*args) for args in different]
    assert None not in names
    assert len(set(names)) == len(names)


def test_names_tell_weak_types(kept):
    weak = jnp.asarray(1.0)
    assert weak.weak_type
    assert name(weak) != name(jnp.float32(1.0))


def test_names_tell_the_function_and_the_surroundings(kept, monkeypatch):
    array = jnp.ones(3)
    here = name(array)
    assert name_of(num_blocks, array) != here
    with jax.enable_x64(True):
        assert name(array) != here
    with jax.default_matmul_precision("highest"):
        assert name(array) != here
    monkeypatch.setattr(naming, "_surroundings", lambda: ("other sources",))
    assert name(array) != here


def test_surroundings_tell_the_sources(monkeypatch, tmp_path):
    (tmp_path / "jaxmimo" / "core").mkdir(parents=True)
    module = tmp_path / "jaxmimo" / "core" / "naming.py"
    seen = set()
    monkeypatch.setattr(naming, "__file__", str(module))
    for text in ("a = 1", "a = 2"):
        module.write_text(text)
        seen.add(naming._surroundings.__wrapped__())
    module.rename(module.with_name("other.py"))
    seen.add(naming._surroundings.__wrapped__())
    assert len(seen) == 3


def test_what_runs_while_its_sources_are_edited_is_not_kept(kept, monkeypatch):
    youngest = max(source.stat().st_mtime for source in naming.sources())
    monkeypatch.setattr(programs, "_IMPORTED", youngest - 1.0)
    assert np.isfinite(sum_se_closed_form(system())).all()
    assert not list(kept.iterdir())


@pytest.mark.parametrize(
    "argument",
    [
        own_function,
        lambda x: x,
        partial(lambda x: x, 1),
        Partial(own_function),
        object(),
        sys,
        Settings(jnp.ones(3), 4),  # whose home is this file
    ],
)
def test_what_others_define_has_no_name(kept, argument):
    assert name(argument) is None
    assert name(jnp.ones(3)) is not None


def test_own_calls_are_those_that_nothing_can_change(settings):
    own = [
        (jnp.ones(3), 2),
        (np.ones(3), num_blocks),
        (partial(num_blocks, 2),),
        (Partial(num_blocks, np.ones(3)),),
        (settings,),
        (system(),),
        (jaxmimo.zf_combiner,),
    ]
    others = [
        (own_function,),
        (lambda x: x,),
        (Partial(own_function, jnp.ones(3)),),
        (partial(own_function, 1),),
        (partial(num_blocks, np.ones(3)),),
        (partial(num_blocks, [1, 2]),),
        (partial(num_blocks, realizations=[1]),),
        (partial(partial, num_blocks, [1]),),
        (jax.jit(own_function),),
        (jax.vmap(own_function),),
        (Settings.__init__.__get__(own_function),),
    ]
    for _ in range(2):  # found out, and remembered
        assert all(is_own(jackknife, arguments) for arguments in own)
        assert not any(is_own(jackknife, arguments) for arguments in others)
    assert not is_own(own_function, (jnp.ones(3),))


def test_functions_of_others_have_no_name(kept):
    assert name_of(own_function, jnp.ones(3)) is None
    assert name_of(lambda x: x, jnp.ones(3)) is None


def test_models_of_others_are_traced_as_ever(kept):
    estimate = monte_carlo(lambda key: jax.random.normal(key), KEY, 100)
    assert estimate.realizations == 100
    assert not list(kept.glob("*.shapes"))


def test_under_transformations_nothing_is_kept(kept):
    def total(beta):
        return sum_se_closed_form(system(beta=beta)).sum()

    beta = jnp.full((4, 3), 0.5)
    slope = jax.grad(total)(beta)
    assert not list(kept.iterdir())
    step = 1e-2
    rise = total(beta + step) - total(beta - step)
    np.testing.assert_allclose(slope.sum(), rise / (2 * step), rtol=1e-3)


def test_a_damaged_file_is_traced_anew(tmp_path, traced):
    for content in (b"", b"damaged"):
        with programs_kept_in(tmp_path):
            expected = sum_se_closed_form(system())
        for file in tmp_path.iterdir():
            file.write_bytes(content)
        traced.clear()
        with programs_kept_in(tmp_path):
            np.testing.assert_array_equal(sum_se_closed_form(system()), expected)
        assert traced == ["sum_se_closed_form"]


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with programs_kept_in(tmp_path / "file" / "folder"):
        assert np.isfinite(sum_se_closed_form(system())).all()


def test_programs_take_and_return_trees_as_functions_do(kept, settings):
    def function(settings, key, *, factor):
        return settings, {"drawn": factor * jax.random.normal(key, (2,)), "factor": factor}

    function.__module__, function.__qualname__ = programs.__name__, "function"
    for key in (KEY, jax.random.key(5)):
        same, rest = kept_jit(function)(settings, key, factor=3)
        assert (same.count, rest["factor"]) == (4, 3)
        np.testing.assert_array_equal(same.values, settings.values)
        np.testing.assert_allclose(rest["drawn"], 3 * jax.random.normal(key, (2,)), rtol=1e-6)
    assert len(list(kept.iterdir())) == 1


def test_trees_from_disk_go_with_others(tmp_path):
    network = DistributedRician(num_aps=1, ap_antennas=2, num_users=2, rician_factor=1.0)
    drops = [maximum_ratio_drop(KEY, network)]
    for _ in range(2):  # traced, and from disk
        with programs_kept_in(tmp_path):
            drops.append(maximum_ratio_drop(KEY, network))
    assert len(list(tmp_path.glob("*.program"))) == 1
    assert [drop.pilot_length for drop in drops] == 3 * [network.pilot_length]
    jax.tree.map(np.testing.assert_array_equal, *drops[:2])
    jax.tree.map(np.testing.assert_array_equal, *drops[1:])


def test_what_jax_cannot_serialize_runs_all_the_same(kept, monkeypatch):
    def refuse(*_):
        raise NotImplementedError

    monkeypatch.setattr(programs.export, "export", refuse)
    assert np.isfinite(sum_se_closed_form(system())).all()
    assert callable(compiled(jackknife, identity, {"a": jnp.arange(8.0)}, np.full(8, 4)))
    assert not list(kept.iterdir())


def test_the_place_before_is_taken_up_again(tmp_path):
    with programs_kept_in(tmp_path / "outer"):
        with pytest.raises(ZeroDivisionError), programs_kept_in(tmp_path / "inner"):
            raise ZeroDivisionError
        sum_se_closed_form(system())
    assert list((tmp_path / "outer").iterdir())
    assert programs._store is None
