"""What constructors and simulations refuse: values that cannot be, and kinds that are wrong."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmimo
from jaxmimo import beamforming_3d as b3
from jaxmimo import cell_free_iqi as iqi
from jaxmimo import distributed_rician as dr
from jaxmimo import wideband_mmwave as wb
from jaxmimo.core.small_matrices import Parts, cholesky

KEY = jax.random.key(0)
ROOT = Path(__file__).parents[2]


def rician(**change):
    sizes = {"num_aps": 2, "ap_antennas": 8, "num_users": 2, "rician_factor": 1.0}
    return dr.DistributedRician(**{**sizes, **change})


def wideband(**change):
    sizes = {"num_aps": 2, "ap_antennas": 2, "num_users": 2, "num_subcarriers": 4, "num_rays": 1}
    return wb.WidebandMmwave(**{**sizes, **change})


def cell(**change):
    return b3.Beamforming3D(azimuth_antennas=4, elevation_antennas=4, num_users=2, **change)


def cell_free(**change):
    hardware = {"receive": jaxmimo.IQImbalance(), "transmit": jaxmimo.IQImbalance()}
    lengths = {"user_antennas": 1, "coherence_length": 200, "pilot_snr": 1.0, "data_snr": 1.0}
    return iqi.CellFreeIQI(**{"beta": np.ones((3, 2)), **hardware, **lengths, **change})


def indefinite(num_antennas):
    antenna = np.arange(num_antennas)
    correlation = 0.9 ** np.abs(antenna[:, None] - antenna[None])
    correlation[0, 1] = correlation[1, 0] = 0.99
    correlation[0, 2] = correlation[2, 0] = 0.6
    return correlation


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_every_parameter_of_every_constructor_and_simulation(every):
    """In a process of its own, where values meet the library as those of users do."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, str(Path(__file__).with_name("refusals.py")), str(every)]
    run = subprocess.run(program, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    assert int(run.stdout.split()[-6]) > 3500 / every


REFUSED = {
    "negative power": (lambda: rician(power=-10.0), "`power` must be at least 0"),
    "NaN in powers": (lambda: rician(power=np.array([1.0, np.nan])), "`power` must be finite"),
    "negative noise": (lambda: rician(noise_power=-94.0), "`noise_power` must be at least 0"),
    "NaN in places": (
        lambda: rician(user_positions=np.array([[0.0, np.nan], [1.0, 2.0]])),
        "`user_positions` must be finite",
    ),
    "a negative power of a cell": (lambda: cell(power=-1.0), "`power` must be at least 0"),
    "a negative SNR": (lambda: cell_free(data_snr=-1.0), "`data_snr` must be at least 0"),
    "a user's indefinite covariance": (
        lambda: rician(covariance=lambda key, n, angle, spacing: jnp.asarray(indefinite(n))),
        r"`covariance` must be positive semidefinite, but its smallest eigenvalue is -0\.0917",
    ),
    "a covariance of another size": (
        lambda: rician(covariance=lambda key, n, angle, spacing: jnp.eye(4)),
        r"`covariance` must have shape \(8, 8\), but has shape \(4, 4\)",
    ),
    "a covariance that is not Hermitian": (
        lambda: rician(covariance=lambda key, n, angle, spacing: jnp.triu(jnp.ones((n, n)))),
        "`covariance` must be Hermitian, but differs from its conjugate transpose by 1",
    ),
    "users in the street": (
        lambda: wideband(user_height=0.9),
        r"`user_height` must be above 1, but its smallest value is 0\.9",
    ),
    "users in the street again": (lambda: wideband(user_height=0.5), "`user_height` must be above"),
    "APs in the street": (lambda: wideband(ap_height=1.0), "`ap_height` must be above 1"),
    "GHz": (
        lambda: rician(carrier_hz=3.5),
        r"`carrier_hz` must be at least 2\.38567e\+07, .* is 3\.5\. Give it in Hz: 3\.5e9 for 3\.5",
    ),
    "GHz over a wide band": (lambda: wideband(carrier_hz=28), "`carrier_hz` must be at least 5e"),
    "MHz of band": (lambda: wideband(bandwidth_hz=400), "`bandwidth_hz` must be .* Give it in Hz"),
    "degrees of phase": (
        lambda: jaxmimo.IQImbalance(phase=15),
        r"`phase` must be at most 1\.5708, but its largest value is 15\. Give radians",
    ),
    "degrees of scattering": (
        lambda: dr.LocalScattering(angular_std=10),
        "`angular_std` must be at most .* Give radians",
    ),
    "degrees of clusters": (lambda: dr.ScatteringClusters(spread=40), "`spread` .* Give radians"),
    "degrees of a cell": (
        lambda: cell(azimuth_spread_limit=20),
        "`azimuth_spread_limit` must be at most .* Give radians",
    ),
    "infinite spacing": (lambda: cell(spacing=np.inf), "`spacing` must be finite"),
    "a masked array": (
        lambda: rician(power=np.ma.masked_array([1.0, 2.0], [False, True])),
        "`power` must be plain numbers, but is a masked array",
    ),
    "10^19 APs": (
        lambda: rician(num_aps=10**19),
        r"`num_aps` must be less than 2\^31, but got an integer of 20 digits",
    ),
    "as many as can be counted": (
        lambda: wideband(num_aps=2**31 - 1),
        "`num_aps` x `ap_antennas` x `num_users` must be less: .* channels take 68.7 GB, and there",
    ),
    "4.5 TB": (
        lambda: rician(num_aps=140_000, ap_antennas=40, num_users=100_000),
        "channels take 4.48e[+]03 GB, and there are .* GB of memory. Lower one of them",
    ),
    "groups that are not there": (
        lambda: b3.sum_rate(
            KEY,
            cell(),
            b3.draw_users(KEY, cell()),
            groups=b3.Groups(jnp.asarray([0, 9]), jnp.asarray([0, 1]), 4, 4),
            realizations=2,
        ),
        "`groups` must be from 0 to 3 in azimuth",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(what):
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_indefinite_matrices_have_no_factor_and_singular_ones_have():
    def factor(matrix):
        return cholesky(Parts(jnp.asarray(matrix)[..., None], jnp.zeros((*matrix.shape, 1)))).real

    assert np.isnan(factor(indefinite(8))).any()
    ones = factor(np.ones((8, 8)))[..., 0]
    np.testing.assert_allclose(ones @ ones.T, np.ones((8, 8)), atol=1e-4)
    wave = np.sinc(0.05 * (np.arange(32)[:, None] - np.arange(32)[None]))
    assert np.isfinite(factor(wave)).all()
    assert np.isnan(factor(np.full((2, 2), np.nan))).any()


def beyond_a_sample_link(key, num_antennas, angle, spacing):
    """A covariance for the link that the constructor tries, and none for others."""
    wrong = jnp.asarray(indefinite(num_antennas), jnp.complex64)
    return jnp.where(angle == np.float32(0.3), jnp.eye(num_antennas), wrong)


def asymmetric_beyond(key, num_antennas, angle, spacing):
    wrong = jnp.eye(num_antennas, dtype=jnp.complex64).at[0, 1].set(0.9).at[1, 0].set(0.1)
    return jnp.where(angle == np.float32(0.3), jnp.eye(num_antennas), wrong)


def no_numbers(h_hat, noise_to_power, error_covariance):
    return jnp.full_like(h_hat, jnp.nan)  # a combiner


NOT_FINITE = {
    "covariances": lambda: dr.simulate_se(
        KEY, rician(covariance=beyond_a_sample_link), drops=2, realizations=2
    ),
    "asymmetry": lambda: dr.simulate_se(
        KEY, rician(covariance=asymmetric_beyond), drops=2, realizations=2
    ),
    "rician": lambda: dr.simulate_se(KEY, rician(), combiner=no_numbers, drops=2, realizations=2),
    "wideband": lambda: wb.simulate_se(KEY, wideband(), combiner=no_numbers, drops=2),
    "prefix": lambda: wb.simulate_prefix(
        KEY, wideband(), combiner=no_numbers, prefix_lengths=(1,), subcarriers=2, drops=2
    ),
    "cell-free": lambda: iqi.simulate_se(
        KEY, cell_free(), estimator=lambda receive: nan_correction(receive), realizations=2
    ),
    "cell": lambda: b3.simulate_sum_rate(KEY, cell(), scheme=nan_scheme, drops=2, realizations=2),
}


def nan_correction(receive):
    return jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), iqi.linear_mmse(receive))


def nan_scheme(of_cell):
    fixed = b3.generalized_mrt(of_cell)
    return b3.FixedPrecoders(of_cell, fixed.azimuth * jnp.nan, fixed.elevation)


SLOW = ("wideband", "prefix", "cell")


@pytest.mark.parametrize(
    "what",
    [pytest.param(each, marks=pytest.mark.slow if each in SLOW else ()) for each in NOT_FINITE],
)
def test_what_is_not_finite_in_a_user_function_ends_the_simulation(what):
    with pytest.raises(FloatingPointError, match="realization"):
        NOT_FINITE[what]()
