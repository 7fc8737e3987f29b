"""How fast searches converge, as the tuning studies record and draw it."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxmimo.studies.convergence import plot, shortfall, steps_up_to


def test_steps_are_dense_at_first_and_reach_the_end():
    steps = steps_up_to(400)
    assert list(steps[:5]) == [0, 1, 2, 3, 4]
    assert steps[-1] == 400
    assert len(steps) < 40
    assert np.all(np.diff(steps) > 0)
    assert list(steps_up_to(1)) == [0, 1]


def test_shortfall_is_the_distance_to_the_end_over_it():
    history = jnp.asarray([[1.0, 3.0, 4.0, 4.0], [-8.0, -6.0, -4.0, -4.0], [0.0, 0.0, 0.0, 0.0]])
    found = shortfall(history, np.array([0, 1, 2, 9]))
    np.testing.assert_allclose(found, [[75, 25, 0, 0], [100, 50, 0, 0], [0, 0, 0, 0]])


@pytest.mark.parametrize("error", [0.0, 10.0])
def test_picture_has_a_curve_and_a_band_per_search_down_to_its_floor(error):
    mean = np.array([[50.0, 5.0, 0.5, 0.0], [20.0, 1.0, 0.0, 0.0]])
    dims = ("search", "step")
    dataset = xr.Dataset(
        {
            "shortfall_by_step": (dims, mean, {"long_name": "Mean distance", "units": "%"}),
            "shortfall_by_step_std_error": (dims, np.full_like(mean, error)),
        },
        coords={"search": ["one", "two"], "step": [0, 1, 3, 10]},
    )
    ax = plot(dataset)
    drawn = {line.get_label(): line.get_xydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["one"], [[0, 50], [1, 5], [3, 0.5]])
    np.testing.assert_allclose(drawn["two"], [[0, 20], [1, 1]])
    assert len(ax.collections) == 2
    assert ax.get_ylabel() == "Mean distance [%]"
    low, _ = ax.get_ylim()
    assert all(
        low <= path.vertices[:, 1].min() for band in ax.collections for path in band.get_paths()
    )
