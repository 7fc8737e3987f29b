"""Ergodic rates in closed form, of precoders that do not follow the fading."""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Float

from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import semidefinite

_NODES = 96
_LEAST_ARGUMENT = 1e-9
_LARGEST_ARGUMENT = 40.0


@checked(gains=semidefinite)
def ergodic_rates(gains: Float[Array, "users streams streams"]) -> Float[Array, " users"]:
    r"""Ergodic rate of each user under Rayleigh fading and fixed precoders, without approximation.

    Precoders $a_i$ that know covariances only reach user k with gains $y_i = h_k^H a_i$, which are
    jointly Gaussian with covariance $C_k$, $[C_k]_{ij} = a_i^H R_k a_j$. Since
    $\ln(1 + x) = \int_0^\infty t^{-1} e^{-t} (1 - e^{-tx})\, dt$,
    $$E \log_2(1 + \mathrm{SINR}_k) = \frac{1}{\ln 2} \int_0^\infty \frac{e^{-t}}{t}
      \left( \frac{1}{\det(I + t C_k^{(k)})} - \frac{1}{\det(I + t C_k)} \right) dt,$$
    where $C_k^{(k)}$ leaves out stream k. Eliminating row k last, both determinants are products of
    the same pivots. In $\ln t$, the trapezoidal rule converges exponentially; its error is below
    1e-8.

    Args:
        gains: $C_k$ over the noise power, real; stream k is that of user k.

    Returns:
        Rates [bit/s/Hz].
    """
    users = gains.shape[0]
    own_last = (np.arange(users)[:, None] + 1 + np.arange(users)[None, :]) % users
    user = np.arange(users)[:, None, None]
    ordered = gains[user, own_last[:, :, None], own_last[:, None, :]]
    total = 1.0 + jnp.trace(gains, axis1=1, axis2=2)
    lowest = np.log(_LEAST_ARGUMENT) - jnp.log(total)
    width = (np.log(_LARGEST_ARGUMENT) - lowest) / (_NODES - 1)
    t = jnp.exp(lowest[:, None] + width[:, None] * np.arange(_NODES)[None])
    scaled = jnp.moveaxis(ordered, 0, -1)[..., None] * t[None, None]
    pivots = _pivots(scaled + jnp.eye(users)[:, :, None, None])
    others = jnp.exp(-jnp.sum(jnp.log(pivots[:-1]), 0))
    signal = others * (1.0 - 1.0 / pivots[-1])
    return width * jnp.sum(jnp.exp(-t) * signal, -1) / np.log(2.0)


def _pivots(a: Float[Array, "n n *batch"]) -> Float[Array, "n *batch"]:
    """Pivots of the elimination of symmetric matrices whose smallest eigenvalue is at least 1."""

    def eliminate(a: Array, p: Array) -> tuple[Array, Array]:
        column = lax.dynamic_index_in_dim(a, p, 1, keepdims=False)
        pivot = jnp.maximum(lax.dynamic_index_in_dim(column, p, 0, keepdims=False), 1.0)
        return a - column[:, None] * (column / pivot[None])[None], pivot

    return lax.scan(eliminate, a, jnp.arange(a.shape[0]))[1]
