"""The study of tuned uplink powers under Rician fading: dataset, claims, pictures, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxmimo.channel.geometry import uniform_positions
from jaxmimo.distributed_rician import maximum_ratio_drop, se_sample
from jaxmimo.simulation.monte_carlo import monte_carlo
from jaxmimo.studies import common, tune_power, tune_power_rician
from jaxmimo.studies.study import Sampling
from jaxmimo.studies.tune_power import FAIR, MAX_MIN, OWN_MEASURE, SUM
from jaxmimo.studies.tune_power_rician import (
    ALLOCATIONS,
    FULL,
    MAX_MIN_MMSE,
    MMSE,
    MR,
    SEARCHES,
    STUDY,
    make_system,
)

KEY, DROPS = jax.random.key(1), 4
SMALL = STUDY.parameters(num_aps=4, num_users=3, max_rounds=2, fading_realizations=32)


@pytest.fixture(scope="module")
def dataset():
    return STUDY.run(SMALL, Sampling(key=KEY, realizations=DROPS))


def test_dataset_is_complete_and_labelled(dataset):
    assert dataset.attrs["realizations"] == DROPS
    for name, variable in dataset.variables.items():
        assert {"units", "long_name"} <= set(variable.attrs)
        if variable.dtype.kind == "f":
            assert np.all(np.isfinite(variable))
        if name in dataset.data_vars and not name.endswith("_std_error"):
            assert f"{name}_std_error" in dataset
    assert dataset.se_cdf.dims == ("allocation", "combiner", "se_level")
    np.testing.assert_allclose(dataset.se_cdf.isel(se_level=-1), 1.0, rtol=1e-6)
    assert np.all(dataset.se_cdf.diff("se_level") >= -1e-6)
    assert {MAX_MIN, FAIR, SUM} <= set(ALLOCATIONS)


def test_measures_are_ordered_and_gains_are_differences(dataset):
    assert np.all(dataset.min_se <= dataset.geometric_mean_se * (1 + 1e-5))
    assert np.all(dataset.geometric_mean_se <= dataset.sum_se / 3 * (1 + 1e-5))
    for name in OWN_MEASURE.values():
        values = dataset[name]
        np.testing.assert_allclose(dataset[f"{name}_gain"], values - values[0], atol=1e-4)


def test_each_allocation_for_maximum_ratio_is_best_by_its_own_measure_in_every_drop(dataset):
    mr = dataset.sel(combiner=MR)
    for name, measure in OWN_MEASURE.items():
        values = mr[measure]
        assert values.sel(allocation=name) >= values.max() * (1 - 5e-3)
        assert mr[f"{measure}_kept"].sel(allocation=name) == 1


def test_drops_and_fading_are_those_of_the_system(dataset):
    """Fading is fresh, so that the mean is met within errors; the closed form, exactly."""
    limit = jnp.full(3, 0.1)

    def placed(key):
        places_key, *_ = jax.random.split(key, 3)
        return make_system(SMALL, uniform_positions(places_key, 3, SMALL.side_m))

    full = dataset.sel(allocation=FULL)
    closed_form = monte_carlo(
        lambda key: maximum_ratio_drop(key, placed(key)).se(limit).sum(), KEY, DROPS
    )
    np.testing.assert_allclose(full.sum_se.sel(combiner=MR), closed_form.mean, rtol=1e-4)
    simulated = monte_carlo(
        lambda key: se_sample(placed(key), realizations=512)(key).sum(), KEY, DROPS
    ).mean
    found = full.sum_se.sel(combiner=MMSE)
    np.testing.assert_allclose(found, simulated, rtol=0.1)
    assert found != pytest.approx(float(simulated), rel=1e-6)


def test_shortfalls_end_at_zero_and_those_without_chance_never_rise(dataset):
    assert list(dataset.search.values) == list(SEARCHES)
    shortfall = dataset.shortfall_by_step
    assert (shortfall.isel(step=-1) == 0).all()
    closed_form = shortfall.sel(search=list(SEARCHES[:2]))
    assert (closed_form.isel(step=0) > 0).all()
    assert (closed_form.diff("step") <= 0).all()
    # Rounds begin at full power and end, for all that is recorded, at the allocation itself.
    mmse = dataset.sel(combiner=MMSE).min_se_gain.sel(allocation=MAX_MIN_MMSE)
    begin = shortfall.isel(step=0).sel(search=SEARCHES[2])
    assert (begin == 0) == (mmse == 0)


def made_up(gain=0.5, kept=1.0, mmse=(0.2, 0.0, -0.5)):
    """Result known to 0.001 bit/s/Hz, with one gain everywhere for MR.

    With MMSE gains are those of max-min by draws, of fairness by draws, and of all the others.
    """
    both = np.ones((len(ALLOCATIONS), 2))
    gains = gain * both
    gains[:, 1] = mmse[2]
    gains[-2:, 1] = mmse[:2]
    values = {"settled": ((), 0.9)}
    for name in OWN_MEASURE.values():
        for suffix, value in (("", both), ("_kept", kept * both), ("_gain", gains)):
            values[name + suffix] = (("allocation", "combiner"), value)
    errors = {
        f"{name}_std_error": (dims, np.full(np.shape(value), 0.001))
        for name, (dims, value) in values.items()
    }
    labels = {"allocation": list(ALLOCATIONS), "combiner": [MR, MMSE]}
    attributes = {**tune_power.ATTRIBUTES, **tune_power_rician._ATTRIBUTES}
    dataset = common.make_dataset(labels, {**values, **errors}, attributes)
    return dataset.assign_attrs(realizations=64)


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, []),
        ({"gain": 0.001}, [0]),
        ({"kept": 0.9}, [1]),
        ({"mmse": (0.001, 0.0, -0.5)}, [2]),
        ({"mmse": (0.2, 0.1, -0.5)}, [3]),
        ({"mmse": (0.2, 0.0, 0.1)}, [4]),
    ],
)
def test_claims(change, fails):
    claims = STUDY.claims(made_up(**change))
    assert [i for i, claim in enumerate(claims) if claim.verdict != "holds"] == fails
    assert len(claims) == 5
    assert all(claim.evidence for claim in claims)


def test_pictures_have_labels_and_fit_given_axes(dataset):
    for draw in STUDY.pictures("x").values():
        figure = draw(dataset).get_figure(root=True)
        assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)
        figure.draw_without_rendering()
    ax = Figure().add_subplot()
    with pytest.raises(ValueError, match="`ax` takes one panel"):
        STUDY.plot(dataset, ax)
    assert STUDY.plot(dataset.isel(combiner=0), ax) is ax
    assert len(ax.lines) == len(ALLOCATIONS)
    assert ax.get_legend() is not None


def test_bad_parameters_are_told():
    for match, other in (
        ("`num_users` must be at least 1", {"num_users": 0}),
        ("`max_rounds` must be at least 1", {"max_rounds": 0}),
        ("`fading_realizations` must be at least 16", {"fading_realizations": 15}),
    ):
        with pytest.raises(ValueError, match=match):
            STUDY.parameters(**other)
