"""Powers of an insufficient cyclic prefix against a link in the time domain, and prefix lengths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxmimo.transceiver.ofdm import (
    PrefixPowers,
    cyclic_prefix_weights,
    prefix_efficiency,
    prefix_sinr,
    received_powers,
)
from tests.reference import ofdm_link as reference

SUBCARRIERS, PREFIX = 64, 8
DELAYS = {
    "covered": [0, 3, 8],
    "late": [0, 2, 9, 30],
    "early": [-5, -1, 4],
    "both": [-7, 12, 0, 8, 20, -3],
    "equal": [15, 15, -4, -4, 15],
    "wide": [-10, 54],
    "next symbol only": [-72, -64, -60],
    "previous symbol only": [80, 72, 71],
    "two symbols": [0, 80, 75],
}
RECEIVED = jax.jit(received_powers, static_argnums=3)
every_spread = pytest.mark.parametrize("delays", DELAYS.values(), ids=DELAYS)


def normal(rng, *shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / np.sqrt(2)


def amplitudes(combiners, gains, delays):
    """Amplitudes (P, paths) after the combiner of each subcarrier, with the delays' phases."""
    subcarriers = len(combiners)
    phases = np.exp(-2j * np.pi * np.outer(np.arange(subcarriers), delays) / subcarriers)
    return combiners.conj() @ gains * phases


def link(seed, delays, antennas=3):
    rng = np.random.default_rng(seed)
    gains, combiners = normal(rng, antennas, len(delays)), normal(rng, SUBCARRIERS, antennas)
    return combiners, gains, np.asarray(delays)


def powers(b, delays, prefix, subcarriers=SUBCARRIERS):
    with jax.enable_x64(True):
        found = RECEIVED(jnp.asarray(b), jnp.asarray(delays, float), prefix, subcarriers)
        return [np.asarray(array) for array in found]


# The link in the time domain


@every_spread
@pytest.mark.parametrize("prefix", [0, PREFIX, 20], ids=lambda c: f"C={c}")
def test_powers_are_those_of_the_matrices_of_the_link(delays, prefix, verified):
    if prefix == 0:  # within what is exact: -(P + C) to P + 2C, late and early P apart at most
        delays = np.clip(delays, -10, 54)
    combiners, gains, delays = link(0, delays)
    expected = reference.combined_powers(combiners, gains, delays, prefix)
    found = powers(amplitudes(combiners, gains, delays), delays, prefix)
    for one, other in zip(found, expected, strict=True):
        verified(
            "Ours, powers received with a short prefix",
            "matrices of the OFDM link",
            one,
            other,
            atol=1e-11,
        )


@pytest.mark.parametrize("delay", [-80, -64, -20, -1, 0, 5, 8, 9, 33, 72, 90])
def test_one_path_has_the_weights_of_the_link(delay):
    """Whatever the delay: up to a whole symbol of C + P samples is missed, and beyond."""
    one = np.ones((SUBCARRIERS, 1))
    desired, *others = reference.combined_powers(one, one[:1], np.array([delay]), PREFIX)
    with jax.enable_x64(True):
        weights = cyclic_prefix_weights(delay, PREFIX, SUBCARRIERS)
        found = RECEIVED(jnp.ones(1, complex), jnp.array([float(delay)]), PREFIX, SUBCARRIERS)
        np.testing.assert_allclose(found.total, 1, rtol=1e-12)
        np.testing.assert_allclose(abs(found.desired) ** 2, weights[0], atol=1e-12)
    for weight, expected in zip(weights, (abs(desired) ** 2, *others), strict=True):
        np.testing.assert_allclose(expected, weight, atol=1e-12)


@pytest.mark.parametrize("law", ["qpsk", "gaussian"])
@pytest.mark.parametrize("name", ["late", "both", "early"])
def test_random_symbols_have_these_powers(name, law, assert_mean):
    """The sum of powers over subcarriers; amplitudes by the correlation with what was sent."""
    combiners, gains, delays = link(1, DELAYS[name], antennas=1)
    desired, inter_carrier, inter_symbol = powers(
        amplitudes(combiners, gains, delays), delays, PREFIX
    )
    sent = normal(np.random.default_rng(2), 3, SUBCARRIERS, 1000)
    if law == "qpsk":
        sent = (np.sign(sent.real) + 1j * np.sign(sent.imag)) / np.sqrt(2)
    only = np.array([False, True, False])[:, None, None]
    of_this, of_others = (
        np.einsum("pm,mpt->pt", combiners.conj(), reference.received(x, gains, delays, PREFIX))
        for x in (only * sent, ~only * sent)
    )
    meant = desired[:, None] * sent[1]
    samples = [
        (abs(of_this - meant) ** 2).sum(0),
        (abs(of_others) ** 2).sum(0),
        (of_this * meant.conj()).real.sum(0),
    ]
    expected = [inter_carrier.sum(), inter_symbol.sum(), (abs(desired) ** 2).sum()]
    for sample, value in zip(samples, expected, strict=True):
        assert_mean(sample, value, largest_error=0.03 * value)


