"""Anderson acceleration against solutions and against plain iteration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo.core.fixed_point import anderson

TOLERANCE = 1e-10


def linear(seed, radius, size=6):
    """A contraction x -> A x + b of that spectral norm, and its fixed point."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(size, size))
    a *= radius / np.linalg.norm(a, 2)
    b = rng.normal(size=size)
    return a, b, np.linalg.solve(np.eye(size) - a, b)


def crowded(strength=1e4, users=8, beams=8):
    """The map of SLNR precoding with as many users as beams: it contracts slowly."""
    gains = strength * np.random.default_rng(0).exponential(size=(users, beams))

    def step(x):
        disturbed = 1.0 + jnp.exp(-x) @ jnp.asarray(gains, x.dtype)
        return jnp.log1p(jnp.sum(jnp.asarray(gains, x.dtype) / disturbed[None], 1))

    return step, np.log1p(gains.sum(1))


def counted(step):
    """The map, and a list that gains an entry each time it is run."""
    runs = []

    def counting(x):
        jax.debug.callback(lambda: runs.append(None))
        return step(x)

    return counting, runs


def plain_steps(step, start, tolerance):
    x, step = start, jax.jit(step)
    for count in range(1, 20_000):
        following = np.asarray(step(x))
        if np.abs(following - x).max() <= tolerance:
            return count, following
        x = following
    raise AssertionError("no fixed point")


@pytest.mark.parametrize("radius", [0.0, 0.5, 0.9, 0.99])
def test_linear_contractions_reach_their_fixed_point(radius):
    a, b, expected = linear(1, radius)
    with jax.enable_x64(True):
        run = jax.jit(lambda x: anderson(lambda x: a @ x + b, x, tolerance=TOLERANCE))
        found = run(jnp.zeros(6))
    # A residual of the tolerance leaves an error of up to that over 1 - radius.
    np.testing.assert_allclose(found, expected, rtol=0, atol=10 * TOLERANCE / (1 - radius))


def test_a_slow_nonlinear_map_takes_a_fraction_of_the_plain_steps():
    step, start = crowded()
    with jax.enable_x64(True):
        counting, runs = counted(step)
        found = jax.jit(lambda x: anderson(counting, x, tolerance=TOLERANCE))(jnp.asarray(start))
        jax.effects_barrier()
        plain, expected = plain_steps(step, start, TOLERANCE)
        residual = np.abs(np.asarray(step(found) - found)).max()
    assert residual <= TOLERANCE, residual
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert plain > 100, plain
    assert len(runs) < plain / 4, (len(runs), plain)


def test_single_precision_reaches_its_own_tolerance():
    step, start = crowded()
    counting, runs = counted(step)
    tolerance = float(jnp.finfo(jnp.float32).eps ** 0.6)
    found = jax.jit(lambda x: anderson(counting, x, tolerance=tolerance))(
        jnp.asarray(start, jnp.float32)
    )
    jax.effects_barrier()
    assert found.dtype == jnp.float32
    residual = np.abs(np.asarray(step(found) - found)).max()
    assert residual <= 2 * tolerance, (residual, tolerance)
    assert len(runs) < 300, len(runs)


@pytest.mark.parametrize("most", [1, 2, 17])
def test_what_has_no_fixed_point_ends_after_the_most_steps(most):
    counting, runs = counted(lambda x: x + 1.0)
    run = jax.jit(lambda x: anderson(counting, x, tolerance=1e-3, max_steps=most))
    found = run(jnp.arange(3.0))
    jax.effects_barrier()
    assert len(runs) == most
    np.testing.assert_allclose(found, np.arange(3.0) + most)


def test_a_fixed_point_to_start_from_takes_one_step():
    a, b, expected = linear(2, 0.9)
    with jax.enable_x64(True):
        counting, runs = counted(lambda x: a @ x + b)
        found = jax.jit(lambda x: anderson(counting, x, tolerance=TOLERANCE))(jnp.asarray(expected))
        jax.effects_barrier()
    assert len(runs) == 1
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_each_element_of_a_vmap_ends_as_it_would_alone():
    """Maps that need few and many steps side by side."""
    maps = [linear(3, radius) for radius in (0.1, 0.9, 0.99)]
    a, b, expected = (np.stack(each) for each in zip(*maps, strict=True))

    def solved(a, b):
        return anderson(lambda x: a @ x + b, jnp.zeros(6), tolerance=TOLERANCE)

    with jax.enable_x64(True):
        together = jax.jit(jax.vmap(solved))(a, b)
        alone = jax.jit(solved)
        np.testing.assert_allclose(together, expected, atol=1e-7)
        for i in range(3):
            np.testing.assert_allclose(together[i], alone(a[i], b[i]), rtol=0, atol=1e-7)
