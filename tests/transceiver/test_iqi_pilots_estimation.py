"""Hardware, pilot phase, estimators and precoder against the paper's equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.split import WidelyLinear, merge, split
from jaxmimo.transceiver.estimation import channel_gain, linear_mmse, widely_linear_mmse
from jaxmimo.transceiver.hardware import IQImbalance
from jaxmimo.transceiver.pilots import full_pilots, orthonormal_pilots, projected_pilots
from jaxmimo.transceiver.precoding import mr_scaling, unit_power
from tests.reference import cell_free_iqi as reference

G, THETA = np.array([[0.3, 0.9], [1.1, 0.5]]), np.array([[0.2, -0.4], [0.1, 0.7]])


@pytest.fixture
def hardware():
    return IQImbalance(amplitude=G, phase=THETA)


def test_coefficients(hardware):
    direct, image = reference.iq_coefficients(G, THETA)
    np.testing.assert_allclose(hardware.direct, direct, rtol=1e-6)
    np.testing.assert_allclose(hardware.image, image, rtol=1e-6)


def test_imbalance_scales_and_turns_the_quadrature_branch(hardware):
    x = 0.7 - 1.3j
    y = hardware.widely_linear(jnp.asarray(x))
    np.testing.assert_allclose(y.real, np.full((2, 2), x.real), rtol=1e-6)
    expected = G * (x.imag * np.cos(THETA) - x.real * np.sin(THETA))
    np.testing.assert_allclose(y.imag, expected, rtol=1e-5, atol=1e-6)


def test_matched_hardware_is_the_identity():
    x = jnp.asarray(0.7 - 1.3j)
    np.testing.assert_allclose(IQImbalance().widely_linear(x), np.full((1, 1), x), rtol=1e-7)


@pytest.mark.parametrize(
    "arguments",
    [{"amplitude": -0.1}, {"amplitude": np.nan}, {"phase": np.inf}, {"amplitude": np.ones(3)}],
)
def test_bad_mismatch_is_refused(arguments):
    with pytest.raises(ValueError, match=f"`{next(iter(arguments))}`"):
        IQImbalance(**arguments)


@pytest.mark.parametrize(("length", "streams"), [(1, 1), (7, 7), (12, 5)])
def test_pilots_are_real_and_orthonormal(length, streams):
    pilots = orthonormal_pilots(length, streams)
    np.testing.assert_allclose(pilots.T @ pilots, np.eye(streams), atol=1e-12)


def test_full_pilots_equal_the_projected_model_draw_by_draw():
    """Projection commutes with the imbalance: noise projected beforehand gives the same."""
    rng = np.random.default_rng(0)
    receive = WidelyLinear(
        jnp.asarray(rng.normal(size=6) + 1j * rng.normal(size=6)),
        jnp.asarray(rng.normal(size=6) + 1j * rng.normal(size=6)),
    )
    g = rng.normal(size=(6, 4)) + 1j * rng.normal(size=(6, 4))
    key, length, energy = jax.random.key(4), 9, 2.5
    full = full_pilots(key, split(jnp.asarray(g)), receive, energy, length)
    # The noise that full_pilots drew, seen through a pilot phase without channels or imbalance.
    identity = WidelyLinear(jnp.ones(6) + 0j, jnp.zeros(6) + 0j)
    noise = merge(full_pilots(key, split(jnp.zeros((6, 4)) + 0j), identity, 0.0, length).parts)
    z = np.sqrt(energy) * g + np.asarray(noise)
    expected = receive.direct[:, None] * z + receive.image[:, None] * z.conj()
    assert full.imbalanced
    np.testing.assert_allclose(merge(full.parts), expected, rtol=1e-4, atol=1e-5)


def test_projected_pilots_leave_the_imbalance_to_later_stages(hardware):
    g = jnp.zeros((4, 2, 3))
    signal = projected_pilots(jax.random.key(0), g, hardware.widely_linear, 1.0, 3)
    assert not signal.imbalanced
    assert signal.parts.shape == g.shape


@pytest.mark.parametrize("beta", [0.2, 3.0])
def test_estimators_equal_the_matrix_formulas(hardware, beta, verified):
    """Eqs. (6)-(8), and the augmented MMSE solved numerically, antenna by antenna."""
    rng = np.random.default_rng(1)
    y = rng.normal(size=(2, 2, 1, 3)) + 1j * rng.normal(size=(2, 2, 1, 3))
    energy = 5.0
    receive = reference.iq_coefficients(G, THETA)
    for ours, theirs in (
        (linear_mmse, reference.linear_mmse_estimate),
        (widely_linear_mmse, reference.widely_linear_mmse_estimate),
    ):
        expected = theirs(y, np.full((2, 1), beta), receive, np.sqrt(energy))
        correction = ours(hardware)
        per_entry = WidelyLinear(
            correction.direct[..., None, None], correction.image[..., None, None]
        )
        estimate = channel_gain(jnp.asarray(beta), energy) * per_entry(jnp.asarray(y))
        name = "Sutton et al., linear and widely linear MMSE (6)-(9)"
        verified(name, "matrix formulas, solved numerically", estimate, expected, rtol=1e-4)


def test_widely_linear_correction_undoes_the_imbalance(hardware):
    through = widely_linear_mmse(hardware).after(hardware.widely_linear)
    np.testing.assert_allclose(through.direct, np.ones((2, 2)), atol=1e-5)
    np.testing.assert_allclose(through.image, np.zeros((2, 2)), atol=1e-5)


@pytest.mark.parametrize(("amplitude", "phase"), [(0.0, 0.3), (0.8, np.pi / 2), (1e-5, 0.0)])
def test_widely_linear_falls_back_where_one_branch_is_lost(amplitude, phase):
    receive = IQImbalance(amplitude=amplitude, phase=phase)
    linear, widely = linear_mmse(receive), widely_linear_mmse(receive)
    np.testing.assert_allclose(widely.direct, linear.direct)
    np.testing.assert_allclose(widely.image, linear.image)


@pytest.mark.parametrize("estimator", [linear_mmse, widely_linear_mmse])
def test_mr_scaling_spends_the_power_of_each_ap(hardware, estimator):
    """E||x||^2 = 1 before the transmit imbalance (11), for precoders c (p Z + q Z*)."""
    beta = jnp.array([[0.5, 2.0, 0.0], [1.0, 0.1, 3.0]])
    energy, streams = 4.0, 6
    scaling = mr_scaling(beta, energy, 2, streams)
    _, through = unit_power(estimator(hardware), hardware.widely_linear)
    observed = jnp.abs(through.direct) ** 2 + jnp.abs(through.image) ** 2
    power = scaling**2 * (1 + energy * beta) * observed.sum(-1, keepdims=True)
    np.testing.assert_allclose(power.sum(-1) * (streams / 3), np.ones(2), rtol=1e-6)


def test_an_ap_without_signal_stays_silent():
    """g = 1, theta = pi conjugates the signal, which the linear estimator cannot see."""
    receive = WidelyLinear(jnp.zeros((1, 1)) + 0j, jnp.ones((1, 1)) + 0j)
    correction = WidelyLinear(jnp.zeros((1, 1)) + 0j, jnp.zeros((1, 1)) + 0j)
    scaled, through = unit_power(correction, receive)
    for leaf in jax.tree.leaves((scaled, through)):
        np.testing.assert_array_equal(leaf, np.zeros((1, 1)))