@given(seed=st.integers(0, 10_000), first=st.integers(0, PREFIX))
def test_interference_is_exactly_none_while_the_prefix_covers_the_spread(seed, first):
    rng = np.random.default_rng(seed)
    delays = jnp.asarray(rng.uniform(first, PREFIX, 5))
    b = jnp.asarray(normal(rng, 5))
    found = RECEIVED(b, delays, PREFIX, SUBCARRIERS)
    assert found.inter_carrier == 0
    assert found.inter_symbol == 0
    np.testing.assert_allclose(found.desired, b.sum(), rtol=1e-5)
    late = RECEIVED(b, delays, float(delays.max()) - 0.1, SUBCARRIERS)
    assert late.inter_symbol > 0
    early = RECEIVED(b, delays - delays.min() - 0.1, PREFIX, SUBCARRIERS)
    assert early.inter_symbol > 0


def test_sinr_is_that_of_the_links_of_all_users(verified):
    rng = np.random.default_rng(3)
    users, antennas = 3, 4
    delays = np.array([[0, 5, 12], [-6, 3, 30], [1, 2, 9]])
    gains, combiners = normal(rng, users, antennas, 3), normal(rng, users, SUBCARRIERS, antennas)
    noise = 0.3 * (abs(combiners) ** 2).sum(-1)  # (users, subcarriers)
    signal, disturbance = np.zeros((users, SUBCARRIERS)), noise.copy()
    for k in range(users):
        for i in range(users):
            desired, *others = reference.combined_powers(combiners[k], gains[i], delays[i], PREFIX)
            disturbance[k] += sum(others)
            (signal if i == k else disturbance)[k] += abs(desired) ** 2
    b = np.array(
        [
            [amplitudes(combiners[k], gains[i], delays[i]) for i in range(users)]
            for k in range(users)
        ]
    )
    with jax.enable_x64(True):
        prefixes = jnp.array([0.0, PREFIX, 20.0])
        of_senders = jax.vmap(
            lambda b, d: received_powers(b, d, prefixes, SUBCARRIERS), in_axes=(1, 0), out_axes=1
        )
        sinr = jax.jit(lambda b, d: prefix_sinr(of_senders(b, d), noise))
        found = sinr(jnp.asarray(b), jnp.asarray(delays, float))
    assert found.shape == (users, SUBCARRIERS, 3)
    verified(
        "Ours, SINR with a short cyclic prefix",
        "matrices of the OFDM link",
        found[..., 1],
        signal / disturbance,
        rtol=1e-10,
    )
    assert np.all(np.diff(np.asarray(found)[1].mean(0)) > 0)


# Prefix lengths together, delays between samples


def test_all_prefix_lengths_together_are_each_one_alone():
    rng = np.random.default_rng(4)
    b, delays = normal(rng, 2, 3, 7), rng.uniform(-20, 60, 7)
    lengths = np.array([0.0, 3.5, 17.0, 64.0])
    together = powers(b, delays, lengths)
    for index, length in enumerate(lengths):
        for one, other in zip(powers(b, delays, length), together, strict=True):
            assert one.shape == (2, 3)
            np.testing.assert_allclose(one, other[..., index], rtol=1e-12)


