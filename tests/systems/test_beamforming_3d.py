"""System 3: powers, groups and equivalents against the looped reference that forms everything."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jaxmimo.systems.beamforming_3d import (
    Beamforming3D,
    Groups,
    TwoStageSLNR,
    Users,
    adjacent_groups,
    all_groups,
    assign_groups,
    draw_users,
    full_dimension_slnr,
    full_dimension_zf,
    generalized_mrt,
    make_cell,
    overall,
    own_group,
    sum_rate,
)
from jaxmimo.systems.beamforming_3d.cell import (
    cells_of_arrays,
    channel_factors,
    draw_channels,
)
from jaxmimo.transceiver.prebeamforming import beam_covariance
from tests.reference import beamforming_3d as reference

KEY = jax.random.key(0)
POWER, NOISE = 50.0, 0.2
TWO_STAGE = {
    "own": own_group,
    "adjacent": adjacent_groups,
    "plus": partial(adjacent_groups, diagonal=False),
    "adjacent-no-wrap": partial(adjacent_groups, wrap=False),
    "plus-no-wrap": partial(adjacent_groups, diagonal=False, wrap=False),
    "all": all_groups,
}
OTHERS = {"mrt": generalized_mrt, "slnr": full_dimension_slnr, "zf": full_dimension_zf}
SPLITS = {
    "beams left over": (8, 7, 3, 2, 7),
    "five by four groups": (11, 4, 5, 4, 12),
    "one group, more users than beams": (3, 2, 1, 1, 5),
    "one azimuth group": (4, 6, 1, 3, 4),
    "one user": (4, 4, 2, 2, 1),
}
every_split = pytest.mark.parametrize("name", SPLITS)


def cell_of(split, **other):
    m, n, g, l, users = split  # noqa: E741
    return Beamforming3D(
        **{
            "azimuth_antennas": m,
            "elevation_antennas": n,
            "num_users": users,
            "azimuth_groups": g,
            "elevation_groups": l,
            "power": POWER,
            "noise_power": NOISE,
            **other,
        }
    )


def users_of(drop):
    return Users(
        distance=drop.distance,
        azimuth=drop.angle_az,
        azimuth_spread=drop.spread_az,
        elevation=drop.angle_el,
        elevation_spread=drop.spread_el,
    )


def centred_dft(n):
    """The DFT matrix with the phases of its columns counted from the middle."""
    m, p = np.arange(n)[:, None], np.arange(n)[None]
    return np.exp(-2j * np.pi * p * (m - (n - 1) / 2) / n) / np.sqrt(n)


def to_beams(h, m, n):
    """Channels (K, M N) over the noise as beams (K, M, N)."""
    rows = np.einsum("mp,kmn->kpn", centred_dft(m).conj(), h.reshape(-1, m, n))
    return np.einsum("kpn,nq->kpq", rows, centred_dft(n).conj())


def from_beams(beams):
    """The inverse of `to_beams`."""
    _, m, n = beams.shape
    h = np.einsum("mp,kpq,nq->kmn", centred_dft(m), beams, centred_dft(n))
    return h.reshape(-1, m * n)


@pytest.fixture(scope="module")
def drops():
    """Reference drops, cells in double precision and what the reference needs to know of them."""
    result = {}
    with jax.enable_x64(True):
        for seed, (name, split) in enumerate(SPLITS.items()):
            drop = reference.draw_drop(np.random.default_rng(seed), split[4], *split[:2])
            cell = make_cell(cell_of(split), users_of(drop))
            groups = np.asarray(cell.groups.azimuth), np.asarray(cell.groups.elevation)
            result[name] = drop, reference.Split(*split[:4]), groups, cell
    return result


@eqx.filter_jit
def of_two_stage(result, cell, rules):
    """Powers or rates of several rules (rules, ...): of one kernel, which takes any mask."""
    counted = jnp.stack([TWO_STAGE[rule](cell).counted for rule in rules])
    return jax.vmap(lambda each: result(TwoStageSLNR(cell, each)))(counted)


def powers_of_all(cell, h):
    schemes = eqx.filter_jit(lambda cell, h: [s(cell).powers(h) for s in OTHERS.values()])
    found = [*of_two_stage(Partial(powers, h=h), cell, tuple(TWO_STAGE)), *schemes(cell, h)]
    return dict(zip([*TWO_STAGE, *OTHERS], map(np.asarray, found), strict=True))


def powers(precoding, h):
    return precoding.powers(h)


def limits(cell, rules):
    """SINR in the limit of each rule."""
    rates = of_two_stage(TwoStageSLNR.rates_in_the_limit, cell, rules)
    return dict(zip(rules, np.expm1(np.log(2) * np.asarray(rates)), strict=True))


def looped_precoders(name, drop, split, groups, h):
    """Precoders (K, M N) of channels h without noise."""
    if name == "mrt":
        return reference.mrt_precoders(drop.r_az, drop.r_el)
    if name == "slnr":
        return reference.full_slnr(h, NOISE / POWER)
    if name == "zf":
        return reference.full_zf(h)
    return reference.slnr_precoders(h, split, *groups, POWER, NOISE, name)


# Statistics


@every_split
def test_cells_hold_the_covariances_groups_and_ranks_of_the_reference(drops, name):
    drop, split, groups, cell = drops[name]
    for found, expected, n in (
        (cell.azimuth, drop.r_az, split.antennas_az),
        (cell.elevation, drop.r_el, split.antennas_el),
    ):
        c = centred_dft(n)
        np.testing.assert_allclose(found, c.conj().T @ expected @ c, atol=1e-11)
    np.testing.assert_allclose(cell.snr, POWER * drop.beta / NOISE, rtol=1e-12)
    ranks = [reference.num_kept(reference.eigen(r)[0]) for r in drop.r_az]
    np.testing.assert_array_equal(cell.azimuth_directions.rank, ranks)
    expected_az, expected_el, margin_az, margin_el = reference.grouping_2d(
        drop.r_az, drop.r_el, split.groups_az, split.groups_el
    )
    safe = np.minimum(margin_az, margin_el) > 1e-6
    assert safe.mean() > 0.7
    np.testing.assert_array_equal(groups[0][safe], expected_az[safe])
    np.testing.assert_array_equal(groups[1][safe], expected_el[safe])
    with jax.enable_x64(True):
        system = cell_of(SPLITS[name])
        both = assign_groups(system, users_of(drop), grouping=overall)
    np.testing.assert_array_equal(both.azimuth[safe], expected_az[safe])
    np.testing.assert_array_equal(both.elevation[safe], expected_el[safe])


def test_beam_covariance_is_real_and_that_of_the_centred_dft():
    r = reference.one_ring(9, 0.7, 0.2)
    c = centred_dft(9)
    with jax.enable_x64(True):
        found = beam_covariance(jnp.asarray(r))
    np.testing.assert_allclose(found, c.conj().T @ r @ c, atol=1e-13)


def test_draws_have_the_covariance_of_the_user():
    """E{h h^H} = snr R, every entry within five standard errors."""
    m, n, count = 3, 4, 4000
    drop = reference.draw_drop(np.random.default_rng(9), 2, m, n)
    system = cell_of((m, n, 1, 1, 2))
    factors = channel_factors(make_cell(system, users_of(drop)))
    keys = jax.random.split(KEY, count)
    beams = np.asarray(jax.jit(jax.vmap(draw_channels, (0, None)))(keys, factors), complex)
    h = from_beams(beams.reshape(-1, m, n)).reshape(count, 2, m * n)
    for k in range(2):
        r = POWER / NOISE * drop.beta[k] * np.kron(drop.r_az[k], drop.r_el[k])
        products = h[:, k, :, None] * h[:, k, None, :].conj()
        for part in (np.real, np.imag):
            samples = part(products)
            error = samples.std(0, ddof=1) / np.sqrt(count)
            off = abs(samples.mean(0) - part(r))
            assert error.max() < 0.02 * r[0, 0].real, error.max()
            worst = (off - 5 * error).max()
            assert worst < 1e-5 * r[0, 0].real, worst
    # Neither are other users' channels, nor conjugates of the own, of any use.
    for other in (h[:, 1], h[:, 0].conj()):
        products = h[:, 0, :, None] * other[:, None, :].conj()
        error = products.std(0, ddof=1) / np.sqrt(count)
        assert np.all(abs(products.mean(0)) < 5 * error + 1e-6)


def test_draws_through_kronecker_factors_are_the_dense_product(drops):
    _, _, _, cell = drops["beams left over"]
    with jax.enable_x64(True):
        factors = channel_factors(cell)
        found = np.asarray(draw_channels(KEY, factors))
        identity = jnp.broadcast_to(jnp.eye(8), (7, 8, 8)), jnp.broadcast_to(jnp.eye(7), (7, 7, 7))
        white = np.asarray(draw_channels(KEY, type(factors)(*identity)))
    factors, cell = jax.tree.map(np.asarray, (factors, cell))
    for k in range(7):
        dense = np.kron(factors.azimuth[k], factors.elevation[k])
        np.testing.assert_allclose(found[k].ravel(), dense @ white[k].ravel(), atol=1e-11)
        expected = cell.snr[k] * np.kron(cell.azimuth[k], cell.elevation[k])
        np.testing.assert_allclose(dense @ dense.T, expected, atol=1e-9)


# One realization


@every_split
def test_powers_and_rates_are_those_of_the_looped_reference(drops, name, verified):
    drop, split, groups, cell = drops[name]
    m, n = split.antennas_az, split.antennas_el
    rng = np.random.default_rng(10)
    white = rng.normal(size=(len(drop.beta), m * n)) + 1j * rng.normal(size=(len(drop.beta), m * n))
    h = reference.channels(drop.r_az, drop.r_el, drop.beta, white / np.sqrt(2))
    with jax.enable_x64(True):
        beams = jnp.asarray(to_beams(np.sqrt(POWER / NOISE) * h, m, n))
        found = powers_of_all(cell, beams)
    for scheme, powers in found.items():
        a = looped_precoders(scheme, drop, split, groups, h)
        expected = POWER / NOISE * abs(h.conj() @ a.T) ** 2
        scale = abs(expected).max()
        np.testing.assert_allclose(powers.T, expected, rtol=1e-8, atol=1e-12 * scale)
        # SINR from these powers, with the literal loop.
        ratio = reference.sinr_of_powers(powers.T, 1.0, 1.0)
        expected = reference.sinr(h, a, POWER, NOISE)
        verified("Fan et al., SINR (27) of all schemes", "looped NumPy", ratio, expected, rtol=1e-7)


def test_sum_rate_is_the_mean_over_the_looped_reference(drops, verified):
    """From draws of the library, one key per realization."""
    name = "five by four groups"
    drop, split, groups, cell = drops[name]
    rules = ("adjacent", "mrt")
    with jax.enable_x64(True):
        schemes = [{**TWO_STAGE, **OTHERS}[rule] for rule in rules]
        system = cell_of(SPLITS[name])
        found = sum_rate(KEY, system, users_of(drop), scheme=schemes, realizations=3)
        factors = channel_factors(cell)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(3))
        draws = np.asarray(jax.jit(jax.vmap(draw_channels, (0, None)))(keys, factors))
    rates = np.zeros((3, len(rules)))
    for i, beams in enumerate(draws):
        h = from_beams(beams) * np.sqrt(NOISE / POWER)
        for j, rule in enumerate(rules):
            a = looped_precoders(rule, drop, split, groups, h)
            rates[i, j] = reference.sum_rate(reference.sinr(h, a, POWER, NOISE))
    verified("Fan et al., sum rate (26)", "looped NumPy", found.mean, rates.mean(0), rtol=1e-8)


# In the limit


@pytest.mark.parametrize("name", list(SPLITS)[1:3])
def test_theorem_1_is_that_of_the_reference(drops, name, verified):
    drop, split, groups, cell = drops[name]
    rules = tuple(TWO_STAGE) if name == "five by four groups" else ("own", "adjacent", "all")
    with jax.enable_x64(True):
        found = limits(cell, rules)
    expected = {
        rule: reference.theorem1_sinr(
            drop.r_az, drop.r_el, drop.beta, split, *groups, POWER, NOISE, rule
        )
        for rule in rules
    }
    for rule in rules:
        verified(
            "Fan et al., SINR of Theorem 1", "looped NumPy", found[rule], expected[rule], rtol=1e-7
        )
    if name == "five by four groups":
        single = limits(jax.tree.map(as_single, cell), rules)
        for rule in rules:
            np.testing.assert_allclose(single[rule], expected[rule], rtol=1e-3)


def as_single(leaf):
    return jnp.asarray(np.asarray(leaf), jnp.float32 if leaf.dtype == np.float64 else leaf.dtype)


def test_theorem_1_of_one_group_for_all_and_of_groups_of_one(drops):
    """All users in one group, so that the others are empty; and each user alone in its own."""
    drop, split, _, cell = drops["five by four groups"]
    users = np.arange(12)
    for groups in ((np.full(12, 3), np.full(12, 1)), (users % 5, users // 5)):
        indices = (jnp.asarray(each, jnp.int32) for each in groups)
        with jax.enable_x64(True):
            moved = eqx.tree_at(lambda c: c.groups, cell, Groups(*indices, 5, 4))
            found = limits(moved, tuple(TWO_STAGE))
        for rule in ("own", "adjacent"):
            ratio = reference.theorem1_sinr(
                drop.r_az, drop.r_el, drop.beta, split, *groups, POWER, NOISE, rule
            )
            np.testing.assert_allclose(found[rule], ratio, rtol=1e-8)
        if len(set(groups[0])) == 1:
            np.testing.assert_allclose(found["own"], found["all"], rtol=1e-12)


@every_split
def test_generalized_mrt_has_the_ergodic_rates_of_the_reference(drops, name):
    drop, _, _, cell = drops[name]
    with jax.enable_x64(True):
        found = jax.jit(lambda cell: generalized_mrt(cell).rates_in_the_limit())(cell)
    a = reference.mrt_precoders(drop.r_az, drop.r_el)
    expected = reference.fixed_rate(drop.r_az, drop.r_el, drop.beta, a, POWER, NOISE)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-10)


def test_full_dimension_has_no_equivalent(drops):
    _, _, _, cell = drops["one user"]
    with pytest.raises(ValueError, match="`scheme` must be one with a deterministic") as error:
        full_dimension_zf(cell).rates_in_the_limit()
    assert "\n" not in str(error.value)


def test_cells_of_arrays_are_those_of_each_array():
    arrays, ranks = ((8, 4), (8, 6), (4, 6)), ((8, 4), (8, 5), (3, 5))
    system = cell_of((8, 4, 2, 2, 3))
    users = draw_users(KEY, system)
    together = cells_of_arrays(system, users, arrays, ranks=ranks)
    for found, array, rank in zip(together, arrays, ranks, strict=True):
        alone = make_cell(cell_of((*array, 2, 2, 3)), users, ranks=rank)
        assert found.groups.azimuth_groups == found.groups.elevation_groups == 1
        for a, b in zip(
            jax.tree.leaves(found.split_into(2, 2)), jax.tree.leaves(alone), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert together[0].azimuth is together[1].azimuth  # worked out once
    assert together[1].elevation is together[2].elevation


def test_users_of_a_drop_are_those_of_the_model():
    system = cell_of((4, 4, 1, 1, 4000), azimuth_limit=1.0)
    users = draw_users(KEY, system)
    for value, low, high in (
        (users.distance, 100.0, 1600.0),
        (users.azimuth, -1.0, 1.0),
        (users.azimuth_spread, 0.0, np.pi / 9),
        (users.elevation, -np.pi / 2, np.pi / 2),
        (users.elevation_spread, 0.0, np.pi / 18),
    ):
        share = (np.sort(np.asarray(value)) - low) / (high - low)
        # Kolmogorov and Smirnov: 2 / sqrt(n) is exceeded with a probability of 7e-4.
        distance = abs(share - (np.arange(4000) + 0.5) / 4000).max()
        assert distance < 2 / np.sqrt(4000), (distance, low, high)
    fewer = draw_users(KEY, cell_of((3, 2, 1, 1, 7)))
    np.testing.assert_array_equal(fewer.distance, users.distance[:7])
