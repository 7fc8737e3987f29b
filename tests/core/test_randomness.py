import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jax.extend.random import threefry_2x32 as jax_threefry_2x32
from scipy import stats

from jaxmimo.core import randomness
from jaxmimo.core.randomness import complex_normal, split_complex_normal, threefry_2x32, uniform

LEAST_P_VALUE = 5.7e-7  # that of five standard errors
NUMBERS = 2**20

jitted_normal = jax.jit(complex_normal, static_argnums=1)
jitted_uniform = jax.jit(uniform, static_argnums=1)


@pytest.fixture(scope="module")
def draw():
    return np.asarray(jitted_normal(jax.random.key(1), (NUMBERS,))).astype(np.complex128)


# The block cipher


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_published_vectors_of_random123(counter, key, expected):
    words = [np.uint32(word) for word in (*key, *counter)]
    assert tuple(int(word) for word in threefry_2x32(*words)) == expected
    by_jax = jax_threefry_2x32(np.asarray(words[:2]), np.asarray(words[2:]))
    assert tuple(int(word) for word in by_jax) == expected


def test_threefry_equals_that_of_jax_for_many_counters():
    words = np.random.default_rng(0).integers(2**32, size=(2, 1000), dtype=np.uint32)
    key = jax.random.key_data(jax.random.key(7))
    ours = np.concatenate(threefry_2x32(key[0], key[1], words[0], words[1]))
    np.testing.assert_array_equal(ours, jax_threefry_2x32(key, words.ravel()))


# The numbers, from their definition


def by_definition(key, count):
    """Box-Muller in float64, on the words of JAX's own Threefry."""
    counters = np.stack([np.full(count, randomness._STREAM), np.arange(count, dtype=np.uint32)])
    words = jax_threefry_2x32(jax.random.key_data(key), counters.ravel())
    phase, radius = np.asarray(words).reshape(2, count) / 2**32
    return np.sqrt(-np.log(radius + 2**-33)) * np.exp(2j * np.pi * phase)


