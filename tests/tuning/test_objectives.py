"""Objectives: their values and corners. Their gradients are in test_gradients.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.tuning import proportional_fairness, soft_min, sum_se

SE = np.array([0.5, 2.0, 4.0])


def cold_min(se):
    return soft_min(se, 0.1, jnp.asarray([0.2, 0.3, 0.5]))


def test_values():
    se = jnp.asarray(SE)
    np.testing.assert_allclose(sum_se(se), 6.5, rtol=1e-6)
    np.testing.assert_allclose(proportional_fairness(se), 4.0 ** (1 / 3), rtol=1e-6)
    expected = -0.5 * np.log(np.mean(np.exp(-SE / 0.5)))
    np.testing.assert_allclose(soft_min(se, 0.5), expected, rtol=1e-6)
    np.testing.assert_allclose(soft_min(se, 1e-4), 0.5, rtol=1e-3)
    np.testing.assert_allclose(soft_min(se, 1e4), SE.mean(), rtol=1e-3)
    np.testing.assert_allclose(soft_min(se, 0.3, jnp.asarray([0.0, 1.0, 0.0])), 2.0, rtol=1e-6)


@pytest.mark.parametrize("objective", [sum_se, proportional_fairness, cold_min])
def test_users_without_se_give_no_nan(objective):
    for se in (jnp.asarray([0.0, 1.0, 2.0]), jnp.zeros(3) + 1e-30):
        assert np.isfinite(objective(se))
        assert np.all(np.isfinite(jax.grad(objective)(se)))
