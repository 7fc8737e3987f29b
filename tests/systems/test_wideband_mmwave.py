"""System 4 against the looped reference, its promises, corners, gradients and errors."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.channel.frequency_grid import Grid
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.core.small_matrices import Parts
from jaxmimo.systems.wideband_mmwave import (
    WidebandMmwave,
    always_los,
    at_carrier,
    draw_links,
    mmse_combiner,
    mr_combiner,
    never_los,
    per_subcarrier,
    se_sample,
    simulate_prefix,
    simulate_se,
    umi_los,
    without_squint,
    zf_combiner,
)
from jaxmimo.systems.wideband_mmwave.drop import Links
from jaxmimo.systems.wideband_mmwave.prefix import prefix_sample, prefix_sinrs
from jaxmimo.systems.wideband_mmwave.simulation import se_of_links
from tests.reference import wideband_mmwave as reference

KEY = jax.random.key(4)
drawn = eqx.filter_jit(draw_links)
COMBINERS = {"MR": mr_combiner, "ZF": zf_combiner, "MMSE": mmse_combiner}
DESIGNS = {
    "subcarrier": per_subcarrier,
    "no squint": without_squint,
    "carrier": at_carrier,
}


def network(num_aps=4, ap_antennas=2, num_users=3, **other):
    options = {"num_rays": 1, "num_subcarriers": 16, "bandwidth_hz": 1e8, **other}
    return WidebandMmwave(num_aps=num_aps, ap_antennas=ap_antennas, num_users=num_users, **options)


def links_of(paths):
    """The reference's paths as links, APs first."""
    order = lambda a: jnp.asarray(np.swapaxes(a, 0, 1))  # noqa: E731
    delays = paths.distances[..., None] / SPEED_OF_LIGHT + paths.excess
    lags = paths.spacing / paths.carrier * np.sin(paths.angles)
    aps = paths.gains.shape[1]
    return Links(
        gains=Parts.of(order(paths.gains)),
        angles=order(paths.angles),
        delays=order(delays),
        lags=order(lags),
        distances=order(paths.distances),
        carrier=jnp.full(aps, paths.carrier),
        num_antennas=paths.antennas,
    )


# Against the looped reference


def test_se_of_every_design_and_combiner_equals_the_reference(verified):
    count = 5
    paths = reference.random_paths(np.random.default_rng(5), 3, 4, 6, 5)
    offsets = reference.subcarriers(count, 4e8)
    with jax.enable_x64(True):
        links = links_of(paths)
        grid = Grid(jnp.asarray(offsets[0]), jnp.asarray(4e8 / count), count)
        sent = jnp.asarray([0.5, 1.0, 3.0])
        weakened = links.gains * (1.0 / sent[None, :, None])
        links = eqx.tree_at(lambda links: links.gains, links, weakened)
        found = se_of_links(
            links, grid, tuple(COMBINERS.values()), tuple(DESIGNS.values()), (2, 5), sent
        )
        own = se_of_links(links, grid, (lambda h, *_: h,), (without_squint,), (2, 5), sent)
    assert found.shape == (2, 3, 3, count, 3)
    for i, antennas in enumerate((2, 5)):
        array = reference.Paths(**{**vars(paths), "antennas": antennas})
        for j, design in enumerate(DESIGNS):
            for c, name in enumerate(COMBINERS):
                expected = reference.band_se(array, offsets, reference.COMBINERS[name], design)
                verified(
                    "Ahn et al., SE per subcarrier",
                    "looped NumPy",
                    found[i, j, c],
                    expected,
                    rtol=1e-8,
                )
        np.testing.assert_allclose(own[i, 0, 0], found[i, 1, 0], rtol=1e-10)  # no Gram form


