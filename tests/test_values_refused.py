"""Values that gave plausible wrong numbers once, each refused in one line that says why."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import jaxmimo
from jaxmimo import beamforming_3d as b3
from jaxmimo import cell_free_iqi as iqi
from jaxmimo import distributed_rician as dr
from jaxmimo import pathloss
from jaxmimo import wideband_mmwave as wb

KEY = jax.random.key(0)
H = np.array([[1.0, 1j], [0.5, 2.0], [1j, 1.0]])


@pytest.fixture(autouse=True)
def _without_the_hook(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def indefinite() -> np.ndarray:
    row = np.arange(8)
    covariance = 0.9 ** np.abs(row[:, None] - row[None, :])
    covariance[0, 1] = covariance[1, 0] = 0.99
    covariance[0, 2] = covariance[2, 0] = 0.6
    return covariance


def rician(**changed: object) -> dr.DistributedRician:
    return dr.DistributedRician(
        **{"num_aps": 2, "ap_antennas": 8, "num_users": 2, "rician_factor": 1.0, **changed}
    )


def wideband(**changed: object) -> wb.WidebandMmwave:
    return wb.WidebandMmwave(**{"num_aps": 2, "ap_antennas": 2, "num_users": 2, **changed})


def cell(**changed: object) -> b3.Beamforming3D:
    sizes = {"azimuth_antennas": 4, "elevation_antennas": 4, "num_users": 2}
    return b3.Beamforming3D(**{**sizes, **changed})


def cell_free() -> iqi.CellFreeIQI:
    matched = jaxmimo.IQImbalance()
    return iqi.CellFreeIQI(
        beta=np.ones((6, 2)),
        receive=matched,
        transmit=matched,
        user_antennas=1,
        coherence_length=20,
        pilot_snr=1.0,
        data_snr=1.0,
        ap_antennas=1,
    )


def skewed() -> np.ndarray:
    return np.eye(8) + 1j * np.diag(np.full(7, 0.1), 1)


REFUSED: list[tuple[Callable[[], object], str]] = [
    # Covariances
    (
        lambda: rician(covariance=lambda *link: indefinite()),
        "`covariance` .* eigenvalue is -0.0917",
    ),
    (lambda: rician(covariance=lambda *link: skewed()), "`covariance` must be Hermitian"),
    (lambda: rician(covariance=lambda *link: np.eye(4)), r"`covariance` .* shape \(8, 8\)"),
    (lambda: rician(covariance=np.eye(4)), "`covariance` must be a function, but is an array"),
    (lambda: rician(covariance=dr.LocalScattering), "`covariance` .* is the class LocalScattering"),
    (
        lambda: jaxmimo.vector_correlation(indefinite(), np.eye(8), np.eye(8)),
        "`cov_x` must be positive semidefinite, but its smallest eigenvalue is -0.0917",
    ),
    (
        lambda: jaxmimo.error_aware_mmse_combiner(np.ones((8, 2)), 1.0, indefinite()),
        "`error_covariance` .* eigenvalue is -0.0917",
    ),
    (
        lambda: jaxmimo.vector_correlation(np.eye(3), np.eye(2), np.eye(2)),
        "`cov_y` .* antennas = 3",
    ),
    # What blocks check
    (lambda: wideband(user_height=0.9), "`user_height` must be above 1, .* is 0.9"),
    (lambda: wideband(ap_height=0.5), "`ap_height` must be above 1"),
    # Units
    (lambda: rician(carrier_hz=3.5), "`carrier_hz` must be at least 2.38567e.07, .* is 3.5"),
    (lambda: rician(carrier_hz=10e6), "`carrier_hz` must be at least 2.38567e.07, .* 1e.07"),
    (lambda: wideband(carrier_hz=28), "`carrier_hz` must be at least 5e.08"),
    (
        lambda: pathloss.umi_street_canyon(100.0, 28, 10.0, 1.5, True),
        "`carrier_frequency` must be at least 1e.06 Hz",
    ),
    (
        lambda: pathloss.umi_street_canyon([10.0], 1e6, 10.0, 1.5, True),
        "`carrier_frequency` .* the path loss is -0.536 dB",
    ),
    (
        lambda: pathloss.log_distance_gain([5.0], exponent=2.0, carrier_hz=5e6),
        "`carrier_hz` .* gain there is 22.8",
    ),
    (lambda: jaxmimo.IQImbalance(phase=15), "`phase` must be at most 1.5708, .* radians"),
    (
        lambda: dr.LocalScattering(angular_std=10),
        "`angular_std` must be at most 3.14159, .* radians",
    ),
    (lambda: dr.ScatteringClusters(spread=40), "`spread` must be at most 3.14159, .* radians"),
    (
        lambda: cell(azimuth_spread_limit=20),
        "`azimuth_spread_limit` must be at most 3.14159, .* radians",
    ),
    (lambda: jaxmimo.one_ring_covariance(4, 30, 0.1), "`angle` must be at most"),
    # Signs, NaN, infinity
    (lambda: jaxmimo.local_scattering_covariance(3, 0.1, -1), "`angular_std` must be at least 0"),
    (lambda: jaxmimo.local_scattering_covariance(3, np.nan, 0.1), "`angle` must be finite"),
    (lambda: jaxmimo.local_scattering_covariance(3, 0.1, np.inf), "`angular_std` must be finite"),
    (lambda: wb.beam_squint_gain(np.nan, 4, 0.005, 0.3), "`frequency_offset` must be finite"),
    (lambda: wb.beam_squint_gain(1e6, 4, np.inf, 0.3), "`spacing_m` must be finite"),
    (lambda: jaxmimo.mmse_combiner(H, -1), "`noise_to_power` must be at least 0"),
    (lambda: jaxmimo.uplink_sinr(H, H, 1.0, -94.0), "`noise_power` must be at least 0"),
    (lambda: jaxmimo.uplink_sinr(H, H, -10.0, 1.0), "`power` must be at least 0"),
    (lambda: jaxmimo.uplink_sinr(H * np.nan, H, 1.0, 1.0), "`combiner` must be finite"),
    (lambda: cell(spacing=np.inf), "`spacing` must be finite"),
    (lambda: rician(power=1e308), "`power` must be finite"),
    # Masks, fractions, sizes
    (
        lambda: jaxmimo.zf_combiner(np.ma.masked_array(H)),
        "`h_hat` must be plain numbers, but is a masked array",
    ),
    (
        lambda: rician(power=np.ma.masked_array([1.0, 2.0])),
        "`power` must be plain numbers, but is a masked array",
    ),
    (
        lambda: iqi.simulate_se(KEY, cell_free(), realizations=4, num_aps=[1.5, 5.7]),
        "`num_aps` must be an integer, but got 1.5",
    ),
    (lambda: rician(num_aps=10**19), "`num_aps` must be less than 2.31"),
    (lambda: wideband(num_aps=10**400), "`num_aps` must be less than 2.31"),
    (
        lambda: rician(num_aps=10**9),
        "`num_aps` x `ap_antennas` x `num_users` must be less: .* take 128 GB",
    ),
    # Keys, order, kinds, batches
    (
        lambda: dr.simulate_se(rician(), KEY, drops=2),
        "`system` must be a `DistributedRician`, but is an array of dtype key",
    ),
    (lambda: dr.simulate_se(0, rician(), drops=2), "`key` must be a typed key"),
    (lambda: dr.simulate_se(KEY, 3, drops=2), "`system` must be a `DistributedRician`, but is 3"),
    (lambda: jaxmimo.complex_normal(np.random.default_rng(0), (2,)), "`key` .* Generator"),
    (lambda: jaxmimo.complex_normal(jax.random.split(KEY), (2,)), "`key` .* `jax.vmap`"),
    (lambda: dr.simulate_se(KEY, rician(), drops=2, combiner="mmse"), "`combiner` must be a func"),
    (lambda: jaxmimo.zf_combiner(H[None]), "`h_hat` .* Use `jax.vmap`"),
    (lambda: jaxmimo.zf_combiner(H[:, 0]), r"`h_hat` must have shape \(antennas, users\)"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_it_is_refused_in_one_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_lists_and_numpy_arrays_do():
    found = jaxmimo.uplink_sinr(H.tolist(), H, [1.0, 2.0], 1.0)
    expected = jaxmimo.uplink_sinr(jnp.asarray(H), jnp.asarray(H), jnp.asarray([1.0, 2.0]), 1.0)
    np.testing.assert_array_equal(found, expected)


def test_values_of_arrays_on_devices_are_not_looked_at():
    assert np.isnan(jaxmimo.zf_combiner(jnp.asarray(H) * jnp.nan)).any()


def test_traced_arguments_pass():
    h = jnp.asarray(H)

    def total(power):
        return jaxmimo.uplink_sinr(h, h, power, 1.0).sum()

    assert np.isfinite(jax.jit(jax.grad(total))(1.0))
    assert jax.vmap(lambda p: total(p))(jnp.ones(3)).shape == (3,)
