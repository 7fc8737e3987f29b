import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo import monte_carlo, sweep
from jaxmimo.simulation.sweep import simulate_points
from tests.simulation.models import KEY, power

SNR = jnp.asarray([0.01, 1.0, 100.0, 0.1, 10.0])


def se(key, point):
    gain = power(key)
    return {"se": jnp.log2(1 + point["snr"] * gain), "gain": gain}


def one(snr):
    return jax.tree_util.Partial(lambda snr, key: se(key, {"snr": snr}), jnp.asarray(snr))


def test_points_equal_runs_of_their_own_with_the_same_draws():
    curve = sweep(se, KEY, {"snr": SNR}, 1000)
    assert curve.point_realizations == (1000,) * 5
    for i, snr in enumerate(SNR):
        alone = monte_carlo(one(snr), KEY, 1000)
        np.testing.assert_allclose(curve.mean["se"][i], alone.mean["se"], rtol=1e-5)
        np.testing.assert_allclose(curve.std_error["se"][i], alone.std_error["se"], rtol=1e-4)
    np.testing.assert_array_equal(curve.mean["gain"], np.broadcast_to(curve.mean["gain"][0], 5))


def judged(mean):
    return mean["se"]


def test_points_end_when_they_meet_the_target():
    curve = sweep(se, KEY, {"snr": SNR}, 10**5, target_error=0.02, judged=judged)
    relative = np.asarray(curve.std_error["se"] / curve.mean["se"])
    assert (relative <= 0.02).all()
    drawn = np.asarray(curve.point_realizations)
    assert curve.realizations == drawn.min()
    assert drawn[0] > 2 * drawn[2]  # low SNR varies most
    for i, snr in enumerate(SNR):
        alone = monte_carlo(one(snr), KEY, int(drawn[i]))
        np.testing.assert_allclose(curve.mean["se"][i], alone.mean["se"], rtol=1e-5)
        np.testing.assert_allclose(curve.std_error["se"][i], alone.std_error["se"], rtol=1e-3)


def test_converged_points_leave_the_kernel():
    sizes = []

    def sample_of(chosen):
        sizes.append(len(chosen))
        return jax.tree_util.Partial(draw, SNR[chosen])

    def draw(snr, key):
        return jnp.log2(1 + snr * power(key))[None]  # points on axis 1

    curve = simulate_points(sample_of, 5, KEY, 10**5, axis=1, target_error=0.02)
    assert sizes[:2] == [5, 5]
    assert sizes[1:] == sorted(sizes[1:], reverse=True)
    assert sizes[-1] <= 2
    assert curve.mean.shape == (1, 5)
    assert len(set(curve.point_realizations)) > 1


def test_the_cap_holds_for_points_that_do_not_meet_the_target():
    curve = sweep(se, KEY, {"snr": SNR}, 3000, target_error=0.02, judged=judged)
    assert max(curve.point_realizations) == 3000
    assert min(curve.point_realizations) < 3000


def test_a_checkpoint_of_a_sweep_is_gone_on_from(tmp_path, monkeypatch):
    options = {"target_error": 0.02, "judged": judged, "statistic": doubled}
    whole = sweep(se, KEY, {"snr": SNR}, 10**5, **options)
    first = sweep(se, KEY, {"snr": SNR}, 10**5, **options, checkpoint=tmp_path / "run")
    again = sweep(se, KEY, {"snr": SNR}, 10**5, **options, checkpoint=tmp_path / "run")
    for curve in (first, again):
        assert curve.point_realizations == whole.point_realizations
        np.testing.assert_array_equal(curve.mean["se"], whole.mean["se"])


def doubled(mean):
    return {"se": 2 * mean["se"]}


def test_sweeps_are_differentiable():
    def total(snr):
        return sweep(se, KEY, {"snr": snr}, 200).mean["se"].sum()

    gradient = jax.grad(total)(SNR)
    step = 0.03 * SNR
    rise = [
        (total(SNR.at[i].add(step[i])) - total(SNR.at[i].add(-step[i]))) / (2 * step[i])
        for i in range(5)
    ]
    np.testing.assert_allclose(gradient, rise, rtol=0.02)


@pytest.mark.parametrize(
    "points", [{"a": np.ones(3), "b": np.ones(2)}, np.ones(0), 1.0, {}], ids=str
)
def test_points_that_are_no_curve_are_refused(points):
    with pytest.raises(ValueError, match="`points` must be arrays with equally long leading axes"):
        sweep(se, KEY, points, 100)
