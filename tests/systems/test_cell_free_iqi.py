"""System 1: closed form, limits, simulation and reference against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmimo import IQImbalance, cell_free_iqi
from jaxmimo.cell_free_iqi import (
    CellFreeIQI,
    asymptotic_se,
    closed_form_se,
    full_pilots,
    linear_mmse,
    projected_pilots,
    simulate_se,
    widely_linear_mmse,
)
from tests.reference import cell_free_iqi as reference

ESTIMATORS = {
    linear_mmse: reference.linear_mmse_estimate,
    widely_linear_mmse: reference.widely_linear_mmse_estimate,
}
both_estimators = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.__name__)


def paper_system(num_aps, ap_antennas, amplitude, phase=0.0, users=20, user_antennas=2, **other):
    """The paper's setting: beta = 1, transmit and receive alike, T = 200."""
    hardware = IQImbalance(amplitude=amplitude, phase=phase)
    parameters = {
        "beta": np.ones((num_aps, users)),
        "receive": hardware,
        "transmit": hardware,
        "user_antennas": user_antennas,
        "coherence_length": 200,
        "pilot_snr": 1.0,
        "data_snr": 10.0,
        "ap_antennas": ap_antennas,
    }
    return CellFreeIQI(**{**parameters, **other})


def mixed_parameters(aps=6, antennas=2, users=3):
    """Nothing equal to anything else."""
    rng = np.random.default_rng(7)
    return {
        "beta": rng.exponential(size=(aps, users)),
        "receive": (
            rng.uniform(0.3, 1.2, (aps, antennas)),
            rng.uniform(-0.6, 0.6, (aps, antennas)),
        ),
        "transmit": (
            rng.uniform(0.3, 1.2, (aps, antennas)),
            rng.uniform(-0.6, 0.6, (aps, antennas)),
        ),
    }


def mixed_system(**other):
    parameters = mixed_parameters()
    return CellFreeIQI(
        beta=parameters["beta"],
        receive=IQImbalance(amplitude=parameters["receive"][0], phase=parameters["receive"][1]),
        transmit=IQImbalance(amplitude=parameters["transmit"][0], phase=parameters["transmit"][1]),
        **{
            "user_antennas": 2,
            "coherence_length": 50,
            "pilot_length": 8,
            "pilot_snr": 0.7,
            "data_snr": 3.0,
            **other,
        },
    )


def mixed_network():
    parameters = mixed_parameters()
    return reference.Network(
        beta=parameters["beta"],
        receive=reference.iq_coefficients(*parameters["receive"]),
        transmit=reference.iq_coefficients(*parameters["transmit"]),
        user_antennas=2,
        rho_p=0.7,
        rho_d=3.0,
        tau=8,
        coherence=50,
    )


def assert_agrees(estimate, expected, relative_error):
    """Two gates: the simulation is precise enough to mean something, and it is right."""
    deviation = np.abs(estimate.mean - expected) / estimate.std_error
    message = f"mean {estimate.mean}, standard error {estimate.std_error}, expected {expected}"
    assert estimate.relative_error < relative_error, message
    assert np.all(deviation < 5), message


# Closed form


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (paper_system(50, 2, 0.6), 52.685),
        (paper_system(50, 1, 0.2), 19.251),
        (paper_system(10, 2, 1.0), 18.19),
        (paper_system(10, 2, 0.3, np.deg2rad(15)), 11.09),
    ],
)
def test_closed_form_gives_the_known_sum_se(system, expected, verified):
    verified(
        "Sutton et al., sum SE in closed form",
        "values of a program of others",
        closed_form_se(system).sum(),
        expected,
        atol=6e-3,
    )


@both_estimators
def test_closed_form_equals_the_looped_reference(estimator, verified):
    with jax.enable_x64(True):
        ours = np.asarray(closed_form_se(mixed_system(), estimator))
    theirs = reference.closed_form(mixed_network(), ESTIMATORS[estimator])
    verified("Sutton et al., SE in closed form", "looped NumPy", ours, theirs, rtol=1e-12)


