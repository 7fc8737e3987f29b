"""How hard users are to tell apart: correlation of channel vectors, condition of the channel."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float

from jaxmimo.core.checks import require
from jaxmimo.core.contracts import checked
from jaxmimo.core.guards import reciprocal
from jaxmimo.core.rules import semidefinite
from jaxmimo.core.scaling import binary_scale
from jaxmimo.core.singular_values import singular_values
from jaxmimo.core.small_matrices import Parts, adjoint_product, cholesky


@checked(cov_x=semidefinite, cov_y=semidefinite)
@jax.jit
def vector_correlation(
    cov_x: Complex[Array, "antennas antennas"],
    cov_y: Complex[Array, "antennas antennas"],
    cross_cov: Complex[Array, "antennas antennas"],
) -> Complex[Array, ""]:
    r"""Correlation coefficient of two random vectors.

    $$\rho = \frac{\mathrm{tr}\, \Sigma_{XY}}
        {\mathrm{tr}\, (\Sigma_X^{1/2} \Sigma_Y \Sigma_X^{1/2})^{1/2}}$$

    The denominator is the nuclear norm of $F_X^H F_Y$ for any factors $F F^H = \Sigma$, computed
    from Cholesky factors: the two nested square roots would lose half of the digits.

    Args:
        cov_x: $\Sigma_X = E\{x x^H\}$, not centred: the mean of a channel belongs to it.
        cov_y: $\Sigma_Y = E\{y y^H\}$.
        cross_cov: $\Sigma_{XY} = E\{x y^H\}$.

    Returns:
        $\rho$, of modulus at most 1; 0 where a vector is zero.

    References:
        Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks under Rician Fading",
        eq. (15); Puccetti, "Measuring Linear Correlation Between Random Vectors", 2022.
    """
    # In units of the vectors, since factors of small covariances would be rounding.
    units = [binary_scale(jnp.max(jnp.abs(cov))) for cov in (cov_x, cov_y)]
    x, y = (cholesky(Parts.of(c / u)) for c, u in zip((cov_x, cov_y), units, strict=True))
    trace = jnp.trace(cross_cov) / jnp.sqrt(units[0]) / jnp.sqrt(units[1])
    return correlation_of_factors(x, y, trace)


def correlation_of_factors(
    x: Parts, y: Parts, trace: Complex[Array, "*batch"]
) -> Complex[Array, "*batch"]:
    r"""`vector_correlation` for covariances given by factors $\Sigma = F F^H$, batch axes last.

    Args:
        x: Factor of $\Sigma_X$, shape (antennas, any, *batch).
        y: Factor of $\Sigma_Y$, likewise.
        trace: $\mathrm{tr}\, \Sigma_{XY}$.
    """
    nuclear_norm = singular_values(adjoint_product(x, y)).sum(0)
    return trace * reciprocal(nuclear_norm)


@checked()
@jax.jit
def condition_number(h: Complex[Array, "antennas users"]) -> Float[Array, ""]:
    r"""Condition number $\sigma_{\max} / \sigma_{\min}$ of a channel matrix, in the 2-norm.

    Its mean over realizations is heavy-tailed where users are as many as antennas; average
    $\log_{10}$ of it, or take the median.

    Args:
        h: Channels [linear amplitude].

    Returns:
        At least 1; infinite for a singular matrix.

    References:
        Tominaga et al., eq. (17).
    """
    require(0 not in h.shape, f"`h` must not be empty, but has shape {h.shape}.")
    return condition_of(singular_values(Parts.of(h)))


def condition_of(values: Float[Array, "k *batch"]) -> Float[Array, "*batch"]:
    """Largest over smallest of singular values; infinite where the smallest is zero."""
    largest, smallest = values.max(0), values.min(0)
    singular = smallest == 0
    return jnp.where(singular, jnp.inf, largest / jnp.where(singular, 1.0, smallest))
