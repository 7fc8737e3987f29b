import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxmimo.channel.pathloss import (
    SPEED_OF_LIGHT,
    distance_power_law,
    log_distance_gain,
    umi_street_canyon,
    wavelength,
)

CARRIER_HZ = 3.5e9


def test_wavelength():
    np.testing.assert_allclose(wavelength(CARRIER_HZ), 0.085654988, rtol=1e-6)


@pytest.mark.parametrize("x64", [False, True])
def test_free_space(x64, verified):
    # 20 lg d + 20 lg f - 147.5522168 dB, d in m and f in Hz
    distance = np.array([[1.0, 10.5, 141.0]])
    loss_db = 20 * np.log10(distance) + 20 * np.log10(CARRIER_HZ) - 147.55221678
    with jax.enable_x64(x64):
        gain = log_distance_gain(jnp.asarray(distance), exponent=2, carrier_hz=CARRIER_HZ)
        for reference in (0.5, 1.0):  # no matter in free space
            other = log_distance_gain(
                jnp.asarray(distance),
                exponent=2.0,
                carrier_hz=CARRIER_HZ,
                reference_distance=reference,
            )
            np.testing.assert_allclose(other, gain, rtol=1e-6)
    verified(
        "Tominaga et al., path loss (18)-(19)",
        "free space",
        gain,
        10 ** (-loss_db / 10),
        rtol=1e-9 if x64 else 2e-6,
    )


@given(st.floats(1.0, 1e4), st.floats(0.0, 6.0), st.floats(0.1, 10.0))
def test_decibels_fall_by_ten_times_the_exponent_per_decade(ratio, exponent, reference):
    with jax.enable_x64(True):
        distance = jnp.array([1.0, ratio]) * reference
        near, far = log_distance_gain(
            distance, exponent=exponent, carrier_hz=CARRIER_HZ, reference_distance=reference
        )
        drop_db = 10 * np.log10(near / far)
    np.testing.assert_allclose(drop_db, 10 * exponent * np.log10(ratio), rtol=1e-9, atol=1e-9)


def test_gain_stays_below_the_reference_distance():
    gain = log_distance_gain(
        jnp.array([0.0, 0.3, 2.0]), exponent=3.0, carrier_hz=CARRIER_HZ, reference_distance=2.0
    )
    np.testing.assert_array_equal(gain, jnp.full(3, gain[2]))
    slope = jax.grad(lambda d: log_distance_gain(d, exponent=3.0, carrier_hz=CARRIER_HZ))
    assert slope(jnp.array(0.0)) == 0
    assert slope(jnp.array(5.0)) < 0


def test_gradients_and_sweeps():
    with jax.enable_x64(True):
        distance = jnp.array([2.0, 30.0])
        function = lambda d, e: jnp.log(  # noqa: E731
            log_distance_gain(d, exponent=e, carrier_hz=CARRIER_HZ)
        )
        check_grads(jax.jit(function), (distance, 2.7), order=1)
        swept = jax.jit(jax.vmap(function, in_axes=(None, 0)))(distance, jnp.array([2.0, 3.0]))
        np.testing.assert_allclose(swept[0] - swept[1], np.log([2.0, 30.0]), rtol=1e-12)


def test_power_law():
    distance = jnp.array([50.0, 100.0, 1600.0])
    expected = (np.array([0.5, 1, 16])) ** -3.8  # no cap below the reference distance
    np.testing.assert_allclose(distance_power_law(distance), expected, rtol=2e-6)
    literal = distance_power_law(distance, exponent=2.0, reference_distance=1.0)
    np.testing.assert_allclose(literal, 1 / distance**2, rtol=1e-6)
    with jax.enable_x64(True):
        function = lambda r, e, r0: jnp.log(  # noqa: E731
            distance_power_law(r, exponent=e, reference_distance=r0)
        )
        check_grads(jax.jit(function), (jnp.array([20.0, 300.0]), 3.8, 100.0), order=1)


def street_canyon_by_the_standard(distance, carrier, ap, ue, los):
    """Table 7.4.1-1 for one link, in plain Python."""
    d_3d, giga = np.hypot(distance, ap - ue), carrier / 1e9
    breakpoint_ = 4 * (ap - 1) * (ue - 1) * carrier / SPEED_OF_LIGHT
    if distance <= breakpoint_:
        loss = 32.4 + 21 * np.log10(d_3d) + 20 * np.log10(giga)
    else:
        loss = 32.4 + 40 * np.log10(d_3d) + 20 * np.log10(giga)
        loss -= 9.5 * np.log10(breakpoint_**2 + (ap - ue) ** 2)
    if los:
        return loss
    return max(loss, 35.3 * np.log10(d_3d) + 22.4 + 21.3 * np.log10(giga) - 0.3 * (ue - 1.5))