@both_estimators
def test_single_precision_is_within_rounding_of_double(estimator, verified):
    single = closed_form_se(mixed_system(), estimator)
    with jax.enable_x64(True):
        double = np.asarray(closed_form_se(mixed_system(), estimator))
    assert single.dtype == jnp.float32
    verified("Sutton et al., SE in closed form", "double precision", single, double, rtol=2e-6)


def test_closed_form_is_the_classical_sinr_without_imbalance():
    """Ngo et al. 2017 for L = N = 1, orthogonal pilots, equal power control."""
    beta = mixed_parameters()["beta"]
    users = beta.shape[1]
    tau, rho_p, rho_d = users, 0.7, 3.0
    perfect = IQImbalance()
    system = CellFreeIQI(
        beta=beta,
        receive=perfect,
        transmit=perfect,
        user_antennas=1,
        coherence_length=200,
        pilot_snr=rho_p,
        data_snr=rho_d,
    )
    gamma = tau * rho_p * beta**2 / (1 + tau * rho_p * beta)
    eta = 1 / (users * gamma)
    signal = rho_d * (np.sqrt(eta) * gamma).sum(0) ** 2
    interference = rho_d * np.einsum("mi,mi,mk->k", eta, gamma, beta) + 1
    expected = (1 - tau / 200) * np.log2(1 + signal / interference)
    np.testing.assert_allclose(closed_form_se(system), expected, rtol=1e-5)


@both_estimators
def test_sum_se_depends_on_users_and_antennas_through_their_product(estimator):
    sums = [
        closed_form_se(paper_system(30, 2, 0.4, 0.2, users, 24 // users), estimator).sum()
        for users in (3, 8, 24)
    ]
    np.testing.assert_allclose(sums, sums[0], rtol=1e-5)


@both_estimators
def test_flipping_all_phases_changes_nothing(estimator):
    parameters = mixed_parameters()
    receive = IQImbalance(amplitude=parameters["receive"][0], phase=-parameters["receive"][1])
    transmit = IQImbalance(amplitude=parameters["transmit"][0], phase=-parameters["transmit"][1])
    flipped = CellFreeIQI(
        beta=parameters["beta"],
        receive=receive,
        transmit=transmit,
        user_antennas=2,
        coherence_length=50,
        pilot_length=8,
        pilot_snr=0.7,
        data_snr=3.0,
    )
    np.testing.assert_allclose(
        closed_form_se(flipped, estimator), closed_form_se(mixed_system(), estimator), rtol=1e-5
    )


@both_estimators
@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(3)))
def test_permuting_users_permutes_their_se(estimator, order):
    parameters = mixed_parameters()
    permuted = mixed_system()
    permuted = CellFreeIQI(
        beta=parameters["beta"][:, list(order)],
        receive=permuted.receive,
        transmit=permuted.transmit,
        user_antennas=2,
        coherence_length=50,
        pilot_length=8,
        pilot_snr=0.7,
        data_snr=3.0,
    )
    expected = closed_form_se(mixed_system(), estimator)[np.array(order)]
    np.testing.assert_allclose(closed_form_se(permuted, estimator), expected, rtol=1e-5)


def test_widely_linear_estimation_is_never_worse_in_the_paper_figures():
    for amplitude in (0.2, 0.5, 0.9, 1.0):
        system = paper_system(50, 2, amplitude, 0.25)
        gain = closed_form_se(system, widely_linear_mmse) - closed_form_se(system, linear_mmse)
        assert gain.min() > -1e-4


def test_swept_system_equals_each_value_alone():
    amplitudes = jnp.array([0.2, 0.6, 1.0])
    swept = closed_form_se(paper_system(20, 2, amplitudes[:, None, None], 0.3))
    alone = [closed_form_se(paper_system(20, 2, float(g), 0.3)) for g in amplitudes]
    np.testing.assert_allclose(swept, np.stack(alone), rtol=1e-5)


# Limits