@pytest.mark.parametrize(("x64", "dtype"), [(False, np.complex64), (True, np.complex128)])
def test_both_precisions_draw_the_numbers_of_the_definition(x64, dtype):
    key = jax.random.key(11)
    with jax.enable_x64(x64):
        numbers = np.asarray(jitted_normal(key, (100, 1000)))
    assert numbers.dtype == dtype
    expected = by_definition(key, 100_000).reshape(100, 1000)
    # A word near 1 is rounded to 24 bits, which moves the smallest moduli.
    np.testing.assert_allclose(abs(numbers) ** 2, abs(expected) ** 2, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(numbers, expected, atol=1e-4)
    assert np.mean(abs(numbers - expected)) < 3e-7


def test_double_precision_fills_all_digits():
    with jax.enable_x64(True):
        numbers = np.asarray(jitted_normal(jax.random.key(11), (10_000,)))
    phase = np.angle(numbers) / (2 * np.pi)
    low_bits = (phase * 2**40) % 1  # below the 32 bits that single precision starts from
    assert stats.kstest(low_bits, "uniform").pvalue > LEAST_P_VALUE


@pytest.mark.parametrize("x64", [False, True])
def test_extreme_words_give_finite_numbers(x64, monkeypatch):
    for word in (0, 2**31 - 1, 2**31, 2**32 - 1):
        words = lambda *_, word=word: (jnp.full((1, 2, 1), word, jnp.uint32),) * 2  # noqa: E731
        monkeypatch.setattr(randomness, "threefry_2x32", words)
        with jax.enable_x64(x64):
            assert np.all(np.isfinite(complex_normal(jax.random.key(0), (1, 1))))


# The law


def test_moments(draw, assert_mean):
    power = abs(draw) ** 2
    assert_mean(draw.real, 0, largest_error=1e-3)
    assert_mean(draw.imag, 0, largest_error=1e-3)
    assert_mean(draw.real**2, 1 / 2, largest_error=1e-3)
    assert_mean(draw.imag**2, 1 / 2, largest_error=1e-3)
    assert_mean(draw.real**4, 3 / 4, largest_error=3e-3)  # kurtosis 3
    assert_mean(draw.imag**4, 3 / 4, largest_error=3e-3)
    assert_mean((draw**2).real, 0, largest_error=1e-3)
    assert_mean((draw**2).imag, 0, largest_error=1e-3)
    assert_mean(power, 1, largest_error=1e-3)
    assert_mean(power**2, 2, largest_error=5e-3)


@pytest.mark.parametrize(
    ("part", "law"),
    [
        (np.real, stats.norm(scale=np.sqrt(0.5))),
        (np.imag, stats.norm(scale=np.sqrt(0.5))),
        (lambda z: abs(z) ** 2, stats.expon()),
        (np.angle, stats.uniform(-np.pi, 2 * np.pi)),
    ],
    ids=["real", "imag", "power", "phase"],
)
def test_distribution(draw, part, law):
    assert stats.kstest(part(draw), law.cdf).pvalue > LEAST_P_VALUE


@pytest.mark.parametrize("sigmas", [3.0, 3.5, 4.0])
def test_tails(draw, sigmas):
    parts = np.concatenate([draw.real, draw.imag])
    for tail, chance, count in (
        (parts > sigmas * np.sqrt(0.5), stats.norm.sf(sigmas), parts.size),
        (parts < -sigmas * np.sqrt(0.5), stats.norm.sf(sigmas), parts.size),
        (abs(draw) ** 2 > sigmas**2 / 1.5, np.exp(-(sigmas**2) / 1.5), draw.size),
        (abs(draw) ** 2 < 1e-4 * sigmas, 1e-4 * sigmas, draw.size),
    ):
        assert chance * count > 20
        assert stats.binomtest(int(tail.sum()), count, chance).pvalue > LEAST_P_VALUE


# Independence


def assert_uncorrelated(a, b):
    features = [
        [z.real, z.imag, abs(z) ** 2 - 1, (z**2).real, (z**2).imag, np.cos(5 * np.angle(z))]
        for z in (a, b)
    ]
    first, second = (np.array([f / f.std() for f in parts]) for parts in features)
    correlations = first @ second.T / a.size
    assert 1 / np.sqrt(a.size) < 0.002
    assert np.max(abs(correlations)) * np.sqrt(a.size) < 5, correlations


@pytest.mark.parametrize("lag", [1, 2, 3, 64, 1024])
def test_neighbouring_numbers_are_independent(draw, lag):
    assert_uncorrelated(draw[:-lag], draw[lag:])


def test_parts_are_independent(draw, assert_mean):
    assert_mean(draw.real * draw.imag, 0, largest_error=1e-3)
    assert_mean((draw.real**2 - 0.5) * (draw.imag**2 - 0.5), 0, largest_error=2e-3)


def test_keys_give_independent_numbers():
    key = jax.random.key(5)
    keys = [key, jax.random.key(6), *(jax.random.fold_in(key, i) for i in (0, 1, 2))]
    draws = [np.asarray(jitted_normal(k, (2**19,))).astype(complex) for k in keys]
    for i, first in enumerate(draws):
        for second in draws[:i]:
            assert_uncorrelated(first, second)


def test_realizations_are_independent_at_each_place():
    key = jax.random.key(8)
    sample = jax.jit(jax.vmap(lambda i: complex_normal(jax.random.fold_in(key, i), (4,))))
    draws = np.asarray(sample(jnp.arange(2**19))).astype(complex)
    assert_uncorrelated(draws[:-1, 0], draws[1:, 0])
    assert_uncorrelated(draws[:, 0], draws[:, 3])


def test_draws_share_no_block_with_derived_keys():
    # Not even with the key of the realization whose index is the stream's own constant.
    key = jax.random.key(0)
    words = jax.random.key_data(key)
    block = threefry_2x32(words[0], words[1], randomness._STREAM, 0)
    for data in (0, int(randomness._STREAM)):
        derived = jax.random.key_data(jax.random.fold_in(key, data))
        assert not np.any(np.asarray(block) == np.asarray(derived))


# Reproducibility


@pytest.mark.parametrize("x64", [False, True])
def test_shorter_draw_is_a_prefix_and_first_row_a_suffix(x64):
    key = jax.random.key(2)
    with jax.enable_x64(x64):
        whole = np.asarray(jitted_normal(key, (20, 3, 5)))
        tolerance = {"rtol": 0, "atol": 4 * np.finfo(whole.dtype).eps}
        np.testing.assert_allclose(jitted_normal(key, (7, 3, 5)), whole[:7], **tolerance)
        np.testing.assert_allclose(jitted_normal(key, (300,)), whole.ravel(), **tolerance)
        last = jitted_normal(key, (13, 3, 5), first_row=7)
        np.testing.assert_allclose(last, whole[7:], **tolerance)
        rows = [jitted_normal(key, (1, 3, 5), first_row=row)[0] for row in range(20)]
    np.testing.assert_allclose(rows, whole, **tolerance)


def test_split_draw_holds_the_same_numbers():
    key = jax.random.key(2)
    parts = np.asarray(split_complex_normal(key, (4, 6)))
    assert parts.shape == (4, 2, 6)
    np.testing.assert_array_equal(parts[:, 0] + 1j * parts[:, 1], complex_normal(key, (4, 6)))


@pytest.mark.parametrize("x64", [False, True])
def test_loop_vmap_and_jit_draw_the_same(x64):
    keys = jax.random.split(jax.random.key(3), 5)
    with jax.enable_x64(x64):
        draw = lambda key: complex_normal(key, (8, 3))  # noqa: E731
        loop = np.stack([draw(key) for key in keys])  # not compiled
        tolerance = {"rtol": 0, "atol": 4 * np.finfo(loop.dtype).eps}
        np.testing.assert_allclose(jax.jit(jax.vmap(draw))(keys), loop, **tolerance)
        np.testing.assert_allclose(jax.lax.map(draw, keys), loop, **tolerance)


# Uniform numbers


@pytest.mark.parametrize(
    ("x64", "dtype", "bits"), [(False, np.float32, 23), (True, np.float64, 52)]
)
def test_uniform_numbers_are_cell_centres_of_their_words(x64, dtype, bits):
    key = jax.random.key(11)
    counters = np.stack([np.full(999, randomness._UNIFORM_STREAM), np.arange(999, dtype=np.uint32)])
    words = np.asarray(jax_threefry_2x32(jax.random.key_data(key), counters.ravel()))
    high, low = words.reshape(2, 999).astype(np.uint64)
    cells = ((high << np.uint64(32)) | low) >> np.uint64(64 - bits)
    with jax.enable_x64(x64):
        numbers = np.asarray(jitted_uniform(key, (333, 3)))
    assert numbers.dtype == dtype
    expected = (cells.astype(np.float64) + 0.5) * 2.0**-bits
    np.testing.assert_array_equal(numbers.ravel(), expected)


def test_uniform_numbers_in_double_precision_have_more_digits():
    single = np.asarray(jitted_uniform(jax.random.key(1), (100_000,)), np.float64)
    with jax.enable_x64(True):
        double = np.asarray(jitted_uniform(jax.random.key(1), (100_000,)))
    assert np.max(abs(double - single)) < 2**-24
    assert stats.kstest((double * 2**30) % 1, "uniform").pvalue > LEAST_P_VALUE


@pytest.mark.parametrize(("x64", "least"), [(False, 2.0**-24), (True, 2.0**-53)])
def test_uniform_numbers_are_neither_0_nor_1(x64, least, monkeypatch):
    for word, expected in ((0, least), (2**32 - 1, 1 - least)):
        words = lambda *_, word=word: (jnp.full((1,), word, jnp.uint32),) * 2  # noqa: E731
        monkeypatch.setattr(randomness, "threefry_2x32", words)
        with jax.enable_x64(x64):
            assert float(uniform(jax.random.key(0), (1,))[0]) == expected
    assert 0 < least < 1 - least < 1


def test_uniform_law(assert_mean):
    numbers = np.asarray(jitted_uniform(jax.random.key(1), (NUMBERS,)), np.float64)
    assert stats.kstest(numbers, "uniform").pvalue > LEAST_P_VALUE
    assert_mean(numbers, 1 / 2, largest_error=1e-3)
    assert_mean((numbers - 0.5) ** 2, 1 / 12, largest_error=1e-3)
    for lag in (1, 2, 3, 64):
        assert_mean((numbers[lag:] - 0.5) * (numbers[:-lag] - 0.5), 0, largest_error=1e-3)


def test_uniform_and_normal_numbers_of_a_key_are_independent(draw):
    numbers = np.asarray(jitted_uniform(jax.random.key(1), (NUMBERS,)), np.float64)
    assert_uncorrelated(draw, np.sqrt(-np.log(numbers)) * np.exp(2j * np.pi * numbers))
    words = jax.random.key_data(jax.random.key(0))
    streams = [randomness._UNIFORM_STREAM, randomness._STREAM, randomness._STREAM + np.uint32(1)]
    blocks = np.ravel([threefry_2x32(words[0], words[1], stream, 0) for stream in streams])
    assert len(set(blocks.tolist())) == 6


@pytest.mark.parametrize("x64", [False, True])
def test_uniform_numbers_depend_on_key_and_place_only(x64):
    keys = jax.random.split(jax.random.key(3), 5)
    with jax.enable_x64(x64):
        loop = np.stack([uniform(key, (8, 3)) for key in keys])  # not compiled
        np.testing.assert_array_equal(jax.jit(jax.vmap(lambda k: uniform(k, (8, 3))))(keys), loop)
        np.testing.assert_array_equal(uniform(keys[0], (5, 3)), loop[0, :5])
        np.testing.assert_array_equal(uniform(keys[0], (24,)), loop[0].ravel())
        assert uniform(keys[0], ()) == loop[0, 0, 0]
    assert uniform(keys[0], (0, 3)).shape == (0, 3)


# Errors


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (jax.random.PRNGKey(0), "`key` must be a typed key, but is an array of dtype uint32"),
        (jax.random.key(0, impl="rbg"), "`key` must be a Threefry key, .* one of rbg"),
        (0, "`key` must be a typed key, but is a value of type int. Use `key = jax.random.key"),
        (np.random.default_rng(0), "`key` must be a typed key, but is a value of type Generator"),
        (jax.random.split(jax.random.key(0), 3), r"`key` must be a single key, but has shape \(3,"),
    ],
    ids=["legacy", "rbg", "seed", "generator", "batch"],
)
def test_wrong_keys_are_refused_in_one_line(key, message, monkeypatch):
    # Past the shape checks that only the tests install.
    monkeypatch.setattr(
        randomness, "split_complex_normal", inspect.unwrap(randomness.split_complex_normal)
    )
    with pytest.raises(ValueError, match=message) as error:
        inspect.unwrap(complex_normal)(key, (3,))
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(uniform)(key, (3,))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="`shape` must have at least one axis"):
        complex_normal(jax.random.key(0), ())
    with pytest.raises(ValueError, match="`shape` must hold fewer than"):
        complex_normal(jax.random.key(0), (2**16, 2**16))
    with pytest.raises(ValueError, match="`shape` must hold fewer than"):
        uniform(jax.random.key(0), (2**16, 2**16))


