"""The study of tuned groups: dataset, claims, picture, bad input."""

from operator import attrgetter

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxmimo.simulation.monte_carlo import monte_carlo
from jaxmimo.studies import common, tune_groups
from jaxmimo.studies.study import Sampling
from jaxmimo.studies.tune_groups import GREEDY, START, STUDY, TUNED
from jaxmimo.systems.beamforming_3d import rate_sample
from jaxmimo.tuning.groups import greedy_groups

pytestmark = pytest.mark.xdist_group("tune-groups")

KEY, DROPS = jax.random.key(1), 8
SMALL = STUDY.parameters(
    azimuth_groups=(2,),
    elevation_groups=2,
    azimuth_antennas=8,
    elevation_antennas=4,
    num_users=4,
    fading_realizations=8,
)


@pytest.fixture(scope="module")
def dataset():
    """With no greedy moves, and these in the place of the gradient, which takes long to compile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune_groups, "tune_groups", greedy_groups)
        patch.setattr(tune_groups, "greedy_groups", attrgetter("groups"))
        return STUDY.run(SMALL, Sampling(key=KEY, realizations=DROPS))


def test_dataset_is_complete_and_labelled(dataset):
    assert (dataset.sum_rate > 0).all()
    assert (dataset.sum_rate_std_error > 0).all()
    for variable in dataset.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    assert dataset.attrs["realizations"] == DROPS
    assert list(dataset.grouping.values) == [START, GREEDY, TUNED]


def test_start_is_that_of_the_other_studies(dataset):
    """The same drops, fading and rates as figure 6 has."""
    sample = rate_sample(tune_groups._system(SMALL, 2), realizations=8)
    expected = monte_carlo(sample, KEY, DROPS)
    found = dataset.sum_rate.sel(grouping=START, azimuth_groups=2)
    np.testing.assert_allclose(found, expected.mean, rtol=1e-4)


def test_differences_are_those_of_the_rates(dataset):
    for suffix in ("", "_equivalent"):
        rates, gain = dataset[f"sum_rate{suffix}"], dataset[f"gain{suffix}"]
        np.testing.assert_allclose(gain, rates - rates.sel(grouping=START), atol=1e-4)
        lead = rates.sel(grouping=TUNED) - rates.sel(grouping=GREEDY)
        np.testing.assert_allclose(dataset[f"lead{suffix}"], lead, atol=1e-4)
    assert (dataset.kept_equivalent == 1).all()
    assert (dataset.gain_equivalent.sel(grouping=TUNED) > 0).all()


@pytest.mark.slow
def test_claims_hold_for_a_small_cell():
    claims = STUDY.claims(STUDY.run(SMALL, Sampling(key=KEY, realizations=32)))
    assert claims[0].holds
    assert claims[2].holds


def made_up(kept, gain, lead):
    """Result at G = 4 and 8, known to 0.1 bit/s/Hz."""
    dims, both = ("azimuth_groups", "grouping"), np.ones((2, 1))
    values = {
        "sum_rate": 90.0 * both * [1, 1, 1],
        "gain": gain * both * [0, 1, 1],
        "kept": both * [1, 1, kept],
    }
    variables = {}
    for suffix in ("", "_equivalent"):
        for name, each in values.items():
            variables[f"{name}{suffix}"] = (dims, each)
            variables[f"{name}{suffix}_std_error"] = (dims, 0.1 * each)
        variables[f"lead{suffix}"] = (dims[:1], np.full(2, lead))
        variables[f"lead{suffix}_std_error"] = (dims[:1], np.full(2, 0.1))
    labels = {"azimuth_groups": [4, 8], "grouping": [START, GREEDY, TUNED]}
    dataset = common.make_dataset(labels, variables, tune_groups._ATTRIBUTES)
    return dataset.assign_attrs(realizations=10)


@pytest.mark.parametrize(
    ("kept", "gain", "lead", "holds"),
    [
        (1.0, 2.0, 0.1, [True, True, True]),
        (0.9, 2.0, 0.1, [False, True, True]),
        (1.0, -2.0, -0.3, [True, False, True]),
        (1.0, 2.0, 1.0, [True, True, False]),
        (1.0, 0.0, 0.0, [True, False, True]),
    ],
)
def test_claims(kept, gain, lead, holds):
    assert [claim.holds for claim in STUDY.claims(made_up(kept, gain, lead))] == holds


def test_picture_has_labels_and_fits_given_axes(dataset):
    figure = STUDY.plot(dataset).get_figure(root=True)
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)
    figure.draw_without_rendering()
    ax = Figure().add_subplot()
    assert STUDY.plot(dataset, ax) is ax
    assert ax.get_legend() is not None


def test_bad_parameters_are_told():
    with pytest.raises(ValueError, match="`azimuth_groups` must be at most"):
        STUDY.parameters(azimuth_groups=(4, 128))
    with pytest.raises(ValueError, match="`elevation_groups` must be at most"):
        STUDY.parameters(elevation_groups=13)