def test_limit_is_the_known_one_and_the_closed_form_reaches_it(verified):
    limit = asymptotic_se(paper_system(10, 2, 0.3, np.deg2rad(15)))
    verified(
        "Sutton et al., limit for many APs (15)-(22)",
        "value of a program of others",
        limit.sum(),
        113.542,
        atol=1e-2,
    )
    with jax.enable_x64(True):
        system = paper_system(300_000, 1, 0.3, np.deg2rad(15), 2, 1)
        verified(
            "Sutton et al., limit for many APs (15)-(22)",
            "closed form at 300 000 APs",
            closed_form_se(system),
            asymptotic_se(system),
            rtol=2e-3,
        )


def test_limit_is_the_squared_image_rejection_for_common_hardware(verified):
    hardware = IQImbalance(amplitude=0.4, phase=0.3)
    ratio = jnp.abs(hardware.direct / hardware.image) ** 2
    system = paper_system(5, 1, 0.4, 0.3, 4, 1)
    expected = system.prelog * jnp.log2(1 + ratio**2)
    verified(
        "Sutton et al., limit for many APs (15)-(22)",
        "squared image rejection",
        asymptotic_se(system),
        np.full(4, expected.item()),
        rtol=1e-4,
    )


@pytest.mark.parametrize(
    ("amplitude", "estimator"), [(1.0, linear_mmse), (0.3, widely_linear_mmse)]
)
def test_limit_is_infinite_without_an_image(amplitude, estimator):
    phase = 0.0 if amplitude == 1.0 else 0.2
    assert np.all(np.isinf(asymptotic_se(paper_system(10, 2, amplitude, phase), estimator)))


# Simulation


@both_estimators
@pytest.mark.parametrize("pilots", [projected_pilots, full_pilots], ids=lambda p: p.__name__)
def test_simulation_agrees_with_closed_form_for_mixed_hardware(estimator, pilots, verified):
    system = mixed_system()
    estimate = simulate_se(
        jax.random.key(3), system, realizations=30_000, estimator=estimator, pilots=pilots
    )
    expected = closed_form_se(system, estimator)
    assert_agrees(estimate, expected, 0.003)
    error = estimate.std_error
    verified(
        "Sutton et al., Theorem 1 (24)-(27)",
        "closed form",
        estimate.mean,
        expected,
        std_error=error,
    )


@both_estimators
def test_simulation_agrees_with_the_looped_simulation(estimator):
    network = mixed_network()
    rng = np.random.default_rng(1)
    runs = [
        reference.simulate(
            rng, network, realizations=60, full_pilots=True, estimator=ESTIMATORS[estimator]
        )
        for _ in range(8)
    ]
    # The plug-in SE of few realizations is biased; the same number of ours is compared by its
    # uncorrected value, so only the closed form's neighbourhood is asserted here.
    spread = np.std(runs, axis=0, ddof=1) / np.sqrt(len(runs))
    expected = np.asarray(closed_form_se(mixed_system(), estimator))
    assert np.all(np.abs(np.mean(runs, axis=0) - expected) < 5 * spread + 0.02 * expected)


@pytest.mark.parametrize("estimator", [linear_mmse, widely_linear_mmse])
def test_simulation_agrees_with_closed_form_for_common_hardware(estimator):
    system = paper_system(20, 2, 0.4, 0.3, users=6)
    estimate = simulate_se(jax.random.key(5), system, realizations=6_000, estimator=estimator)
    assert_agrees(estimate, closed_form_se(system, estimator), 0.005)


def test_common_hardware_is_simulated_as_equal_hardware_per_antenna():
    common = paper_system(8, 2, 0.4, 0.3, users=3)
    each = paper_system(8, 2, np.full((8, 2), 0.4), np.full((8, 2), 0.3), users=3)
    runs = [simulate_se(jax.random.key(2), s, realizations=200) for s in (common, each)]
    np.testing.assert_allclose(runs[0].mean, runs[1].mean, rtol=1e-4)