@pytest.mark.parametrize("x64", [False, True])
def test_street_canyon_at_known_points(x64, verified):
    with jax.enable_x64(x64):
        losses = umi_street_canyon(100.0, 28e9, 10.0, 1.5, jnp.array([True, False]))
        at_the_ap = umi_street_canyon(jnp.array([0.0, 3.0, 10.0]), 28e9, 10.0, 1.5, False)
    verified(
        "3GPP TR 38.901, path loss of UMi-Street Canyon [dB]",
        "values by hand",
        losses,
        [103.376, 123.880],
        atol=5e-4,
    )
    np.testing.assert_array_equal(at_the_ap, np.full(3, at_the_ap[2]))


@given(
    st.floats(10.0, 5000.0),
    st.floats(0.5e9, 100e9),
    st.floats(3.0, 25.0),
    st.floats(1.5, 22.5),
    st.booleans(),
)
def test_street_canyon_follows_the_table(distance, carrier, ap, ue, los):
    with jax.enable_x64(True):
        loss = umi_street_canyon(distance, carrier, ap, ue, los)
    expected = street_canyon_by_the_standard(distance, carrier, ap, ue, los)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


@pytest.mark.parametrize(("carrier", "ap", "ue"), [(2e9, 10.0, 1.5), (28e9, 6.0, 1.2)])
def test_street_canyon_slopes_meet_at_the_breakpoint(carrier, ap, ue):
    breakpoint_ = 4 * (ap - 1) * (ue - 1) * carrier / SPEED_OF_LIGHT
    beside = breakpoint_ * np.array([1 - 1e-9, 1 + 1e-9])
    with jax.enable_x64(True):
        before, after = umi_street_canyon(jnp.asarray(beside), carrier, ap, ue, True)
        slope = jax.vmap(jax.grad(lambda d: umi_street_canyon(d, carrier, ap, ue, True)))
        per_decade = slope(jnp.asarray(beside)) * np.log(10) * beside
    # The steeper slope of 40 dB per decade times the step of 2e-9, and rounding.
    np.testing.assert_allclose(before, after, rtol=0, atol=5e-8)
    flat = 1 + ((ap - ue) / breakpoint_) ** 2  # d_2D / d_3D, squared
    np.testing.assert_allclose(per_decade, np.array([21, 40]) / flat, rtol=1e-6)


def test_street_canyon_broadcasts_and_has_gradients():
    distance = jnp.array([[50.0], [800.0], [4000.0]])
    los = jnp.array([True, False])
    with jax.enable_x64(True):
        losses = jax.jit(umi_street_canyon)(distance, 3.5e9, 10.0, 1.5, los)
        expected = [
            [street_canyon_by_the_standard(d, 3.5e9, 10.0, 1.5, los) for los in (True, False)]
            for d in (50.0, 800.0, 4000.0)
        ]
        np.testing.assert_allclose(losses, expected, rtol=1e-12)
        per_user = umi_street_canyon(
            distance[:, 0], jnp.array([1e9, 2e9, 3e9]), 10.0, jnp.array([1.5, 2.0, 3.0]), True
        )
        assert per_user.shape == (3,)
        function = lambda d, f, h: umi_street_canyon(d, f * 1e9, h, 1.5, los)  # noqa: E731
        check_grads(jax.jit(function), (jnp.asarray(distance, float), 3.5, 10.0), order=1)
    nearest = jax.grad(lambda d: umi_street_canyon(d, 28e9, 10.0, 1.5, True))
    assert nearest(0.0) == 0


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"distance_2d": -1.0}, "distance_2d"),
        ({"distance_2d": np.nan}, "distance_2d"),
        ({"carrier_frequency": 0.0}, "carrier_frequency"),
        ({"carrier_frequency": -28e9}, "carrier_frequency"),
        ({"ap_height": 1.0}, "ap_height"),
        ({"ue_height": np.array([1.5, 0.5])}, "ue_height"),
        ({"ue_height": np.nan}, "ue_height"),
        ({"los": 0.3}, "los"),
    ],
)
def test_street_canyon_refuses_what_is_not_physical(changed, named):
    link = {
        "distance_2d": 100.0,
        "carrier_frequency": 28e9,
        "ap_height": 10.0,
        "ue_height": 1.5,
        "los": True,
    }
    with pytest.raises(ValueError, match=f"`{named}` must"):
        umi_street_canyon(**{**link, **changed})
