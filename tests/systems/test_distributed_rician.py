"""System 2: the SE of each drop and its fading against the looped reference."""

import jax
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxmimo.channel.correlation import (
    LocalScattering,
    ScatteringClusters,
    local_scattering_covariance,
)
from jaxmimo.core.units import noise_power as thermal_noise
from jaxmimo.systems.distributed_rician import DistributedRician, se_of_drops, se_sample
from jaxmimo.systems.distributed_rician.drop import draw_drop, draw_fading
from jaxmimo.transceiver.channel_estimation import least_squares, lmmse, perfect_csi
from jaxmimo.transceiver.combining import (
    error_aware_mmse_combiner,
    mmse_combiner,
    mr_combiner,
    zf_combiner,
)
from tests.reference import distributed_rician as reference

SCHEMES = (mr_combiner, zf_combiner, mmse_combiner, error_aware_mmse_combiner)
POSITIONS = np.array([[12.0, 80.0], [55.0, 31.0], [93.0, 64.0], [40.0, 40.0]])


def network(num_aps=2, ap_antennas=3, users=3, **other):
    return DistributedRician(
        **{
            "num_aps": num_aps,
            "ap_antennas": ap_antennas,
            "num_users": users,
            "rician_factor": 2.0,
            "user_positions": POSITIONS[:users],
            **other,
        }
    )


# The loop


def covariances(system, drop, azimuth):
    """Spatial covariance of every link (K, Q, S, S), by the reference where nothing is random."""
    users, aps = azimuth.shape
    result = np.zeros((users, aps, system.ap_antennas, system.ap_antennas), complex)
    for k in range(users):
        for q in range(aps):
            if drop.covariance is None:
                result[k, q] = np.eye(system.ap_antennas)
            elif isinstance(system.covariance, LocalScattering):
                std = float(system.covariance.angular_std)
                result[k, q] = reference.local_scattering_covariance(
                    azimuth[k, q], std, system.ap_antennas, system.spacing
                )
            else:
                result[k, q] = drop.covariance.merged()[:, :, q, k]
    return result


def estimated(estimator, h, observation, mean, covariance, variances):
    """Estimates (M, K) and the covariances of their errors (K, M, M)."""
    antennas, users = h.shape
    if estimator is perfect_csi:
        return h, np.zeros((users, antennas, antennas))
    if estimator is least_squares:
        return observation, np.array([v * np.eye(antennas) for v in variances])
    each = [
        reference.lmmse_estimate(
            observation[:, [k]], mean[:, [k]], covariance[[k]], float(variances[k])
        )
        for k in range(users)
    ]
    return np.concatenate([e[0] for e in each], 1), np.concatenate([e[1] for e in each])


def combined(scheme, h_hat, errors, powers, noise):
    """Combiners for users of unlike power: the columns of h_hat scaled by its root."""
    scaled = h_hat * np.sqrt(powers)
    missed = np.einsum("k,kmn->mn", powers, errors)
    return {
        mr_combiner: lambda: reference.mrc_combiner(scaled),
        zf_combiner: lambda: reference.zf_combiner(scaled),
        mmse_combiner: lambda: reference.mmse_combiner(scaled, noise),
        error_aware_mmse_combiner: lambda: reference.mmse_combiner(scaled, noise, missed),
    }[scheme]()


def looped_se(key, system, kappa, estimator, realizations, schemes=SCHEMES):
    """SE (realizations, schemes, users) of one drop from the white draws of the library."""
    users, antennas = system.num_users, system.ap_antennas
    drop_key, fading_key = jax.random.split(key)
    drop = draw_drop(drop_key, system)
    numbers = draw_fading(
        fading_key, system.num_antennas, users, 0, realizations, system.noise_power > 0
    )
    white, noise_draws = (np.asarray(draw.merged()) for draw in numbers)

    places, aps = np.asarray(system.user_positions), np.asarray(system.ap_positions)
    wavelength = reference.constants.c / float(system.carrier_hz)
    distance = reference.distances(places, aps, float(system.height_difference))
    azimuth = reference.azimuths(places, aps)
    gain = reference.path_gain(distance, float(system.carrier_hz), float(system.path_loss_exponent))
    with_phase = distance if system.propagation_phase else None
    los = reference.los_channel(gain, azimuth, antennas, system.spacing, with_phase, wavelength)
    spatial = covariances(system, drop, azimuth)
    factor = np.linalg.cholesky(spatial)
    kappa = np.broadcast_to(kappa, (system.num_aps, users)).T
    mean = reference.channel_mean(los, kappa)
    covariance = reference.channel_covariance(spatial, gain, kappa)

    powers = np.broadcast_to(np.asarray(system.power), (users,))
    noise = float(system.noise_power)
    variances = noise / (system.pilot_length * powers)
    result = np.zeros((realizations, len(schemes), users))
    for r in range(realizations):
        waves = white[:, :, r].T.reshape(users, system.num_aps, antennas)
        h = reference.channel(los, factor, waves, gain, kappa)
        observation = h + np.sqrt(variances) * noise_draws[:, :, r]
        h_hat, errors = estimated(estimator, h, observation, mean, covariance, variances)
        for i, scheme in enumerate(schemes):
            v = combined(scheme, h_hat, errors, powers, noise)
            result[r, i] = reference.se(reference.sinr(v, h, powers, noise))
    return result