@given(seed=st.integers(0, 10_000))
def test_powers_are_double_sums_over_paths_in_any_order(seed):
    rng = np.random.default_rng(seed)
    b, delays = normal(rng, 6), np.round(rng.uniform(-20, 40, 6), rng.integers(-1, 2))
    late, early = np.clip((delays - 8) / 64, 0, 1), np.clip(-delays / 64, 0, 1)
    pair = np.multiply.outer(b, b.conj())
    shared = np.minimum.outer(late, late) + np.minimum.outer(early, early)
    lost = np.maximum.outer(late, late) + np.maximum.outer(early, early)
    apart = abs(np.subtract.outer(late, late)) + abs(np.subtract.outer(early, early))
    amplitude = np.sum((1 - late - early) * b)
    desired, inter_carrier, inter_symbol = powers(b, delays, 8.0)
    np.testing.assert_allclose(desired, amplitude, atol=1e-12)
    np.testing.assert_allclose(inter_symbol, (pair * shared).sum().real, atol=1e-11)
    current = (pair * (1 - lost)).sum().real
    np.testing.assert_allclose(inter_carrier, current - abs(amplitude) ** 2, atol=1e-11)
    total = (pair * (1 - apart)).sum().real
    found = abs(desired) ** 2 + inter_carrier + inter_symbol
    np.testing.assert_allclose(found, total, atol=1e-11)


@given(delay=st.floats(-200, 200), prefix=st.floats(0, 64), subcarriers=st.sampled_from([64, 100]))
def test_weights_are_shares(delay, prefix, subcarriers):
    with jax.enable_x64(True):
        desired, inter_carrier, inter_symbol = cyclic_prefix_weights(delay, prefix, subcarriers)
        e = max(delay - prefix, 0) + max(-delay, 0)
        w = max(0, 1 - e / subcarriers)
        np.testing.assert_allclose(desired, w**2, atol=1e-12)
        np.testing.assert_allclose(inter_carrier, w - w**2, atol=1e-12)
        np.testing.assert_allclose(inter_symbol, 1 - w, atol=1e-12)


def test_weights_broadcast():
    shares = cyclic_prefix_weights(np.array([-1.0, 0, 20]), np.array([[0.0], [8]]), 64)
    assert [share.shape for share in shares] == [(2, 3)] * 3
    np.testing.assert_allclose(sum(shares), 1, rtol=1e-6)
    np.testing.assert_allclose(shares[2], [[1 / 64, 0, 20 / 64], [1 / 64, 0, 12 / 64]], rtol=1e-6)


def test_efficiency():
    found = prefix_efficiency(np.array([0, 16, 64]), 64)
    np.testing.assert_allclose(found, [1, 0.8, 0.5], rtol=1e-6)


# Precision


def test_weak_interference_keeps_its_digits_in_single_precision():
    """Of a last path 50 dB down and 3 samples late: 75 dB below the signal, where the difference
    of total and desired power would have no digits."""
    rng = np.random.default_rng(5)
    b, delays = normal(rng, 5), np.array([0.0, 2, 5, 8, 11])
    b[-1] *= 10**-2.5
    exact = powers(b, delays, 8.0, 1024)
    found = RECEIVED(jnp.asarray(b), jnp.asarray(delays), 8.0, 1024)
    assert found.inter_symbol.dtype == jnp.float32
    assert exact[2] < 1e-7 * abs(exact[0]) ** 2
    np.testing.assert_allclose(found.inter_symbol, exact[2], rtol=1e-5)
    np.testing.assert_allclose(found.inter_carrier, exact[1], rtol=1e-5)


def test_many_paths_in_single_precision():
    rng = np.random.default_rng(6)
    b, delays = normal(rng, 16, 320), rng.uniform(-10, 300, 320)
    lengths = np.linspace(0, 256, 9)
    exact = powers(b, delays, lengths, 512)
    found = RECEIVED(jnp.asarray(b), jnp.asarray(delays), lengths, 512)
    for one, other in zip(found, exact, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * abs(other).max())


# Gradients and corners


def real_loss(parts, delays, prefix):
    found = received_powers(jax.lax.complex(*parts), delays, prefix, SUBCARRIERS)
    pairs = jax.tree.map(lambda leaf: leaf.reshape(2, 2, -1), found)
    return jnp.log1p(prefix_sinr(PrefixPowers(*pairs), 0.1)).sum()


SLOPES = jax.jit(jax.value_and_grad(real_loss, argnums=(0, 1, 2)))


def test_gradients():
    rng = np.random.default_rng(7)
    with jax.enable_x64(True):
        parts = tuple(jnp.asarray(rng.normal(size=(4, 5))) for _ in range(2))
        delays = jnp.array([-5.5, 1.3, 9.4, 30.2, 10.1])
        check_grads(jax.jit(real_loss), (parts, delays, jnp.array([3.1, 8.7])), order=1)


