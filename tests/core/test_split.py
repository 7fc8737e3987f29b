import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxmimo.core.split import (
    WidelyLinear,
    computed_once,
    cross_products,
    direct_product,
    image_product,
    merge,
    quadrants,
    split,
)

seeds = st.integers(0, 2**32 - 1)
sizes = st.sampled_from([1, 3])  # few, as each shape compiles


@jax.jit
def widely_linear(coefficients, x):
    a, b, c, d = coefficients
    composed = WidelyLinear(a, b).after(WidelyLinear(c, d))
    return jax.vmap(composed, 1, 1)(x), merge(composed.apply_split(split(x)))


@jax.jit
def products(g, w):
    return cross_products(split(g), split(w))


@jax.jit
def there_and_back(array):
    return split(array), merge(split(array)), split(merge(split(array)))


def complex_array(rng, *shape):
    return rng.normal(size=shape) + 1j * rng.normal(size=shape)


@given(seed=seeds, rows=sizes, columns=sizes)
def test_split_and_merge_are_inverse(seed, rows, columns):
    array = jnp.asarray(complex_array(np.random.default_rng(seed), rows, columns), jnp.complex64)
    parts, whole, parts_again = there_and_back(array)
    assert parts.shape == (rows, 2, columns)
    np.testing.assert_array_equal(parts[:, 0], array.real)
    np.testing.assert_array_equal(parts[:, 1], array.imag)
    np.testing.assert_array_equal(whole, array)
    np.testing.assert_array_equal(parts_again, parts)


@given(seed=seeds, rows=sizes, columns=sizes)
def test_widely_linear_maps_are_complex_arithmetic(seed, rows, columns):
    rng = np.random.default_rng(seed)
    a, b, c, d = complex_array(rng, 4, rows)
    x = complex_array(rng, rows, columns)
    with jax.enable_x64(True):
        results = widely_linear((a, b, c, d), x)
    after_first = c[:, None] * x + d[:, None] * x.conj()
    after_both = a[:, None] * after_first + b[:, None] * after_first.conj()
    for result in results:
        np.testing.assert_allclose(result, after_both, atol=1e-12)


def test_composition_is_associative_and_not_commutative():
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        f, g, h = (WidelyLinear(*map(jnp.asarray, complex_array(rng, 2, 3))) for _ in range(3))
        left, right = f.after(g).after(h), f.after(g.after(h))
        np.testing.assert_allclose(left.direct, right.direct, atol=1e-13)
        np.testing.assert_allclose(left.image, right.image, atol=1e-13)
        assert not np.allclose(f.after(g).image, g.after(f).image)


def test_apply_split_broadcasts_over_axes_before_the_last_two():
    rng = np.random.default_rng(1)
    direct, image = complex_array(rng, 2, 5)
    x = complex_array(rng, 4, 5, 3)
    with jax.enable_x64(True):
        rows = WidelyLinear(jnp.asarray(direct)[None], jnp.asarray(image)[None])
        result = merge(rows.apply_split(split(jnp.asarray(x))))
        scalar = WidelyLinear(jnp.asarray(direct[0]), jnp.asarray(image[0]))
        np.testing.assert_allclose(scalar(jnp.asarray(2j)), 2j * (direct[0] - image[0]))
    expected = direct[:, None] * x + image[:, None] * x.conj()
    np.testing.assert_allclose(result, expected, atol=1e-13)


@given(seed=seeds, rows=sizes, users=sizes, streams=sizes)
def test_products(seed, rows, users, streams):
    rng = np.random.default_rng(seed)
    g, w = complex_array(rng, rows, users), complex_array(rng, rows, streams)
    with jax.enable_x64(True):
        parts = products(g, w)
        found = quadrants(parts)
        direct, image = np.array(direct_product(*found)), np.array(image_product(*found))
    assert parts.shape == (2 * users, 2 * streams)
    np.testing.assert_allclose(direct[0] + 1j * direct[1], g.conj().T @ w, atol=1e-12)
    np.testing.assert_allclose(image[0] + 1j * image[1], g.conj().T @ w.conj(), atol=1e-12)


def test_products_have_full_single_precision():
    rng = np.random.default_rng(2)
    g, w = rng.normal(size=(2, 256, 2, 8)).astype(np.float32)
    expected = np.einsum("rpi,rqj->piqj", g.astype(float), w.astype(float)).reshape(16, 16)
    parts = cross_products(jnp.asarray(g), jnp.asarray(w))
    np.testing.assert_allclose(parts, expected, atol=1e-4)  # TF32 errs by 1e-2


@pytest.mark.parametrize("always", [True, jnp.asarray(True)])
@pytest.mark.parametrize(
    "transform", [lambda f: f, jax.jit, jax.vmap, lambda f: jax.jit(jax.vmap(f))]
)
def test_computed_once_is_the_identity(transform, always):
    array = jnp.arange(12.0).reshape(3, 4)
    kept = transform(lambda x: computed_once(x, jnp.asarray(always)))(array)
    np.testing.assert_array_equal(kept, array)


def test_computed_once_is_the_identity_where_its_condition_is_batched():
    array = jnp.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(jax.vmap(computed_once)(array, array[:, 0] >= 0), array)


def test_computed_once_has_the_gradient_of_the_identity():
    def function(x):
        return jnp.sum(jnp.sin(computed_once(x, x[0] < 10)) * x)

    x = jnp.linspace(0.1, 1.0, 5)
    expected = jnp.sin(x) + x * jnp.cos(x)
    np.testing.assert_allclose(jax.grad(function)(x), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.grad(function))(x), expected, rtol=1e-6)
