"""The study of tuned groups: dataset, claims, picture, bad input."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxmimo.studies import common, tune_groups
from jaxmimo.studies.study import Sampling
from jaxmimo.studies.tune_groups import (
    GREEDY,
    GREEDY_SPLIT,
    GROUPINGS,
    SEARCHES,
    START,
    START_SPLIT,
    STUDY,
    TUNED,
)
from jaxmimo.systems.beamforming_3d import equivalent_sample, rate_sample
from jaxmimo.tuning.groups import GroupSearch, TunedGroups, greedy_groups

KEY, DROPS = jax.random.key(1), 8
SMALL = STUDY.parameters(
    azimuth_groups=(2, 4),
    elevation_groups=(2, 1),
    azimuth_antennas=8,
    elevation_antennas=4,
    num_users=4,
    fading_realizations=8,
)


def moved(cell):
    """Greedy moves in the place of the gradient, which takes long to compile."""
    found = greedy_groups(cell)
    return TunedGroups(found.groups, found.sum_rate, found, found, found)


def unmoved(cell):
    """No moves."""
    return GroupSearch(cell.groups, jnp.zeros(()), jnp.zeros(1))


@pytest.fixture(scope="module")
def dataset():
    """What runs when only the first split is tuned, by greedy moves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune_groups, "tune_groups", moved)
        patch.setattr(tune_groups, "greedy_groups", unmoved)
        return STUDY.run(SMALL, Sampling(key=KEY, realizations=DROPS))


def test_dataset_is_complete_and_labelled(dataset):
    assert (dataset.sum_rate > 0).all()
    assert (dataset.sum_rate_std_error > 0).all()
    for variable in dataset.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    assert dataset.attrs["realizations"] == DROPS
    assert list(dataset.grouping.values) == list(GROUPINGS)
    assert list(dataset.split.values) == ["2 x 2", "4 x 1"]


def of_each_drop(sample):
    """What a sample has in the drops of the study."""
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(np.arange(DROPS))
    return np.asarray(jax.jit(jax.vmap(sample))(keys))


def test_start_is_that_of_the_other_studies(dataset):
    """The same drops, fading and rates as figure 6 has."""
    expected = of_each_drop(rate_sample(tune_groups._systems(SMALL)[0], realizations=8))
    np.testing.assert_allclose(dataset.sum_rate.sel(grouping=START), expected.mean(), rtol=1e-4)


@pytest.mark.slow
def test_best_split_is_that_of_the_larger_equivalent(dataset):
    systems = tune_groups._systems(SMALL)
    rates = np.stack([of_each_drop(rate_sample(system, realizations=8)) for system in systems])
    limits = np.stack([of_each_drop(equivalent_sample(system)) for system in systems])
    chosen = limits.argmax(0)
    assert set(chosen) == {0, 1}
    expected = rates[chosen, np.arange(DROPS)].mean()
    np.testing.assert_allclose(dataset.sum_rate.sel(grouping=START_SPLIT), expected, rtol=1e-4)
    expected = rates[1].mean()  # the fixture moves no users there
    np.testing.assert_allclose(dataset.split_sum_rate.values[1], expected, rtol=1e-4)


def test_differences_are_those_of_the_rates(dataset):
    for suffix in ("", "_equivalent"):
        rates = dataset[f"sum_rate{suffix}"]
        for name, over in (("gain", START), ("lead", GREEDY)):
            expected = rates - rates.sel(grouping=over)
            np.testing.assert_allclose(dataset[f"{name}{suffix}"], expected, atol=1e-4)
    assert (dataset.kept_equivalent == 1).all()
    for name in (TUNED, START_SPLIT):
        assert dataset.gain_equivalent.sel(grouping=name) > 0
    assert dataset.lead_equivalent.sel(grouping=GREEDY_SPLIT) > 0
    np.testing.assert_allclose(dataset.split_chosen.sum(), 1.0)
    assert ((dataset.below > 0) == (dataset.kept < 1)).all()


def test_shortfalls_end_at_zero(dataset):
    assert list(dataset.search.values) == list(SEARCHES)
    shortfall = dataset.shortfall_by_step
    assert (shortfall.isel(step=0) > 0).all()
    assert (shortfall.diff("step") <= 0).all()
    assert (shortfall.isel(step=-1) == 0).all()


