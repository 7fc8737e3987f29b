"""Single precision against double where numbers are large, small, or nearly the same."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo import beamforming_3d, distributed_rician, wideband_mmwave
from jaxmimo.channel.frequency_grid import Grid
from jaxmimo.channel.umi_street_canyon import draw_large_scale
from jaxmimo.core.dual_basis import dual_basis
from jaxmimo.core.scaling import binary_scale
from jaxmimo.core.small_matrices import Parts
from jaxmimo.rates.metrics import vector_correlation
from jaxmimo.rates.sinr import sinr_of_powers, uplink_sinr
from jaxmimo.systems.beamforming_3d.schemes import FullDimension
from jaxmimo.systems.wideband_mmwave.simulation import se_of_links
from jaxmimo.transceiver.channel_estimation import least_squares, perfect_csi
from jaxmimo.transceiver.combining import (
    error_aware_mmse_combiner,
    mmse_combiner,
    zf_combiner,
)

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, 2)).view(complex)[..., 0]


def near_collinear(condition):
    """Channels of two users of the same norm, in single precision."""
    basis = np.linalg.qr(normal(8, 2))[0]
    h = basis * [1, 1 / condition] @ np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    return jnp.asarray(h, jnp.complex64)


def exact_sinr(h, noise):
    """SINR of zero forcing, 1 / (noise [(H^H H)^-1]_kk), in double precision."""
    h = np.asarray(h, complex)
    return 1 / (noise * np.diag(np.linalg.inv(h.conj().T @ h)).real)


def sinr_of(scheme, h, noise):
    h = jnp.asarray(h, jnp.complex64)
    statistics = (noise, jnp.zeros((len(h), len(h)), h.dtype)) if scheme is not zf_combiner else ()
    return uplink_sinr(scheme(h, *statistics), h, 1.0, noise)


@pytest.mark.parametrize("scheme", [zf_combiner, mmse_combiner], ids=lambda s: s.__name__)
@pytest.mark.parametrize("condition", [426, 1416, 4244])
def test_combiners_keep_their_digits_with_users_nearly_collinear(scheme, condition):
    h = near_collinear(condition)
    expected = exact_sinr(h, 1e-9) + (scheme is mmse_combiner)  # what it gains over ZF, K = 2
    # A machine epsilon in the gains is 1e-3 of the disturbance at the largest condition.
    np.testing.assert_allclose(
        sinr_of(scheme, h, 1e-9), expected, rtol=2e-2 if condition > 4000 else 2e-3
    )


def test_one_collinear_realization_of_a_batch_leaves_the_others_as_they_were():
    h = jnp.stack([jnp.asarray(normal(8, 2, seed=i), jnp.complex64) for i in range(3)])
    mixed = h.at[1].set(near_collinear(1416))
    together = jax.jit(jax.vmap(zf_combiner))
    np.testing.assert_array_equal(together(mixed)[::2], together(h)[::2])
    np.testing.assert_allclose(together(mixed)[1], zf_combiner(mixed[1]), rtol=1e-6)


@pytest.mark.parametrize("amplitude", [1e-15, 1e-10, 1e10])
@pytest.mark.parametrize("scheme", [zf_combiner, mmse_combiner, error_aware_mmse_combiner])
def test_units_of_channels_do_not_matter(scheme, amplitude):
    h = normal(8, 3)
    found = sinr_of(scheme, amplitude * h, 1e-2 * amplitude**2)
    np.testing.assert_allclose(found, sinr_of(scheme, h, 1e-2), rtol=1e-4)


def test_dual_basis_is_orthogonal_to_rounding_however_alike_columns_are():
    h = normal(16, 3)
    h[:, 1] = h[:, 0] + 3e-4 * h[:, 1]
    h = h.astype(np.complex64)
    v = np.asarray(jax.jit(dual_basis)(Parts.of(jnp.asarray(h))).merged()).astype(complex)
    norms = np.linalg.norm(v, axis=0)[:, None] * np.linalg.norm(h, axis=0)
    assert np.all(abs(v.conj().T @ h - np.eye(3)) < 4 * np.finfo(np.float32).eps * norms)


def test_dual_basis_of_equal_and_empty_columns_is_finite_with_its_gradient():
    a = normal(5, 4)
    a[:, 1], a[:, 3] = a[:, 0], 0.0

    def total(real):
        return jnp.sum(dual_basis(Parts(real, jnp.asarray(a.imag))).power[:, 2:])

    value, slope = jax.value_and_grad(total)(jnp.asarray(a.real))
    assert np.isfinite(value)
    assert np.all(np.isfinite(slope))


def test_dual_basis_and_its_gradient_are_those_of_the_formula():
    def found(real, imag, alike):
        h = jax.lax.complex(real, imag)
        h = h.at[:, 1].set(h[:, 0] + alike * h[:, 1])
        return jnp.sum(jnp.abs(dual_basis(Parts.of(h)).merged() * alike) ** 2)

    def expected(real, imag, alike):
        h = jax.lax.complex(real, imag)
        h = h.at[:, 1].set(h[:, 0] + alike * h[:, 1])
        return jnp.sum(jnp.abs(h @ jnp.linalg.inv(h.conj().T @ h) * alike) ** 2)

    with jax.enable_x64(True):
        parts = jnp.asarray(normal(6, 3).real), jnp.asarray(normal(6, 3).imag)
        one, other = (jax.value_and_grad(f)(*parts, 0.1) for f in (found, expected))
    np.testing.assert_allclose(one[0], other[0], rtol=1e-12)
    np.testing.assert_allclose(one[1], other[1], rtol=1e-10)


def test_correlation_does_not_depend_on_units():
    x = normal(3, 5)
    found = vector_correlation(*[jnp.asarray(1e-20 * x @ x.conj().T, jnp.complex64)] * 3)
    np.testing.assert_allclose(found, 1, rtol=1e-4)


@pytest.mark.parametrize("x", [1.0, 1.5, -3.0, 1e-30, 1e38])
def test_binary_scale_is_the_power_of_two_below(x):
    scale = float(binary_scale(jnp.asarray(x, jnp.float32)))
    assert scale <= abs(np.float32(x)) < 2 * scale
    assert np.log2(scale) % 1 == 0


def test_binary_scale_of_no_regular_number_is_one():
    for x in (0.0, np.inf, np.nan):
        assert binary_scale(jnp.asarray(x)) == 1


# Positions

RNG = np.random.default_rng(1)
APS, USERS = RNG.uniform(0, 100, (4, 2)), RNG.uniform(0, 100, (4, 2))


def se_at(aps, users):
    system = distributed_rician.DistributedRician(
        num_aps=4,
        ap_antennas=2,
        num_users=4,
        rician_factor=10.0,
        propagation_phase=True,
        ap_positions=aps,
        user_positions=users,
    )
    return distributed_rician.se_of_drops(
        KEY, system, combiner=distributed_rician.mr_combiner, drops=1, realizations=4
    )[0]


def test_coordinates_of_a_map_change_nothing():
    moved = np.array([500_000.0, 4_649_776.0])
    found = se_at(APS + moved, USERS + moved)
    np.testing.assert_allclose(found, se_at(APS, USERS), rtol=1e-5)


def test_an_ap_out_of_sight_leaves_the_others_as_they_are():
    far, farther = APS.copy(), APS.copy()
    far[3], farther[3] = [1e9, 0], [1e25, 0]
    found = se_at(farther, USERS)
    assert np.all(found > 0.1)
    np.testing.assert_allclose(found, se_at(far, USERS), rtol=1e-5)


def test_users_at_one_place_share_their_shadowing():
    places = jnp.asarray([[0.0, 0], [3, 4], [0, 0], [70, 0], [3, 4]])
    drawn = draw_large_scale(KEY, places, jnp.ones((3, 5), bool), 28e9)
    for field in jax.tree.leaves(drawn):
        np.testing.assert_array_equal(field[:, [0, 1]], field[:, [2, 4]])
        assert np.all(field[:, 0] != field[:, 3])


@pytest.mark.parametrize("distance", [1e-3, 1e-5])
def test_rates_in_the_limit_are_finite_next_to_the_base_station(distance):
    def rates():
        users = beamforming_3d.Users(
            distance=np.array([distance, 300.0, 500.0]),
            azimuth=np.array([0.1, 0.3, -1.0]),
            azimuth_spread=np.full(3, 0.2),
            elevation=np.full(3, 0.3),
            elevation_spread=np.full(3, 0.1),
        )
        system = beamforming_3d.Beamforming3D(
            azimuth_antennas=8,
            elevation_antennas=2,
            num_users=3,
            azimuth_groups=4,
            elevation_groups=1,
        )
        cell = beamforming_3d.make_cell(system, users)
        return np.asarray(beamforming_3d.adjacent_groups(cell).rates_in_the_limit())

    found = rates()
    with jax.enable_x64(True):
        expected = rates()
    np.testing.assert_allclose(found, expected, rtol=2e-3)


# Simulations, whose Gram matrices square the condition of the channels


def in_single_and_double(function):
    """Results of a function that makes all its arrays itself, in both precisions."""
    single = np.asarray(function())
    assert single.dtype == np.float32
    with jax.enable_x64(True):
        return single, np.asarray(function())


@pytest.mark.parametrize(("ap_antennas", "factor"), [(1, 1e4), (2, 1e6)], ids=["none", "some"])
@pytest.mark.parametrize("estimator", [perfect_csi, least_squares], ids=lambda e: e.__name__)
def test_se_of_users_side_by_side(estimator, ap_antennas, factor):
    """Two users 3 cm apart in line of sight, with spare antennas and without."""

    def se():
        beside = USERS.copy()
        beside[1] = beside[0] + [0.03, 0.0]
        system = distributed_rician.DistributedRician(
            num_aps=4,
            ap_antennas=ap_antennas,
            num_users=4,
            rician_factor=np.array([0.0, factor]),
            power=1e3,
            ap_positions=APS,
            user_positions=beside,
        )
        combiners = [distributed_rician.zf_combiner, distributed_rician.mmse_combiner]
        return distributed_rician.se_of_drops(
            KEY, system, combiner=combiners, estimator=estimator, drops=3, realizations=16
        )

    np.testing.assert_allclose(*in_single_and_double(se), rtol=1e-3)


@pytest.mark.parametrize("antennas", [(4,), (2, 3)], ids=str)
def test_wideband_se_of_users_with_nearly_the_same_paths(antennas):
    with jax.enable_x64(False):
        drawn = wideband_mmwave.draw_links(
            KEY, wideband_mmwave.WidebandMmwave(num_aps=2, ap_antennas=4, num_users=3, num_rays=1)
        )
    links = jax.tree.map(np.array, drawn)
    gains = links.gains.real + 1j * links.gains.imag
    for paths in (links.angles, links.delays, links.lags):
        paths[:, 1] = paths[:, 0]
    gains[:, 1] = gains[:, 0] + 1e-3 * gains[:, 1]
    gains = (1e4 / np.linalg.norm(gains, axis=(0, 2), keepdims=True) * gains).astype(np.complex64)

    def se():
        floats = jax.tree.map(lambda x: jnp.asarray(x, float), links)
        found = eqx.tree_at(lambda each: each.gains, floats, Parts.of(jnp.asarray(gains, complex)))
        grid = Grid(jnp.asarray(-2e8), jnp.asarray(1e8), 5)
        schemes, designs = (zf_combiner, mmse_combiner), (wideband_mmwave.per_subcarrier,)
        of_links = jax.jit(lambda each: se_of_links(each, grid, schemes, designs, antennas, one))
        one = jnp.ones(3)
        return of_links(found)

    single, double = in_single_and_double(se)
    assert np.any(double < 14)  # users are alike
    np.testing.assert_allclose(single, double, rtol=2e-3)


@pytest.mark.parametrize("combiner", [zf_combiner, mmse_combiner], ids=lambda c: c.__name__)
def test_full_dimension_powers_of_users_side_by_side(combiner):
    def sinr():
        h = 1e4 * np.random.default_rng(0).normal(size=(3, 4, 4, 2)).view(complex)[..., 0]
        h[1] = h[0] + 3e-4 * h[1]
        powers = jax.vmap(FullDimension(combiner).powers)(jnp.asarray(h)[None])[0]
        return jnp.log2(1 + sinr_of_powers(powers))

    np.testing.assert_allclose(*in_single_and_double(sinr), rtol=1e-3)