def test_curve_over_aps_equals_networks_of_the_first_aps():
    system = mixed_system()
    numbers = (1, 3, 4, 6)
    key = jax.random.key(11)
    curve = simulate_se(key, system, realizations=300, num_aps=numbers)
    assert curve.mean.shape == (4, 3)
    for i, number in enumerate(numbers):
        first = CellFreeIQI(
            beta=system.beta[:number],
            receive=IQImbalance(
                amplitude=system.receive.amplitude[:number], phase=system.receive.phase[:number]
            ),
            transmit=IQImbalance(
                amplitude=system.transmit.amplitude[:number], phase=system.transmit.phase[:number]
            ),
            user_antennas=2,
            coherence_length=50,
            pilot_length=8,
            pilot_snr=0.7,
            data_snr=3.0,
        )
        alone = simulate_se(key, first, realizations=300)
        np.testing.assert_allclose(curve.mean[i], alone.mean, rtol=1e-4)


def test_axes_are_sweep_then_estimators_then_aps():
    system = paper_system(6, 1, jnp.array([0.3, 1.0])[:, None, None], 0.1, users=3)
    estimators = (linear_mmse, widely_linear_mmse)
    together = simulate_se(
        jax.random.key(0), system, realizations=100, estimator=estimators, num_aps=(2, 4, 6)
    )
    assert together.mean.shape == (2, 2, 3, 3)
    alone = simulate_se(
        jax.random.key(0),
        paper_system(6, 1, 0.3, 0.1, users=3),
        realizations=100,
        estimator=widely_linear_mmse,
    )
    np.testing.assert_allclose(together.mean[0, 1, 2], alone.mean, rtol=1e-4)


def test_result_does_not_depend_on_the_batch():
    system = mixed_system()
    runs = [
        simulate_se(jax.random.key(1), system, realizations=150, batch_size=size)
        for size in (1, 7, 128)
    ]
    for run in runs[1:]:
        np.testing.assert_allclose(run.mean, runs[0].mean, rtol=1e-4)
        np.testing.assert_allclose(run.std_error, runs[0].std_error, rtol=1e-2)


@pytest.mark.parametrize("swept", [False, True])
def test_one_compilation_for_a_curve_whatever_the_realizations(swept, kernels):
    traces = []

    def counted(receive):
        traces.append(None)
        return linear_mmse(receive)

    amplitude = jnp.array([0.3, 0.5])[:, None, None] if swept else 0.3

    def run(realizations):
        system = paper_system(4, 1, amplitude, users=2)
        return simulate_se(
            jax.random.key(0), system, realizations=realizations, estimator=counted, num_aps=(2, 4)
        )

    run(100)
    once = len(traces)
    assert len(kernels) <= 1
    run(1111)  # long runs have batches of their own
    known = len(kernels)
    assert known <= 2
    for realizations in (200, 500, 2000):
        run(realizations)
    assert len(kernels) == known
    assert len(traces) == 5 * once  # a function of one's own is traced at every call


def test_target_error_is_reached():
    system = paper_system(10, 1, 0.5, users=4)
    estimate = simulate_se(jax.random.key(0), system, realizations=100_000, target_error=0.02)
    assert estimate.relative_error <= 0.02
    assert estimate.realizations < 20_000


def test_double_precision_agrees_with_single():
    with jax.enable_x64(True):
        double = simulate_se(jax.random.key(1), mixed_system(), realizations=2_000)
        expected = np.asarray(closed_form_se(mixed_system()))
        assert double.mean.dtype == jnp.float64
        assert np.all(np.abs(double.mean - expected) < 5 * double.std_error)


# Gradients


@both_estimators
@pytest.mark.parametrize(
    ("amplitude", "phase", "pilot_snr", "data_snr", "beta"),
    [
        (0.0, 0.0, 1.0, 1.0, 1.0),
        (0.5, np.pi / 2, 1.0, 1.0, 1.0),
        (0.5, 0.2, 0.0, 1.0, 1.0),
        (0.5, 0.2, 1.0, 0.0, 1.0),
        (0.5, 0.2, 1.0, 1.0, 0.0),
        (1.0, np.pi, 1.0, 1.0, 1.0),
        (0.0, 0.3, 0.0, 0.0, 0.0),
    ],
)
def test_values_and_gradients_are_finite_at_the_corners(
    estimator, amplitude, phase, pilot_snr, data_snr, beta
):
    def total(beta, amplitude, phase, pilot_snr, data_snr):
        hardware = IQImbalance(amplitude=amplitude, phase=phase)
        system = CellFreeIQI(
            beta=beta,
            receive=hardware,
            transmit=hardware,
            user_antennas=2,
            coherence_length=200,
            pilot_snr=pilot_snr,
            data_snr=data_snr,
        )
        return closed_form_se(system, estimator).sum()

    shapes = jnp.full((4, 3), beta), jnp.full((4, 2), amplitude), jnp.full((4, 2), phase)
    value, gradients = jax.value_and_grad(total, argnums=(0, 1, 2, 3, 4))(
        *shapes, jnp.asarray(pilot_snr), jnp.asarray(data_snr)
    )
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(gradient)) for gradient in gradients)