per_link = np.random.default_rng(0).exponential(3.0, (2, 3))
local = LocalScattering(angular_std=0.3)
CASES = {
    "common factors": (
        SCHEMES,
        least_squares,
        {"rician_factor": np.array([0.3, 50.0]), "propagation_phase": True},
    ),
    "factors of links": (
        SCHEMES,
        least_squares,
        {"rician_factor": per_link, "covariance": local, "power": np.array([0.01, 0.1, 0.3])},
    ),
    "linear mmse": (
        SCHEMES,
        lmmse,
        {
            "covariance": ScatteringClusters(num_clusters=20, spread=1.0),
            "power": np.array([1e-4, 1e-6, 1e-5]),
            "rician_factor": per_link,
            "pilot_length": 5,
        },
    ),
    "one ap and as many users as antennas": (
        (zf_combiner, mmse_combiner),
        perfect_csi,
        {"num_aps": 1, "ap_antennas": 4, "users": 4},
    ),
    "many aps": (
        (mr_combiner, mmse_combiner),
        least_squares,
        {
            "num_aps": 6,
            "ap_antennas": 1,
            "rician_factor": np.tile(per_link, (2, 3, 1)) * np.array([1.0, 9.0])[:, None, None],
            "power": np.array([0.05, 0.1, 0.2]),
            "path_loss_exponent": 3.1,
            "pilot_length": 7,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_se_of_a_drop_is_that_of_the_looped_reference(case, verified):
    schemes, estimator, parameters = CASES[case]
    key = jax.random.key(3)
    with jax.enable_x64(True):
        system = network(**parameters)
        sample = se_sample(system, combiner=schemes, estimator=estimator, realizations=3)
        found = np.asarray(jax.jit(lambda key: sample(key))(key))
        factors = np.asarray(system.rician_factor)
        swept = system.sweep_length is not None
        for i, kappa in enumerate(factors if swept else [factors]):
            expected = looped_se(key, system, kappa, estimator, 3, schemes).mean(0)
            ours = found[:, i] if swept else found
            verified(
                "Tominaga et al., SE of a drop (1)-(13)", "looped NumPy", ours, expected, rtol=1e-9
            )


def test_mean_over_fading_does_not_depend_on_how_it_is_cut():
    """130 realizations come in chunks, the last of them not full."""
    key = jax.random.key(4)
    with jax.enable_x64(True):
        system = network(1, 2, 2)
        schemes = mr_combiner, mmse_combiner
        found = se_of_drops(key, system, combiner=schemes, drops=2, realizations=130)
        for i in range(2):
            drop_key = jax.random.fold_in(key, i)
            expected = looped_se(drop_key, system, 2.0, least_squares, 130, schemes).mean(0)
            np.testing.assert_allclose(found[i], expected, rtol=1e-10)


def test_common_factors_and_the_same_per_link_agree():
    """They take different paths: products shared by all factors, and products of channels."""
    key = jax.random.key(5)
    with jax.enable_x64(True):
        common = np.array([0.0, 2.0, np.inf])
        per_link = np.broadcast_to(common[:, None, None], (3, 2, 3))
        found = [
            jax.jit(se_sample(network(rician_factor=kappa), realizations=3))(key)
            for kappa in (common, per_link)
        ]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10)


def test_default_noise_and_grid_are_those_of_the_paper():
    with jax.enable_x64(True):
        for num_aps in (1, 2, 8, 16):
            system = network(num_aps)
            np.testing.assert_allclose(system.ap_positions, reference.ap_grid(num_aps, 100.0))
        np.testing.assert_allclose(system.noise_power, reference.noise_power(20e6, 9.0))
        np.testing.assert_allclose(thermal_noise(20e6, 9.0), 10**-12.199, rtol=1e-3)
        assert (system.num_antennas, system.pilot_length, float(system.power)) == (48, 3, 0.1)


def test_simulated_drops_are_the_sample_at_their_keys():
    key, estimator = jax.random.key(7), lmmse
    system = network(user_positions=None)
    found = se_of_drops(key, system, estimator=estimator, drops=3, realizations=2)
    sample = jax.jit(se_sample(system, estimator=estimator, realizations=2))
    expected = np.stack([sample(jax.random.fold_in(key, i)) for i in range(3)])
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.shape == (3, 3)


def scattering_of_waves(count, key, num_antennas, angle, spacing):
    """The mean of as many waves as a plain number says, which is a shape."""
    angles = angle + 0.2 * jax.random.normal(key, (count,))
    of_wave = Partial(local_scattering_covariance, num_antennas, angular_std=0.1, spacing=spacing)
    return jax.vmap(of_wave)(angles).mean(0)


def test_networks_whose_scattering_holds_plain_numbers_are_what_each_is_alone():
    systems = [
        network(aps, 6 // aps, covariance=Partial(scattering_of_waves, waves))
        for aps, waves in ((2, 1), (2, 4), (3, 4), (2, 4))
    ]
    key = jax.random.key(9)
    found = jax.jit(se_sample(systems, realizations=3))(key)
    alone = [jax.jit(se_sample(system, realizations=3))(key) for system in systems]
    np.testing.assert_allclose(found, np.stack(alone), rtol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3