@pytest.mark.parametrize("prefix", [0, 3, 8])
def test_sinr_with_a_short_prefix_equals_an_ofdm_link(prefix, verified):
    size, users, aps, paths, bandwidth = 16, 2, 3, 4, 1e8
    random = np.random.default_rng(7)
    delays = random.integers(0, 13, (users, aps, paths))
    gains = random.normal(size=delays.shape) + 1j * random.normal(size=delays.shape)
    # The reference counts subcarriers from 0, jaxmimo from the middle of the band.
    taps = gains * np.exp(1j * np.pi * (size - 1) * delays / size)
    h = reference.tap_responses(taps, delays, size)
    combiners = np.array([reference.mmse_combiner(each) for each in h])
    powers = reference.link_powers(taps, delays, size, prefix, combiners)
    order = lambda a: jnp.asarray(np.swapaxes(a, 0, 1))  # noqa: E731
    with jax.enable_x64(True):
        zeros = jnp.zeros((aps, users, paths))
        links = Links(
            gains=Parts.of(order(gains)),
            angles=zeros,
            delays=order(delays / bandwidth),
            lags=zeros,
            distances=jnp.zeros((aps, users)),
            carrier=jnp.full(aps, 28e9),
            num_antennas=1,
        )
        step = bandwidth / size
        grid = Grid(jnp.asarray(-0.5 * (size - 1) * step), jnp.asarray(step), size)
        lengths = jnp.asarray([float(prefix), 12.0])
        sinr = prefix_sinrs(links, grid, jnp.asarray(bandwidth), lengths, (mmse_combiner,), size)
    sinr = np.asarray(sinr)
    name, expected = "Ours, SINR with a short cyclic prefix", reference.link_sinr(powers).T
    verified(name, "OFDM link, sample by sample", sinr[0, :, :, 0], expected, rtol=1e-8)
    enough = [
        reference.spectral_efficiencies(v, each) for v, each in zip(combiners, h, strict=True)
    ]
    np.testing.assert_allclose(np.log2(1 + sinr[0, :, :, 1]), np.transpose(enough), rtol=1e-8)


# What the simulation promises


def test_curves_together_equal_each_alone():
    several = network(bandwidth_hz=np.asarray([1e8, 4e8]))
    schemes, designs = (mr_combiner, zf_combiner), (per_subcarrier, at_carrier)
    together = simulate_se(
        KEY,
        several,
        combiner=schemes,
        design=designs,
        ap_antennas=(1, 2),
        subcarriers=4,
        drops=8,
    )
    assert together.mean.shape == (2, 2, 2, 2, 4)
    options = {"combiner": zf_combiner, "design": at_carrier, "subcarriers": 4, "drops": 8}
    for band, size, antennas, bandwidth in ((0, 1, 2, 1e8), (1, 0, 1, 4e8)):
        alone = simulate_se(KEY, network(ap_antennas=antennas, bandwidth_hz=bandwidth), **options)
        np.testing.assert_allclose(together.mean[band, size, 1, 1], alone.mean, rtol=2e-3)


def test_single_precision_is_close_to_double_and_batches_do_not_matter():
    system = network()
    options = {"combiner": tuple(COMBINERS.values()), "subcarriers": 4, "drops": 16}
    single = simulate_se(KEY, system, **options)
    assert single.mean.dtype == np.float32
    one_by_one = simulate_se(KEY, system, batch_size=1, **options)
    np.testing.assert_allclose(one_by_one.mean, single.mean, rtol=1e-4)
    with jax.enable_x64(True):
        double = simulate_se(jax.random.key(4), network(), **options)
    np.testing.assert_allclose(single.mean, double.mean, rtol=2e-3)


def test_order_of_combiners_and_their_limits():
    options = {"combiner": tuple(COMBINERS.values()), "subcarriers": 2, "drops": 32}
    weak = simulate_se(KEY, network(power=1e-7), **options)
    np.testing.assert_allclose(weak.mean[0], weak.mean[2], rtol=1e-2)  # noise: MMSE is MR
    strong = simulate_se(KEY, network(power=1e6), **options)
    np.testing.assert_allclose(strong.mean[1], strong.mean[2], rtol=1e-2)  # no noise: ZF
    usual = simulate_se(KEY, network(), **options).mean
    assert np.all(usual[2] >= usual[0])
    assert np.all(usual[2] >= usual[1])


