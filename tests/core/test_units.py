import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.units import from_db, to_db


@pytest.mark.parametrize(
    ("linear", "db"), [(1.0, 0), (10.0, 10), (0.001, -30.0), (2.0, 3.01029995664)]
)
def test_known_values(linear, db):
    np.testing.assert_allclose(from_db(db), linear, rtol=1e-6)
    np.testing.assert_allclose(to_db(linear), db, atol=1e-5)


def test_round_trip_in_double_precision():
    with jax.enable_x64(True):
        db = np.linspace(-200, 200, 41)
        np.testing.assert_allclose(to_db(from_db(db)), db, rtol=1e-13, atol=1e-13)


def test_limits():
    assert from_db(-jnp.inf) == 0
    assert to_db(0.0) == -jnp.inf
