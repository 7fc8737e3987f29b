"""Models that several tests of the engine simulate, some of them in other processes."""

import jax
import jax.numpy as jnp

from jaxmimo.core.randomness import complex_normal

KEY = jax.random.key(2024)


def power(key):
    """Exponential of mean 1."""
    return jnp.abs(complex_normal(key, (1,)))[0] ** 2


def rich(key):
    """Arrays of several shapes and dtypes."""
    h = complex_normal(key, (3, 4))
    return {"h": h[0], "powers": jnp.abs(h) ** 2, "outage": jnp.abs(h[0, 0]) < 0.5}


def rate(means):
    """A function of these means."""
    powers = means["powers"] - jnp.abs(means["h"][None]) ** 2
    return {"rate": jnp.log2(1 + powers), "outage": means["outage"]}