def test_ignoring_delays_costs_nothing_in_a_narrow_band():
    options = {"design": tuple(DESIGNS.values()), "subcarriers": 2, "drops": 16}
    narrow = simulate_se(KEY, network(bandwidth_hz=1e3), **options).mean
    np.testing.assert_allclose(narrow[1:], np.broadcast_to(narrow[:1], (2, 2)), rtol=1e-3)
    wide = simulate_se(KEY, network(bandwidth_hz=4e8), **options).mean
    assert np.all(wide[2] < 0.9 * wide[0])


def test_links_follow_the_model():
    system = network(num_aps=4, num_users=5, line_of_sight=umi_los)
    links = drawn(KEY, system)
    assert links.gains.shape == links.delays.shape == (4, 5, 20)
    assert np.min(links.delays, axis=(0, 2)) == pytest.approx(np.zeros(5), abs=1e-12)
    expected = 0.5 * np.sin(np.asarray(links.angles)) / 28e9
    np.testing.assert_allclose(links.lags, expected, rtol=1e-5, atol=1e-17)
    spread = np.asarray(links.distances) / SPEED_OF_LIGHT
    earliest = np.min(np.asarray(links.delays), axis=2)
    assert np.all(earliest >= spread - spread.min(0) - 1e-9)
    seen = drawn(KEY, network(num_users=5, line_of_sight=always_los))
    unseen = drawn(KEY, network(num_users=5, line_of_sight=never_los))
    assert np.all(seen.gains.power[..., 0] > 0)
    assert np.all(unseen.gains.power[..., 0] == 0)
    assert seen.gains.power.sum(-1).mean() > unseen.gains.power.sum(-1).mean()


def test_more_rays_keep_the_power():
    options = {"subcarriers": 1, "drops": 64}
    one = simulate_se(KEY, network(num_users=1, power=100.0), **options)
    twenty = simulate_se(KEY, network(num_users=1, power=100.0, num_rays=20), **options)
    gap, error = np.abs(one.mean - twenty.mean), np.hypot(one.std_error, twenty.std_error)
    assert np.all(gap < 5 * error)
    assert np.all(error < 0.1 * one.mean)


def test_prefix_has_an_optimum_inside():
    lengths = (0, 16, 64, 256)
    estimate = simulate_prefix(
        KEY,
        network(num_aps=9, num_subcarriers=256),
        prefix_lengths=lengths,
        combiner=(mr_combiner, mmse_combiner),
        subcarriers=4,
        drops=48,
    )
    assert estimate.mean.shape == (2, 4)
    best = np.asarray(estimate.mean[:, 1])
    assert np.all(best > estimate.mean[:, 0])
    assert np.all(best > estimate.mean[:, 3])
    one = simulate_prefix(
        KEY,
        network(num_aps=9, num_subcarriers=256),
        prefix_lengths=(16,),
        combiner=mmse_combiner,
        subcarriers=4,
        drops=48,
    )
    np.testing.assert_allclose(one.mean, estimate.mean[1, 1:2], rtol=1e-3)


@pytest.mark.parametrize("lone", [True, False])
def test_prefix_of_corners_is_finite(lone):
    system = (
        network(num_aps=1, ap_antennas=1, num_users=1)
        if lone
        else network(power=np.zeros(3), user_positions=np.full((3, 2), 125.0), num_subcarriers=1)
    )
    lengths = (0, system.num_subcarriers)
    prefix = simulate_prefix(KEY, system, prefix_lengths=lengths, subcarriers=2, drops=2)
    assert np.all(np.isfinite(prefix.mean))


def test_long_prefix_leaves_the_plain_se():
    system = network(num_subcarriers=256)
    se = simulate_se(KEY, system, subcarriers=4, drops=16)
    prefix = simulate_prefix(KEY, system, prefix_lengths=(256,), subcarriers=4, drops=16)
    np.testing.assert_allclose(prefix.mean[0], np.mean(se.mean) / 2, rtol=1e-3)


# Corners and gradients


