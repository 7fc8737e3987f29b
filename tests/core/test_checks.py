import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.checks import (
    angle_array,
    boolean,
    carrier,
    described,
    function,
    functions,
    integer,
    integers,
    is_traced,
    plain_number,
    positive_integer,
    real_array,
    real_number,
    require,
    require_kind,
    require_memory,
)
from jaxmimo.core.covariances import covariance_array


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "`power` must be finite, but holds NaN or infinity"),
        ([1.0, np.inf], "`power` must be finite, but holds NaN or infinity"),
        (-1.0, "`power` must be at least 0, but its smallest value is -1. Give linear values"),
        (np.array([3.0, -2.5]), "`power` must be at least 0, but its smallest value is -2.5"),
        (1 + 2j, "`power` must be real, but has dtype complex128"),
        (jnp.ones(2, jnp.complex64), "`power` must be real, but has dtype complex64"),
        (None, "`power` must be a number or an array, but got None"),
        (True, "`power` must be real, but has dtype bool"),
        (10**400, "`power` must be finite, but got an integer of 401 digits"),
        (np.ma.masked_array([1.0, 2.0], [False, True]), "`power` must be plain numbers, but is a"),
        (jax.random.key(0), "`power` must be a number or an array, but got"),
        (jnp.sum, "`power` must be a number or an array, but got"),
        ("10 dB", "`power` must be real, but has dtype <U5"),
        ([[1.0], [1.0, 2.0]], "`power` must be a number or an array, but got"),
    ],
)
def test_real_array_refuses_in_one_line(value, message):
    with pytest.raises(ValueError, match=message) as error:
        inspect.unwrap(real_array)("power", value, minimum=0.0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "value", [3, 3.0, np.float64(3), np.int8(3), jnp.asarray(3), 2**70, [3, 4]]
)
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


REFUSED = {
    "integers of many digits": (
        lambda: positive_integer("count", 10**400),
        "`count` must be less than 2\\^31, but got an integer of 401 digits",
    ),
    "more than an index": (
        lambda: positive_integer("count", 2**31),
        "`count` must be less than 2\\^31, but got 2147483648",
    ),
    "no integers": (
        lambda: integers("num_aps", [1.5, 5.7]),
        "`num_aps` must be an integer, but got 1.5",
    ),
    "no sequence": (
        lambda: integers("num_aps", 3),
        "`num_aps` must be a sequence of integers, but got 3",
    ),
    "letters": (lambda: integers("num_aps", "12"), "`num_aps` must be a sequence of integers"),
    "no boolean": (lambda: boolean("random", "no"), "`random` must be True or False, but got 'no'"),
    "degrees": (
        lambda: angle_array("phase", 15.0),
        "`phase` must be at most 3.14159, but its largest value is 15. Give radians",
    ),
    "gigahertz": (
        lambda: carrier("carrier_hz", 3.5),
        "`carrier_hz` must be at least 1e[+]06, but its smallest value is 3.5. Give it in Hz",
    ),
    "zero": (lambda: plain_number("spacing", 0.0), "`spacing` must be positive, but got 0.0"),
    "infinity": (lambda: plain_number("spacing", np.inf), "`spacing` must be finite"),
    "an axis": (
        lambda: real_number("side", np.ones(1)),
        "`side` must be one number, but has shape",
    ),
    "above": (
        lambda: real_number("height", 1.0, above=1.0, remedy="Raise it."),
        "`height` must be above 1, but its smallest value is 1. Raise it",
    ),
    "a name": (
        lambda: functions("combiner", "mmse", "`mmse_combiner`"),
        "`combiner` must be a function, but is 'mmse'. Use `mmse_combiner`",
    ),
    "a class": (
        lambda: function("covariance", dict, "`uncorrelated`"),
        "`covariance` must be a function, but is the class dict",
    ),
    "an array": (
        lambda: function("covariance", np.eye(4), "`uncorrelated`"),
        "`covariance` must be a function, but is an array of dtype float64 and shape .4, 4.",
    ),
    "no functions": (
        lambda: functions("combiner", [], "`mmse_combiner`"),
        "`combiner` must hold at least one function",
    ),
    "another kind": (
        lambda: require_kind("system", jax.random.key(0), dict),
        "`system` must be a `dict`, but is",
    ),
    "too large": (
        lambda: require_memory("channels", num_aps=10**6, num_users=10**6),
        "`num_aps` x `num_users` must be less: 1000000 x 1000000 channels take 8e[+]03 GB",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_converters_refuse_in_one_line(name):
    call, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_converters_take_what_is_right():
    assert integers("num_aps", np.array([1, 5])) == (1, 5)
    assert boolean("random", np.True_) is True
    assert plain_number("spacing", np.float32(0.5)) == 0.5
    assert angle_array("phase", np.pi) == np.float32(np.pi)
    assert functions("combiner", [abs, len], "`abs`") == (abs, len)
    assert functions("combiner", abs, "`abs`") == (abs,)
    require_memory("channels", num_aps=10, num_users=10)


@pytest.mark.parametrize(
    "value",
    [np.arange(9.0).reshape(3, 3), pytest.param(10**5000, id="10**5000"), "a" * 100, "a\nb", {}],
)
def test_descriptions_are_short(value):
    text = described(value)
    assert len(text) <= 60
    assert "\n" not in text


def test_a_matrix_that_is_no_covariance():
    antenna = np.arange(8)
    correlation = 0.9 ** np.abs(antenna[:, None] - antenna[None])
    assert covariance_array("covariance", correlation).dtype == jnp.complex64
    assert covariance_array("covariance", np.ones((2, 3, 3))).shape == (2, 3, 3)
    correlation[0, 1] = correlation[1, 0] = 0.99
    correlation[0, 2] = correlation[2, 0] = 0.6
    with pytest.raises(ValueError, match=r"smallest eigenvalue is -0\.0917"):
        covariance_array("covariance", correlation)
    correlation[0, 3] = 0.0
    with pytest.raises(ValueError, match=r"must be Hermitian, but differs .* by 0\.729"):
        covariance_array("covariance", correlation)
    for value, message in (
        (np.eye(3), "must have shape .4, 4., but has shape .3, 3."),
        (np.ones(4), "must have shape .4, 4., but has shape .4,."),
        (np.full((4, 4), np.nan), "must be finite"),
        (np.eye(4, dtype=bool), "must hold numbers, but has dtype bool"),
        ("eye", "must hold numbers, but has dtype <U3"),
    ):
        with pytest.raises(ValueError, match=message):
            covariance_array("covariance", value, 4)
