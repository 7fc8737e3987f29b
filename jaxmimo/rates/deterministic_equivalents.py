r"""What random channels come to as their dimensions grow, from their covariances alone.

Everything is in units of the noise: covariances are those of $\sqrt{\rho}\, h / \sigma$. They are
real, as those of stationary arrays are in the basis of `prebeamforming.beam_covariance`, and
Kronecker products of one in azimuth and one in elevation.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from jaxmimo.core.conjugate_gradients import solve_positive
from jaxmimo.core.contracts import checked
from jaxmimo.core.fixed_point import anderson
from jaxmimo.core.guards import reciprocal_root
from jaxmimo.core.rules import nonnegative
from jaxmimo.core.scaling import binary_scale
from jaxmimo.core.small_matrices import symmetric_inverse


class KroneckerCovariances(eqx.Module):
    r"""Real covariances $\Theta_s = A_s \otimes E_s$ of the users' effective channels.

    Attributes:
        azimuth: $A_s$.
        elevation: $E_s$.
    """

    azimuth: Float[Array, "users azimuth_beams azimuth_beams"]
    elevation: Float[Array, "users elevation_beams elevation_beams"]

    def weighted_sum(self, weights: Float[Array, " users"]) -> Float[Array, "beams beams"]:
        r"""$\sum_s w_s \Theta_s$."""
        beams = self.azimuth.shape[1] * self.elevation.shape[1]
        weighted = weights[:, None, None] * self.azimuth
        total = jnp.einsum("sij,sab->iajb", weighted, self.elevation, precision="highest")
        return total.reshape(beams, beams)

    def traces(self, matrix: Float[Array, "beams beams"]) -> Float[Array, " users"]:
        r"""$\mathrm{tr}(\Theta_s M)$ of a symmetric matrix."""
        split = (self.azimuth.shape[1], self.elevation.shape[1])
        m = matrix.reshape(*split, *split)
        reduced = jnp.einsum("iajb,sab->sij", m, self.elevation, precision="highest")
        return jnp.sum(reduced * self.azimuth, (1, 2))


@checked(counted=nonnegative)
def slnr_powers(
    covariances: KroneckerCovariances,
    counted: Float[Array, " users"],
    own: Array,
) -> Float[Array, " users"]:
    r"""Power at which every user receives the SLNR-precoded stream of one user, in the large limit.

    With $T = (I + \sum_{s \in \mathcal T} \Theta_s / (1 + \delta_s))^{-1}$, where
    $\delta_s = \mathrm{tr}(\Theta_s T)$ is its fixed point and $\mathcal T$ are the users whose
    channels the precoder of user u knows, and with $T' = T'(\Theta_u)$, the derivative of $T$
    along $-\Theta_u$,
    $$\lambda = \frac{1}{\mathrm{tr}(T')}, \qquad
      \text{power at } k = \lambda \begin{cases}
        \delta_u^2 & k = u \\
        \mathrm{tr}(\Theta_k T') / (1 + \delta_k)^2 & k \in \mathcal T \\
        \mathrm{tr}(\Theta_k T') & \text{else.}\end{cases}$$

    The paper has $\mathrm{tr}(\Theta_u T'(I))$ for $\mathrm{tr}(T')$, which is the same: the map
    from directions to derivatives is its own adjoint.

    A precoder may also count leakage to user s with a weight $c_s$ from 0 to 1, by the Gram matrix
    $I + \sum_s c_s h_s h_s^H$. Then $c_s \Theta_s$ and $c_s \delta_s$ stand for $\Theta_s$ and
    $\delta_s$ in $T$, and $c_k \delta_k$ for $\delta_k$ in the last two lines, which are then one.

    Args:
        covariances: $\Theta_s$ of all users in the beams of u's group, over the noise.
        counted: One for users in $\mathcal T$, else zero, or weights between; u's own entry counts
            as zero.
        own: u.

    Returns:
        Powers over the noise; zero if user u has no channel in these beams.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, Theorem 1 and eqs. (48)-(58); Hoydis, ten Brink, Debbah,
        "Massive MIMO in the UL/DL of cellular networks", 2013, Theorems 1 and 2.
    """
    is_own = jnp.arange(counted.size) == own
    counted = jnp.where(is_own, 0.0, counted)
    damping = counted * jnp.exp(-log_fixed_point(covariances, counted))
    t = _resolvent(covariances, damping)
    delta = covariances.traces(t)
    # Along the own covariance in units of its size, whose square may leave the range.
    size = binary_scale(_total(covariances)[own])
    derivative = _derivative(covariances, t, damping, is_own / size)
    # Where powers exceed the noise by more than the precision resolves, rounding has its own sign.
    norm = jnp.maximum(jnp.trace(derivative), 0.0)
    leaked = jnp.maximum(covariances.traces(derivative), 0.0)
    # Ratios of roots, since the product of two powers may leave the range of single precision.
    scale = reciprocal_root(norm)
    leaked = leaked * scale * scale / (1.0 + counted * delta) ** 2
    return jnp.where(is_own, (delta * scale / jnp.sqrt(size)) ** 2, leaked)


@jax.custom_jvp
def log_fixed_point(
    covariances: KroneckerCovariances, counted: Float[Array, " users"]
) -> Float[Array, " users"]:
    r"""$\log(1 + c_s \delta_s)$ with the weights c of counting: zero for users that do not count.

    In this form the map contracts everywhere: row s of its Jacobian sums up to less than
    $\delta_s / (1 + \delta_s)$. Errors of strong and weak users weigh alike. The iteration starts
    at the limit of strong noise. The gradient is that of the implicit function,
    $d\delta = (I - J)^{-1} \partial\delta$.
    """

    def step(x: Array) -> Array:
        # Accelerated steps may leave the range of x, and rounding that of traces.
        damping = counted * jnp.exp(-jnp.maximum(x, 0.0))
        delta = covariances.traces(_resolvent(covariances, damping))
        return jnp.log1p(counted * jnp.maximum(delta, 0.0))

    strong_noise = jnp.log1p(counted * _total(covariances))
    return anderson(step, strong_noise, tolerance=_tolerance(strong_noise.dtype))


@log_fixed_point.defjvp
def _log_fixed_point_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x = log_fixed_point(*primals)

    def once(covariances: KroneckerCovariances, counted: Array) -> Array:
        return counted * covariances.traces(_resolvent(covariances, counted * jnp.exp(-x)))

    _, change = jax.jvp(once, primals, tangents)
    covariances, counted = primals
    damping = counted * jnp.exp(-x)
    t = _resolvent(covariances, damping)
    return x, _contracted(covariances, t, damping, jnp.exp(-x) * change)


def _derivative(
    covariances: KroneckerCovariances,
    t: Float[Array, "beams beams"],
    damping: Float[Array, " users"],
    direction: Float[Array, " users"],
) -> Float[Array, "beams beams"]:
    r"""Derivative of $T$ along $-\sum_s w_s \Theta_s$ for weights w.

    $T' = T (S + \sum_s c_s^2 \delta'_s \Theta_s) T$ with $c_s = 1 / (1 + \delta_s)$, where
    $\delta'_s = \mathrm{tr}(\Theta_s T')$.
    """
    first = covariances.traces(_between(t, covariances.weighted_sum(direction)))
    response = _contracted(covariances, t, damping, damping * first)
    return _between(t, covariances.weighted_sum(direction + damping * response))


def _contracted(
    covariances: KroneckerCovariances,
    t: Float[Array, "beams beams"],
    damping: Float[Array, " users"],
    right: Float[Array, " users"],
) -> Float[Array, " users"]:
    r"""$(I - C W C)^{-1}$ times a vector, $W_{st} = \mathrm{tr}(\Theta_s T \Theta_t T)$.

    C is the diagonal matrix of damping. The matrix is positive definite, since the fixed point
    contracts, and its eigenvalues but for a few are close to one: conjugate gradients need fewer
    traces than W has columns.
    """

    def apply(x: Array) -> Array:
        response = covariances.traces(_between(t, covariances.weighted_sum(damping * x)))
        return x - damping * response

    return solve_positive(apply, right, tolerance=_tolerance(right.dtype))


def _between(t: Float[Array, "n n"], a: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """`T A T`."""
    return jnp.matmul(t, jnp.matmul(a, t, precision="highest"), precision="highest")


def _resolvent(
    covariances: KroneckerCovariances, weights: Float[Array, " users"]
) -> Float[Array, "beams beams"]:
    r"""$(I + \sum_s w_s \Theta_s)^{-1}$."""
    total = covariances.weighted_sum(weights)
    return symmetric_inverse(total + jnp.eye(total.shape[0]))


def _tolerance(dtype: jnp.dtype) -> float:
    """Residual at which iterations stop; 5e-4 in single precision, whose last step divides it."""
    return 4096 * float(jnp.finfo(dtype).eps)


def _total(covariances: KroneckerCovariances) -> Float[Array, " users"]:
    return jnp.trace(covariances.azimuth, axis1=1, axis2=2) * jnp.trace(
        covariances.elevation, axis1=1, axis2=2
    )
