"""Achievable spectral efficiencies for receivers that know statistics, not channels."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float

from jaxmimo.core.contracts import checked
from jaxmimo.core.linalg import hermitian_log2det
from jaxmimo.core.rules import semidefinite, share


@checked(covariance=semidefinite, prelog=share)
def hardening_se(
    cross: Complex[Array, "... n n"], covariance: Complex[Array, "... n n"], prelog: float | Array
) -> Float[Array, "..."]:
    r"""Use-and-then-forget bound of a user with several antennas.

    $$R = \mu \log_2 \bigl| I + C_{rs}^H (C_{rr} - C_{rs} C_{rs}^H)^{-1} C_{rs} \bigr|
        = \mu \bigl(\log_2 |C_{rr}| - \log_2 |C_{rr} - C_{rs} C_{rs}^H|\bigr)$$

    The second form, by the determinant lemma, needs no inverse.

    Args:
        cross: $C_{rs} = E\{r s^H\}$ over the unit-power symbols meant for the user.
        covariance: $C_{rr} = E\{r r^H\}$, noise included.
        prelog: $\mu$, the share of symbols that carry data.

    Returns:
        Spectral efficiency [bit/s/Hz].

    References:
        Sutton et al., Theorem 1, eq. (24).
    """
    desired = jnp.einsum("...ij,...kj->...ik", cross, cross.conj(), precision="highest")
    return prelog * (hermitian_log2det(covariance) - hermitian_log2det(covariance - desired))