def test_positions_pick_numbers_of_the_row():
    key = jax.random.key(5)
    row = complex_normal(key, (60,))
    positions = np.array([[3, 0, 59], [7, 7, 31]])
    np.testing.assert_array_equal(complex_normal(key, (2, 3), positions=positions), row[positions])


def test_exponential_of_a_word_is_accurate():
    random = np.random.default_rng(0)
    ends = np.arange(1000, dtype=np.uint32)
    powers = (2.0 ** np.arange(32)).astype(np.uint32)
    words = np.concatenate([random.integers(0, 2**32, 10**6, np.uint32), ends, ~ends, powers])
    rounded = (words.astype(np.float32) + np.float32(0.5)).astype(float)  # as in single precision
    exact = -np.log(rounded * 2.0**-32)
    found = np.asarray(randomness._exponential32(jnp.asarray(words)))
    np.testing.assert_allclose(found, exact, rtol=2e-7)
    assert found.min() == 0.0
    assert found.max() == pytest.approx(33 * np.log(2))


def test_positions_compile_under_a_map_of_length_one(capfd: pytest.CaptureFixture[str]):
    def draw(i: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(7), i)
        return complex_normal(key, (32,), positions=np.arange(32))

    jax.jit(jax.vmap(draw))(jnp.arange(1))
    assert "circular" not in capfd.readouterr().err