@pytest.mark.slow
def test_claims_hold_for_a_small_cell():
    """But for the one on simulations, which takes more drops."""
    dataset = STUDY.run(SMALL, Sampling(key=KEY, realizations=32))
    claims = STUDY.claims(dataset)
    assert claims[0].verdict == "holds"
    assert claims[2].verdict != "does not hold"
    assert len(claims) == 5


@pytest.mark.slow
def test_one_split_has_no_claim_of_the_others():
    parameters = replace(SMALL, azimuth_groups=(2,), elevation_groups=(2,))
    dataset = STUDY.run(parameters, Sampling(key=KEY, realizations=DROPS))
    assert len(STUDY.claims(dataset)) == 4
    for name, best in ((START, START_SPLIT), (GREEDY, GREEDY_SPLIT)):
        rates = dataset.sum_rate
        assert rates.sel(grouping=name).values == rates.sel(grouping=best).values
    STUDY.plot(dataset).get_figure(root=True).draw_without_rendering()


def made_up(*, kept=1.0, gain=2.0, lead=0.1, annealed=1.0, best=1.0):
    """Result with errors of 0.01 bit/s/Hz."""
    values = {
        "sum_rate": [90.0] * 6,
        "gain": [0.0, gain, annealed, gain, 1.0, 3.0],
        "lead": [0.0, 0.0, -0.5, lead, 0.5, best],
        "kept": [1.0, 1.0, 1.0, kept, 1.0, 1.0],
        "below": [0.0, 0.0, 0.0, 0.1 * (1 - kept), 0.0, 0.0],
    }
    variables = {
        f"{name}{suffix}{error}": ("grouping", 0.01 * np.ones(6) if error else each)
        for suffix in ("", "_equivalent")
        for name, each in values.items()
        if (name, suffix) != ("below", "_equivalent")
        for error in ("", "_std_error")
    }
    variables |= {name: ("split", [0.75, 0.25]) for name in ("split_chosen", "split_sum_rate")}
    variables = {name: ((dim,), each) for name, (dim, each) in variables.items()}
    labels = {"grouping": GROUPINGS, "split": ["8 x 4", "5 x 6"]}
    dataset = common.make_dataset(labels, variables, tune_groups._ATTRIBUTES)
    return dataset.assign_attrs(realizations=64)


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, []),
        ({"kept": 0.9}, [0]),
        ({"gain": -2.0, "lead": -0.3}, [1]),
        ({"gain": 0.0, "lead": 0.0}, [1, 2]),
        ({"lead": 1.0}, [2]),
        ({"annealed": 0.01}, [3]),
        ({"best": 0.01}, [4]),
    ],
)
def test_claims(change, fails):
    claims = STUDY.claims(made_up(**change))
    assert [i for i, claim in enumerate(claims) if claim.verdict != "holds"] == fails
    assert len(claims) == 5


def test_evidence_tells_how_far_drops_are_below():
    evidence = STUDY.claims(made_up(kept=0.9))[0].evidence
    assert evidence.endswith("in 90.0 %, and the others are lower by 0.10 bit/s/Hz on average")
    assert STUDY.claims(made_up())[0].evidence.endswith("simulated, in 100.0 %")


def test_picture_has_labels_and_fits_given_axes(dataset):
    for draw in STUDY.pictures("x").values():
        draw(dataset).get_figure(root=True).draw_without_rendering()
    shown = [label.get_text() for label in STUDY.plot(dataset).get_yticklabels()]
    assert shown == list(GROUPINGS[1:])
    ax = Figure().add_subplot()
    assert STUDY.plot(dataset, ax) is ax
    assert ax.get_legend() is not None


def test_bad_parameters_are_told():
    for match, other in (
        ("`azimuth_groups` must be at most", {"azimuth_groups": (4, 128, 2)}),
        ("`elevation_groups` must be at most", {"elevation_groups": (13, 1, 1)}),
        ("`elevation_groups` must hold one number for each", {"elevation_groups": (4,)}),
        (
            "`azimuth_groups` must make another split",
            {"azimuth_groups": (8, 8, 5), "elevation_groups": (4, 4, 6)},
        ),
    ):
        with pytest.raises(ValueError, match=match):
            STUDY.parameters(**other)