def test_widely_linear_without_a_quadrature_branch_is_linear():
    system = paper_system(5, 2, 0.5, np.pi / 2, users=3)
    np.testing.assert_allclose(
        closed_form_se(system, widely_linear_mmse), closed_form_se(system, linear_mmse), rtol=1e-6
    )


def test_gradient_of_the_closed_form_is_the_finite_difference():
    def total(amplitude, phase):
        return closed_form_se(paper_system(5, 2, amplitude, phase, users=3)).sum()

    with jax.enable_x64(True):
        point = (0.5, 0.3)
        gradient = jax.grad(total, argnums=(0, 1))(*map(jnp.asarray, point))
        step = 1e-6
        for i in range(2):
            up, down = (
                [x + sign * step * (i == j) for j, x in enumerate(point)] for sign in (1, -1)
            )
            np.testing.assert_allclose(
                gradient[i], (total(*up) - total(*down)) / (2 * step), rtol=1e-6
            )


def test_gradient_goes_through_the_simulation():
    """With common random numbers the simulated SE is a smooth function, and JAX derives it."""

    def total(amplitude):
        system = paper_system(5, 1, amplitude, 0.2, users=3)
        return simulate_se(jax.random.key(0), system, realizations=64).mean.sum()

    with jax.enable_x64(True):
        gradient = jax.grad(total)(jnp.asarray(0.5))
        step = 1e-5
        difference = (total(0.5 + step) - total(0.5 - step)) / (2 * step)
        np.testing.assert_allclose(gradient, difference, rtol=1e-5)


# Errors


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"pilot_length": 5}, "pilot_length"),
        ({"coherence_length": 8}, "coherence_length"),
        ({"beta": np.full((6, 3), np.nan)}, "beta"),
        ({"beta": -np.ones((6, 3))}, "beta"),
        ({"beta": np.ones(3)}, "beta"),
        ({"beta": np.ones((5, 3))}, "receive"),
        ({"pilot_snr": -1.0}, "pilot_snr"),
        ({"data_snr": np.inf}, "data_snr"),
        ({"user_antennas": 0}, "user_antennas"),
        ({"ap_antennas": 3}, "receive"),
        ({"transmit": IQImbalance(amplitude=np.ones((6, 3)))}, "receive"),
    ],
)
def test_bad_parameters_are_named_in_one_line(change, parameter):
    system = mixed_system()
    good = {"beta": system.beta, "receive": system.receive, "transmit": system.transmit}
    lengths = {"user_antennas": 2, "coherence_length": 50, "pilot_length": 8}
    with pytest.raises(ValueError, match=f"`{parameter}`") as error:
        CellFreeIQI(**{**good, **lengths, "pilot_snr": 1.0, "data_snr": 1.0, **change})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("num_aps", [(), (3, 2), (0, 3), (3, 7)])
def test_bad_numbers_of_aps_are_refused(num_aps):
    with pytest.raises(ValueError, match="`num_aps`"):
        simulate_se(jax.random.key(0), mixed_system(), realizations=10, num_aps=num_aps)


def test_zero_realizations_are_refused():
    with pytest.raises(ValueError, match="`realizations`"):
        simulate_se(jax.random.key(0), mixed_system(), realizations=0)


def test_public_names():
    for name in cell_free_iqi.__all__:
        assert getattr(cell_free_iqi, name).__doc__