@pytest.mark.parametrize(
    "delays", [[0.0, 0, 0], [8.0, 8, 72], [-64.0, -64, 0], [500.0, -500, 0]], ids=str
)
@pytest.mark.parametrize("gain", [0.0, 1.0])
def test_gradients_are_finite_where_delays_meet_and_paths_are_lost(delays, gain):
    parts = (jnp.full((4, 3), gain), jnp.zeros((4, 3)))
    value, slopes = SLOPES(parts, jnp.asarray(delays), jnp.array([0.0, 8.0]))
    assert np.isfinite(value)
    for leaf in jax.tree.leaves(slopes):
        assert np.all(np.isfinite(leaf))


def test_what_is_not_heard_has_no_sinr():
    nothing = RECEIVED(jnp.zeros((2, 2, 3), complex), jnp.arange(3.0), 8, 64)
    np.testing.assert_array_equal(prefix_sinr(nothing, 0.0), 0)
    slope = jax.grad(lambda power: prefix_sinr(nothing._replace(inter_symbol=power), 0.0).sum())
    np.testing.assert_array_equal(slope(jnp.zeros((2, 2))), 0)


def test_vmap_and_traced_lengths():
    rng = np.random.default_rng(8)
    b, delays = jnp.asarray(normal(rng, 3, 4)), jnp.asarray(rng.uniform(-5, 30, (3, 4)))
    mapped = jax.jit(jax.vmap(lambda b, d, c: received_powers(b, d, c, 64).total))
    lengths = jnp.array([0.0, 8, 16])
    alone = [RECEIVED(b[i], delays[i], lengths[i], 64).total for i in range(3)]
    np.testing.assert_allclose(mapped(b, delays, lengths), alone, rtol=1e-5)


# Errors

AMPLITUDES, TIMES = jnp.ones((2, 3), complex), jnp.zeros(3)
NOTHING, NO_PAIRS = (
    PrefixPowers(jnp.zeros(shape, complex), jnp.zeros(shape), jnp.zeros(shape))
    for shape in ((2, 3), (2, 2))
)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: cyclic_prefix_weights(0.0, -1, 64), "`prefix_length` .* got -1"),
        (lambda: cyclic_prefix_weights(0.0, 65, 64), "`prefix_length` .* 64 samples .* got 65"),
        (lambda: cyclic_prefix_weights(0.0, 0, 0), "`num_subcarriers` .* at least 1"),
        (lambda: cyclic_prefix_weights(0.0, 0, True), "`num_subcarriers` must be an integer"),
        (lambda: cyclic_prefix_weights(np.nan, 0, 64), "`delay_samples` must be finite"),
        (
            lambda: cyclic_prefix_weights(np.zeros(2), np.ones(3), 64),
            "`prefix_length` must broadcast",
        ),
        (lambda: prefix_efficiency(np.array([3, 70]), 64), "got 70"),
        (lambda: jax.jit(lambda: prefix_efficiency(70, 64))(), "got 70"),
        (
            lambda: received_powers(AMPLITUDES, TIMES, np.array([0, 99]), 64),
            "`prefix_lengths` .* got 99",
        ),
        (lambda: received_powers(AMPLITUDES, TIMES, 0, 0), "`num_subcarriers`"),
        (
            lambda: received_powers(AMPLITUDES, jnp.zeros(4), 0, 64),
            "`delay_samples` .* shape",
        ),
        (lambda: received_powers(AMPLITUDES[:, :0], jnp.zeros(0), 0, 64), "at least one"),
        (
            lambda: received_powers(AMPLITUDES, TIMES, np.zeros((1, 1)), 64),
            "`prefix_lengths` must have shape",
        ),
        (
            lambda: received_powers(AMPLITUDES, np.array([0.0, 17, 40]), np.array([0, 4]), 16),
            r"`delay_samples` .* -16 and P \+ 2C = 16, but 17",
        ),
        (lambda: prefix_sinr(NOTHING, 1.0), "all pairs of users"),
        (lambda: prefix_sinr(NO_PAIRS, jnp.ones(3)), r"`noise` .*= \(2,\), but has shape \(3,\)"),
        (lambda: prefix_sinr(NO_PAIRS, np.nan), "`noise` must be finite"),
    ],
)
def test_errors_are_one_line(call, match):
    with pytest.raises(ValueError, match=match) as error:
        call()
    assert "\n" not in str(error.value)
