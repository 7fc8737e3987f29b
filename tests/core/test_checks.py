import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.checks import integer, is_traced, real_array, require


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "`power` must be finite, but holds NaN or infinity"),
        ([1.0, np.inf], "`power` must be finite, but holds NaN or infinity"),
        (-1.0, "`power` must be at least 0, but its smallest value is -1. Give linear values"),
        (np.array([3.0, -2.5]), "`power` must be at least 0, but its smallest value is -2.5"),
        (1 + 2j, "`power` must be real, but has dtype complex128"),
        (jnp.ones(2, jnp.complex64), "`power` must be real, but has dtype complex64"),
        (None, "`power` must be real, but has dtype object"),
        ("10 dB", "`power` must be real, but has dtype <U5"),
        ([[1.0], [1.0, 2.0]], "`power` must be a number or an array, but got"),
    ],
)
def test_real_array_refuses_in_one_line(value, message):
    with pytest.raises(ValueError, match=message) as error:
        inspect.unwrap(real_array)("power", value, minimum=0.0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [3, 3.0, np.float64(3), np.int8(3), jnp.asarray(3), True, [3, 4]])
def test_real_array_gives_one_dtype(value):
    array = inspect.unwrap(real_array)("power", value, minimum=0.0)
    assert array.dtype == jnp.float32
    assert not array.weak_type
    np.testing.assert_array_equal(array, np.asarray(value, float))
    with jax.enable_x64(True):
        assert inspect.unwrap(real_array)("power", value).dtype == jnp.float64


def test_real_array_takes_empty_arrays():
    assert real_array("power", np.zeros((0, 2)), minimum=0.0).shape == (0, 2)


@pytest.mark.parametrize("transform", [jax.jit, jax.grad, lambda f: lambda x: jax.vmap(f)(x[None])])
def test_tracers_pass(transform):
    value = transform(lambda x: real_array("power", x, minimum=0.0))(jnp.asarray(-1.0))
    assert value.dtype == jnp.float32


def test_is_traced():
    seen = []
    jax.jit(lambda x: seen.append(is_traced({"a": 1, "b": [x]})))(1.0)
    assert seen == [True]
    assert not is_traced({"a": 1, "b": [jnp.ones(2)]}, None, "text")


def test_require():
    require(True, "fine")
    with pytest.raises(ValueError, match=r"^not fine$"):
        require(False, "not fine")


@pytest.mark.parametrize("value", [5, np.int64(5), np.uint8(5)])
def test_integer(value):
    assert type(integer("count", value)) is int
    assert integer("count", value) == 5


@pytest.mark.parametrize("value", [5.0, True, "5", None, np.float32(5), np.True_])
def test_integer_refuses(value):
    with pytest.raises(ValueError, match="`count` must be an integer, but got"):
        integer("count", value)
