"""NaN in gives NaN out: whatever depends on a number that is none is none itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo import beamforming_3d, cell_free_iqi, distributed_rician
from jaxmimo.channel import clusters, fading, geometry, multipath, pathloss, umi_street_canyon
from jaxmimo.channel.karhunen_loeve import karhunen_loeve
from jaxmimo.core import guards, small_matrices, units
from jaxmimo.core.conjugate_gradients import solve_positive
from jaxmimo.core.fixed_point import anderson
from jaxmimo.core.singular_values import singular_values
from jaxmimo.core.small_matrices import Parts
from jaxmimo.rates import beam_squint, bounds, metrics, sinr
from jaxmimo.rates.deterministic_equivalents import KroneckerCovariances, slnr_powers
from jaxmimo.rates.ergodic import ergodic_rates
from jaxmimo.simulation.jackknife import jackknife
from jaxmimo.systems.beamforming_3d.two_stage import Chain, two_stage_powers
from jaxmimo.transceiver import channel_estimation, combining, estimation, ofdm, precoding
from jaxmimo.transceiver.hardware import IQImbalance
from jaxmimo.tuning import domains, downlink, objectives, uplink

RNG = np.random.default_rng(0)


def positive(*shape):
    return RNG.uniform(0.5, 1.5, shape)


def normal(*shape):
    return RNG.normal(size=(*shape, 2)).view(complex)[..., 0]


def covariance(n):
    factor = normal(n, n + 2)
    return factor @ factor.conj().T


def real_covariances(*batch, n):
    factor = RNG.normal(size=(*batch, n, n + 2))
    return factor @ factor.swapaxes(-1, -2) / n


def parts(array):
    return Parts.of(jnp.asarray(array, jnp.result_type(complex)))


def at_key(function, number=0):
    return lambda *args: function(jax.random.key(number), *args)


def scaled_correction(estimator):
    def scaled(amplitude, phase):
        receive = IQImbalance(amplitude=amplitude, phase=phase)
        return precoding.unit_power(estimator(receive), receive.widely_linear)

    return scaled


def of_cell_free(function):
    def of(beta, amplitude, phase, pilot_snr, data_snr, amplitudes):
        hardware = IQImbalance(amplitude=amplitude, phase=phase)
        system = cell_free_iqi.CellFreeIQI(
            beta=beta,
            receive=hardware,
            transmit=hardware,
            user_antennas=1,
            coherence_length=50,
            pilot_snr=pilot_snr,
            data_snr=data_snr,
            amplitudes=amplitudes,
        )
        return function(system)

    return of


def rician(rician_factor, power, noise_power, exponent, carrier_hz, aps, users):
    return distributed_rician.DistributedRician(
        num_aps=2,
        ap_antennas=2,
        num_users=3,
        rician_factor=rician_factor,
        power=power,
        noise_power=noise_power,
        path_loss_exponent=exponent,
        carrier_hz=carrier_hz,
        ap_positions=aps,
        user_positions=users,
        propagation_phase=True,
    )


def se_of_drop(*args):
    schemes = list(combining.IN_GRAM_FORM), channel_estimation.least_squares
    sample = distributed_rician.se_sample(
        rician(*args), combiner=schemes[0], estimator=schemes[1], realizations=2
    )
    return sample(jax.random.key(0))


def closed_form_of_drop(*args):
    drop = distributed_rician.maximum_ratio_drop(jax.random.key(0), rician(*args))
    return drop.se(args[1])


def groups(users):
    number = jnp.arange(users, dtype=jnp.int32) % 2
    return beamforming_3d.Groups(number, number, 2, 2)


def two_stage(h):
    counted = np.ones((1, 4, 4), bool)
    return two_stage_powers(h, [Chain(groups(4), jnp.asarray(counted))])


H, SQUARE, GAIN = normal(6, 3), normal(3, 3), positive(4, 3)
POWERS = ofdm.PrefixPowers(SQUARE, positive(3, 3), positive(3, 3))
CELL_FREE = GAIN, positive(4, 1), 0.1 * positive(4, 1), 2.0, 3.0, 0.3 * positive(4, 3)
RICIAN = (
    2.0, 0.1 * positive(3), 1e-13, 2.0, 3e9, 50 * positive(2, 2), 50 * positive(3, 2),
)  # fmt: skip

CASES = {
    "uplink_sinr": (sinr.uplink_sinr, normal(6, 3), H, positive(3), 0.3),
    "sinr_of_gains": (sinr.sinr_of_gains, parts(SQUARE), positive(3)),
    "sinr_of_powers": (sinr.sinr_of_powers, positive(3, 3)),
    "spectral_efficiency": (sinr.spectral_efficiency, positive(3)),
    "zf_combiner": (combining.zf_combiner, H),
    "mmse_combiner": (combining.mmse_combiner, H, 0.1),
    "mmse_combiner, few antennas": (combining.mmse_combiner, H.T, 0.1),
    "error_aware_mmse_combiner": (
        combining.error_aware_mmse_combiner, H, 0.1, covariance(6),
    ),
    "gram forms": (
        lambda *args: [form(*args)[:2] for form in combining.IN_GRAM_FORM.values()],
        parts(covariance(3)), parts(0.1 * SQUARE), 0.3,
    ),
    "vector_correlation": (
        metrics.vector_correlation, covariance(3), covariance(3), SQUARE,
    ),
    "condition_number": (metrics.condition_number, H),
    "hardening_se": (bounds.hardening_se, 0.1 * normal(2, 2), covariance(2), 0.9),
    "ergodic_rates": (ergodic_rates, real_covariances(3, n=3)),
    "slnr_powers": (
        lambda a, e, c: slnr_powers(KroneckerCovariances(a, e), c, jnp.asarray(0)),
        real_covariances(3, n=2), real_covariances(3, n=2), np.array([0.0, 1.0, 0.5]),
    ),
    "mr_scaling": (lambda b, e: precoding.mr_scaling(b, e, 2, 3), GAIN, 2.0),
    "unit_power, linear": (
        scaled_correction(estimation.linear_mmse), positive(4, 2), positive(4, 2),
    ),
    "unit_power, widely linear": (
        scaled_correction(estimation.widely_linear_mmse), positive(4, 2), positive(4, 2),
    ),
    "slnr_precoder": (
        lambda h, c: precoding.slnr_precoder(h, c, 0), normal(3, 4), np.array([0.0, 1.0, 1.0]),
    ),
    "slnr_precoder, few beams": (
        lambda h, c: precoding.slnr_precoder(h, c, 0), normal(3, 2), np.array([0.0, 1.0, 1.0]),
    ),
    "two_stage_powers": (two_stage, normal(4, 4, 4)),
    "full dimension": (
        beamforming_3d.FullDimension(combining.mmse_combiner).powers, normal(3, 2, 2),
    ),
    "lmmse": (
        channel_estimation.lmmse, normal(3), normal(3), normal(3), covariance(3), 0.2,
    ),
    "least_squares_pilots": (
        at_key(lambda k, h, p, n: channel_estimation.least_squares_pilots(k, h, 3, p, n)),
        H, positive(3), 0.1,
    ),
    "channel_gain": (estimation.channel_gain, GAIN, 2.0),
    "prefix_sinr": (ofdm.prefix_sinr, POWERS, positive(3)),
    "received_powers": (
        lambda a, d, c: ofdm.received_powers(a, d, c, 16),
        normal(4), np.array([-1.0, 2.0, 5.0, 9.0]), np.array([0.0, 4.0]),
    ),
    "cyclic_prefix_weights": (
        lambda d, c: ofdm.cyclic_prefix_weights(d, c, 16), np.array([-1.0, 2.0, 9.0]), 4.0,
    ),
    "channel_taps": (
        lambda g, d: multipath.channel_taps(g, d, 4), normal(2, 3), positive(2, 3),
    ),
    "pointing_error": (beam_squint.pointing_error, 1e9, 28e9, positive(3)),
    "squint_bandwidth": (
        lambda d, a: beam_squint.squint_bandwidth(8, d, a), 0.005, positive(3),
    ),
    "log_distance_gain": (
        lambda d, e, f: pathloss.log_distance_gain(d, exponent=e, carrier_hz=f),
        20 * GAIN, 2.0, 3e9,
    ),
    "distance_power_law": (
        lambda d, e: pathloss.distance_power_law(d, exponent=e), GAIN, 3.0,
    ),
    "umi_street_canyon": (
        lambda d, f, a, u: pathloss.umi_street_canyon(d, f, a, u, jnp.asarray([True, False, True])),
        50 * positive(3), 28e9, 10.0, 1.5,
    ),
    "los_probability": (umi_street_canyon.los_probability, 50 * positive(3)),
    "distance_3d": (geometry.distance_3d, positive(4, 2), positive(3, 2), 1.0),
    "azimuth": (geometry.azimuth, positive(4, 2), positive(3, 2)),
    "rician_amplitudes": (fading.rician_amplitudes, np.array([0.2, 1.0, 5.0])),
    "los_channel": (
        lambda g, a, d, w: fading.los_channel(g, a, d, 2, wavelength=w, propagation_phase=True),
        GAIN, positive(4, 3), positive(4, 3), 0.1,
    ),
    "rician_fading": (
        at_key(fading.rician_fading), normal(4, 2, 3), None, GAIN, positive(4, 3),
    ),
    "draw_paths": (
        at_key(lambda k, *args: clusters.draw_paths(k, args[0], True, *args[1:])[:2]),
        0.2, 1e-7, 0.3, 3.0,
    ),
    "amplitude": (units.amplitude, positive(3)),
    "inverse": (small_matrices.inverse, parts(covariance(3))),
    "cholesky": (small_matrices.cholesky, parts(covariance(3))),
    "singular_values": (singular_values, parts(H)),
    "solve_positive": (
        lambda a, b: solve_positive(lambda x: a @ x, b, tolerance=1e-6),
        real_covariances(n=3), positive(3),
    ),
    "anderson": (
        lambda a, b: anderson(lambda x: 0.1 * a @ x + b, jnp.zeros(3), tolerance=1e-6),
        real_covariances(n=3), positive(3),
    ),
    "karhunen_loeve": (karhunen_loeve, real_covariances(n=4)),
    "jackknife": (
        lambda sums: jackknife(lambda m: m**2, sums, np.full(4, 5)), positive(4, 3),
    ),
    "proportional_fairness": (objectives.proportional_fairness, positive(3)),
    "soft_min": (objectives.soft_min, positive(3), 0.1),
    "fractional_split": (downlink.fractional_split, GAIN),
    "fractional_power_control": (uplink.fractional_power_control, positive(3), 0.2),
    "PowerLimits": (lambda x: domains.PowerLimits(2.0).coordinates(x), positive(3)),
    "TotalPower": (lambda x: domains.TotalPower(4.0).point(x), positive(4)),
    "TotalPower, coordinates": (lambda x: domains.TotalPower(8.0).coordinates(x), positive(4)),
    "ApPowerBudget": (domains.ApPowerBudget().point, positive(4, 3)),
    "ApPowerBudget, coordinates": (domains.ApPowerBudget().coordinates, 0.3 * positive(4, 3)),
    "closed_form_se": (of_cell_free(cell_free_iqi.closed_form_se), *CELL_FREE),
    "asymptotic_se": (of_cell_free(cell_free_iqi.asymptotic_se), *CELL_FREE),
    "maximum_ratio_drop": (closed_form_of_drop, *RICIAN),
    "se_sample of distributed Rician": (se_of_drop, *RICIAN),
}  # fmt: skip


def entries(args):
    """All numbers of the arguments, one from each array and each part, as replacements."""
    leaves, structure = jax.tree.flatten(args)
    for number, leaf in enumerate(leaves):
        array = np.asarray(leaf)
        if array.dtype.kind not in "fc":
            continue
        place = tuple(size // 2 for size in array.shape)
        yield leaves, structure, number, place


def replaced(leaves, structure, number, place, change):
    changed = np.array(leaves[number])
    changed[place] = change(changed[place])
    return jax.tree.unflatten(structure, [*leaves[:number], changed, *leaves[number + 1 :]])


@pytest.mark.parametrize("name", CASES)
def test_what_depends_on_nan_is_nan(name):
    function, *args = CASES[name]
    with jax.numpy_rank_promotion("allow"):
        # Nothing runs long here: programs that compile fast.
        options = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
        function = jax.jit(function).lower(*args).compile(compiler_options=options)
        before = function(*args)
        tried = 0
        for entry in entries(tuple(args)):
            after = function(*replaced(*entry, lambda x: 0.98 * x))
            found = function(*replaced(*entry, lambda x: np.nan * x))
            leaves = [jax.tree.leaves(tree) for tree in (before, after, found)]
            for one, other, result in zip(*leaves, strict=True):
                if jnp.issubdtype(result.dtype, jnp.inexact):
                    depends = np.asarray(one != other)
                    assert np.all(np.isnan(result)[depends]), (entry[2:], result)
                    tried += np.count_nonzero(depends)
    assert tried


def test_negative_noise_and_powers_give_no_sinr():
    h = jnp.asarray(H, jnp.result_type(complex))
    v = combining.zf_combiner(h)
    for power, noise in ((1.0, jnp.asarray(-94.0)), (jnp.asarray(-10.0), 0.1)):
        assert np.all(np.isnan(jax.jit(sinr.uplink_sinr)(v, h, power, noise)))
    assert np.all(np.isnan(jax.jit(combining.mmse_combiner)(h, jnp.asarray(-1.0))))
    assert np.all(np.isnan(jax.jit(ofdm.prefix_sinr)(POWERS, jnp.asarray(-0.1))))
    assert np.isnan(units.amplitude(jnp.asarray(-1.0)))


def test_simulation_with_a_combiner_that_returns_nan_ends_with_an_error():
    def broken(h_hat, *statistics):
        return jnp.full_like(h_hat, jnp.nan)

    system = distributed_rician.DistributedRician(
        num_aps=2, ap_antennas=2, num_users=2, rician_factor=1.0
    )
    with pytest.raises(FloatingPointError, match="8 of realizations 0 to 7 are not finite"):
        distributed_rician.simulate_se(
            jax.random.key(0), system, combiner=broken, drops=8, realizations=2
        )


def test_matrix_with_nan_leaves_the_singular_values_of_others_alone():
    h = np.stack([normal(8, 8) for _ in range(3)])
    broken = h.copy()
    broken[1, 2, 3] = np.nan
    conditions = jax.jit(jax.vmap(metrics.condition_number))
    found = conditions(jnp.asarray(broken, jnp.result_type(complex)))
    expected = conditions(jnp.asarray(h, jnp.result_type(complex)))
    assert np.isnan(found[1])
    np.testing.assert_allclose(found[::2], expected[::2], rtol=1e-5)


def test_exact_zeros_are_what_is_guarded():
    zero = jnp.zeros(())
    for function in (guards.reciprocal, guards.reciprocal_root, guards.root, units.amplitude):
        assert jax.value_and_grad(function)(zero) == (0, 0)
        assert np.isnan(function(jnp.nan * zero))
    assert guards.divided(zero, zero) == 0
    assert jax.grad(guards.divided, argnums=(0, 1))(zero + 1.0, zero) == (0, 0)
    assert np.isnan(guards.divided(jnp.nan, zero))
    assert guards.divided(1.0, zero - 2.0) == -0.5
    assert guards.not_negative(0.0) == 0
