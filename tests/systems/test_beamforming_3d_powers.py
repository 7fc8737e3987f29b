"""System 3: powers of two-stage precoding in single precision keep their digits at any level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.systems.beamforming_3d.cell import Groups
from jaxmimo.systems.beamforming_3d.two_stage import Chain, two_stage_powers

USERS, ARRAY = 10, (8, 4)


@jax.jit
def powers(h, groups, counted):
    return two_stage_powers(h, [Chain(groups, counted)])[0]


def channels(level):
    """Beams of users of which some are heard 80 dB better than others."""
    rng = np.random.default_rng(0)
    h = rng.normal(size=(USERS, *ARRAY)) + 1j * rng.normal(size=(USERS, *ARRAY))
    return level * h * 10.0 ** rng.uniform(-2, 2, size=(USERS, 1, 1))


def groups_and_sets():
    """Users in two groups; of three sets of counted ones each holds the one before it."""
    rng = np.random.default_rng(1)
    order = rng.uniform(size=(USERS, USERS))
    counted = np.stack([order < share for share in (0.3, 0.6, 1.0)])
    own = rng.integers(0, 2, USERS)
    return Groups(jnp.asarray(own), jnp.zeros(USERS, jnp.int32), 2, 1), jnp.asarray(counted)


@pytest.mark.parametrize("level", [1e-6, 1e-3, 1.0, 1e3])
def test_single_precision_is_double_precision(level):
    groups, counted = groups_and_sets()
    h = channels(level)
    single = powers(jnp.asarray(h, jnp.complex64), groups, counted)
    with jax.enable_x64(True):
        double = powers(jnp.asarray(h, jnp.complex128), groups, counted)
        assert double.dtype == np.float64
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, double, rtol=1e-4)