@pytest.mark.parametrize(
    "options",
    [
        {"num_aps": 1, "ap_antennas": 1, "num_users": 1},
        {"num_aps": 1, "ap_antennas": 3, "num_users": 3, "num_subcarriers": 1},
        # all under one AP, one of them silent
        {"user_positions": np.full((3, 2), 125.0), "power": np.asarray([0.0, 0.1, 0.2])},
    ],
)
def test_corners_are_finite(options):
    combiners = tuple(COMBINERS.values())
    estimate = simulate_se(KEY, network(**options), combiner=combiners, drops=4)
    assert np.all(np.isfinite(estimate.mean))
    assert np.all(np.asarray(estimate.mean) >= 0)


def test_gradients_equal_finite_differences():
    with jax.enable_x64(True):
        places = np.asarray([[100.0, 80.0], [400.0, 300.0]])
        key = jax.random.key(4)

        @jax.jit
        @partial(jax.value_and_grad, argnums=(0, 1))
        def total(power, megahertz):
            system = network(
                num_aps=2,
                num_users=2,
                power=power,
                bandwidth_hz=1e6 * megahertz,
                user_positions=places,
            )
            se = se_sample(system, design=without_squint, subcarriers=3)(key).sum()
            return se + prefix_sample(system, prefix_lengths=(4,), subcarriers=2)(key).sum()

        power, band = jnp.asarray([0.1, 0.3]), jnp.asarray(30.0)
        of_power, of_band = total(power, band)[1]
        for step in (np.asarray([1e-6, 0.0]), np.asarray([0.0, 1e-6])):
            difference = (total(power + step, band)[0] - total(power - step, band)[0]) / 2e-6
            np.testing.assert_allclose(difference, np.asarray(of_power) @ step / 1e-6, rtol=1e-5)
        difference = (total(power, band + 1e-5)[0] - total(power, band - 1e-5)[0]) / 2e-5
        np.testing.assert_allclose(difference, of_band, rtol=1e-4)


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bandwidth_hz": -1e6}, "`bandwidth_hz` must be at least 1000"),
        ({"bandwidth_hz": 0.0}, "`bandwidth_hz` must be at least 1000"),
        ({"bandwidth_hz": 60e9}, "`bandwidth_hz` must be less than twice"),
        ({"bandwidth_hz": np.full((2, 2), 1e8)}, "`bandwidth_hz` must be a number"),
        ({"spacing": 0.05}, "`spacing` must lie between 0.1 and 100 wavelengths"),
        ({"carrier_hz": 0.0}, "`carrier_hz`"),
        ({"num_users": 0}, "`num_users` must be at least 1"),
        ({"num_subcarriers": 0}, "`num_subcarriers` must be at least 1"),
        ({"num_rays": 3}, "`num_rays` must be 1 or 20"),
        ({"power": np.ones(2)}, "`power` must be a number or have shape"),
        ({"power": -1.0}, "`power` must be at least 0"),
        ({"user_positions": np.ones((2, 2))}, "`user_positions` must have shape"),
        ({"random_aps": True, "ap_positions": np.ones((4, 2))}, "`random_aps` must be False"),
        ({"side": np.ones(2)}, "`side` must be one number"),
    ],
)
def test_system_errors_teach(options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: simulate_prefix(KEY, s, prefix_lengths=(17,), drops=4), "`prefix_lengths`"),
        (lambda s: simulate_prefix(KEY, s, prefix_lengths=(-1,), drops=4), "`prefix_lengths`"),
        (lambda s: simulate_prefix(KEY, s, prefix_lengths=(True,), drops=4), "whole number"),
        (lambda s: simulate_prefix(KEY, s, prefix_lengths=(), drops=4), "`prefix_lengths`"),
        (lambda s: simulate_se(KEY, s, ap_antennas=(2, 1), drops=4), "`ap_antennas` must increase"),
        (lambda s: simulate_se(KEY, s, ap_antennas=(1, 3), drops=4), "`ap_antennas` must increase"),
        (lambda s: simulate_se(KEY, s, subcarriers=0, drops=4), "`subcarriers` must be at least 1"),
        (
            lambda s: simulate_se(KEY, s, combiner=zf_combiner, ap_antennas=(1,), drops=4),
            "`num_users` = 5 must not exceed the 4 antennas",
        ),
    ],
)
def test_simulation_errors_teach(call, message):
    with pytest.raises(ValueError, match=message):
        call(network(num_users=5))
