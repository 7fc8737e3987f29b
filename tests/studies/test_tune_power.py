"""What studies of tuned powers share, and that of the downlink: dataset, claims, pictures."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxmimo.simulation.monte_carlo import monte_carlo
from jaxmimo.studies import common, tune_power, tune_power_iqi
from jaxmimo.studies.study import Sampling
from jaxmimo.studies.tune_power import FAIR, MAX_MIN, OWN_MEASURE, SUM
from jaxmimo.studies.tune_power_iqi import ALLOCATIONS, EQUAL, FRACTIONAL, SEARCHES, STUDY
from jaxmimo.tuning import ApPowerBudget, ScaledApBudget, downlink_se, equal_split, fractional_split

KEY, NETWORKS = jax.random.key(1), 4
SMALL = STUDY.parameters(num_aps=8, num_users=3)


@pytest.fixture(scope="module")
def dataset():
    return STUDY.run(SMALL, Sampling(key=KEY, realizations=NETWORKS))


def test_dataset_is_complete_and_labelled(dataset):
    assert dataset.attrs["realizations"] == NETWORKS
    for name, variable in dataset.variables.items():
        assert {"units", "long_name"} <= set(variable.attrs)
        assert np.all(np.isfinite(variable)) if variable.dtype.kind == "f" else True
        if name in dataset.data_vars and not name.endswith("_std_error"):
            assert f"{name}_std_error" in dataset
    assert list(dataset.allocation.values) == list(ALLOCATIONS)
    assert list(dataset.search.values) == list(SEARCHES)
    assert dataset.se_cdf.dims == ("allocation", "hardware", "se_level")
    np.testing.assert_allclose(dataset.se_cdf.isel(se_level=-1), 1.0, rtol=1e-6)
    assert np.all(dataset.se_cdf.diff("se_level") >= -1e-6)


def test_measures_are_ordered_and_gains_are_differences(dataset):
    users = int(dataset.num_users)
    assert np.all(dataset.min_se <= dataset.geometric_mean_se * (1 + 1e-5))
    assert np.all(dataset.geometric_mean_se <= dataset.sum_se / users * (1 + 1e-5))
    for name in OWN_MEASURE.values():
        values = dataset[name]
        np.testing.assert_allclose(dataset[f"{name}_gain"], values - values[0], atol=1e-4)
    assert np.all(dataset.sum_se.sel(hardware="perfect") > dataset.sum_se.sel(hardware="impaired"))


def test_heuristics_are_those_of_the_networks(dataset):
    def sample(key):
        beta = tune_power_iqi.draw_gains(key, SMALL)
        system = tune_power_iqi.make_system(SMALL, beta, tune_power_iqi.IQImbalance())
        heuristics = jnp.stack([equal_split(system), fractional_split(beta)])
        return jax.vmap(downlink_se(system))(heuristics).sum(-1)

    expected = monte_carlo(sample, KEY, NETWORKS).mean
    found = dataset.sum_se.sel(allocation=[EQUAL, FRACTIONAL], hardware="perfect")
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_each_allocation_is_best_by_its_own_measure_in_every_network(dataset):
    perfect = dataset.sel(hardware="perfect")
    for name, measure in OWN_MEASURE.items():
        values = perfect[measure]
        assert values.sel(allocation=name) >= values.max() * (1 - 2e-3)
        assert perfect[f"{measure}_kept"].sel(allocation=name) == 1


def test_most_searches_end_by_their_certificates_and_none_falls(dataset):
    assert dataset.certified.sel(search=MAX_MIN) == 1
    assert dataset.certified.mean() >= 0.9
    assert np.all(dataset.steps_taken < dataset.step.max())
    lacking = dataset.shortfall_by_step
    assert np.all(lacking.isel(step=-1) == 0)
    assert np.all(lacking.isel(step=0) > 0)
    gradient = lacking.isel(search=slice(1, None))
    assert np.all(gradient.diff("step") <= 1e-4)


def made_up(gain, kept=1.0, retuned=0.0, certified=1.0):
    """Result known to 0.01 bit/s/Hz, with one gain everywhere."""
    both = np.ones((len(ALLOCATIONS), 2))
    values = {}
    for name in OWN_MEASURE.values():
        values |= {name: both, f"{name}_kept": kept * both, f"{name}_gain": gain * both}
    variables: dict[str, Any] = {
        name: (("allocation", "hardware"), value) for name, value in values.items()
    }
    variables["retuned_gain"] = (("objective",), [0.0, retuned])
    shares = np.ones(len(SEARCHES))
    shares[-1] = certified
    variables |= {"certified": (("search",), shares), "steps_taken": (("search",), 50 * shares)}
    for name in list(variables):
        dims, value = variables[name]
        variables[f"{name}_std_error"] = (dims, np.full(np.shape(value), 0.01))
    dataset = common.make_dataset(
        {
            "allocation": list(ALLOCATIONS),
            "hardware": list(tune_power_iqi.iqi.HARDWARE),
            "objective": [FAIR, SUM],
            "search": list(SEARCHES),
        },
        variables,
        {**tune_power.ATTRIBUTES, **tune_power_iqi._ATTRIBUTES},
    )
    return dataset.assign_attrs(realizations=64)


@pytest.mark.parametrize(
    ("facts", "fails"),
    [
        ({}, set()),
        ({"gain": 0.01}, {0, 2, 3}),
        ({"kept": 0.9}, {1}),
        ({"retuned": 0.2}, {3}),
        ({"certified": 0.9}, {4}),
    ],
)
def test_claims_can_fail(facts, fails):
    claims = STUDY.claims(made_up(**{"gain": 0.5, **facts}))
    assert {i for i, claim in enumerate(claims) if claim.verdict != "holds"} == fails
    assert len(claims) == 5
    assert all(claim.evidence for claim in claims)


def test_claims_are_judged_from_the_run(dataset):
    assert STUDY.claims(dataset)[1].verdict == "holds"


def test_pictures_have_labels_and_fit_given_axes(dataset):
    for draw in STUDY.pictures("x").values():
        draw(dataset).get_figure(root=True).draw_without_rendering()
    figure = STUDY.plot(dataset).get_figure(root=True)
    assert [ax.get_title() for ax in figure.axes] == ["perfect", "impaired"]
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)
    figure.draw_without_rendering()
    panels = [ax.get_window_extent() for ax in figure.axes]
    keys = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    assert keys
    assert not any(key.get_window_extent().overlaps(panel) for key in keys for panel in panels)
    ax = Figure().add_subplot()
    with pytest.raises(ValueError, match="`ax` takes one panel"):
        STUDY.plot(dataset, ax)
    assert STUDY.plot(dataset.isel(hardware=0), ax) is ax
    assert len(ax.lines) == dataset.sizes["allocation"]
    assert ax.get_legend() is not None


def test_own_measures_are_of_the_allocations():
    assert set(OWN_MEASURE) == {MAX_MIN, FAIR, SUM} <= set(ALLOCATIONS)


def test_measures_of_users_nobody_hears_are_zero():
    se = jnp.zeros((2, 1, 3)).at[1, 0, 0].set(2.0)
    found = tune_power.measures(se, jnp.asarray([0.0, 3.0]), heuristics=1)
    assert np.all(found["min_se"] == 0)
    assert np.all(found["geometric_mean_se"] == 0)
    np.testing.assert_allclose(found["sum_se"][:, 0], [0, 2])
    np.testing.assert_allclose(found["se_cdf"][:, 0], [[1, 1], [2 / 3, 1]], rtol=1e-6)


def test_fractional_split_spends_all_and_favours_the_near():
    gain = jnp.asarray([[1.0, 4.0, 4.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    squares = [[1 / 5, 2 / 5, 2 / 5], [0, 1, 0], [1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(fractional_split(gain) ** 2, squares, rtol=1e-6)
    np.testing.assert_allclose(fractional_split(1e-9 * gain) ** 2, squares, rtol=1e-5)
    np.testing.assert_allclose(fractional_split(gain[:1], exponent=0.0), 3**-0.5, rtol=1e-6)
    slope = jax.grad(lambda gain: fractional_split(gain).sum())(gain)
    assert np.all(np.isfinite(slope))
    with pytest.raises(ValueError, match="`gain`"):
        fractional_split(-gain)


def test_scaled_budget_is_the_same_set():
    amplitudes = jnp.asarray([[0.6, 0.7], [0.01, 0.02], [0.0, 0.0]])
    scaled, plain = ScaledApBudget(amplitudes), ApPowerBudget()
    coordinates = scaled.coordinates(amplitudes)
    np.testing.assert_allclose(scaled.point(coordinates), amplitudes, atol=1e-6)
    # Each AP by about as many of its units.
    np.testing.assert_allclose(np.hypot(*coordinates[:2].T), 1.0, rtol=0.3)
    far = scaled.point(jnp.full((3, 2), 1e3))
    assert np.all((far**2).sum(1) <= 1 + 1e-6)
    slope = jnp.asarray([[1.0, -2.0], [0.5, 3.0], [1.0, 1.0]])
    np.testing.assert_allclose(scaled.gain(amplitudes, slope), plain.gain(amplitudes, slope))


def test_bad_parameters_are_told():
    with pytest.raises(ValueError, match="`coherence_length`"):
        STUDY.parameters(num_users=300)
