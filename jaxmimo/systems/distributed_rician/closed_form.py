r"""Use-and-then-forget SE of maximum-ratio combining in one drop, in closed form.

With least-squares estimates $\hat h_k = h_k + e_k$ and channels in units of the noise,
$h_k \sim \mathcal{CN}(m_k, R_k)$, $e_k \sim \mathcal{CN}(0, I / \tau)$, the receiver that knows
means only reaches
$$\mathrm{SINR}_k = \frac{Y_k^2}{\sum_i X_{ki} - Y_k^2 + (Y_k + M/\tau) + \sum_i Y_i / \tau},$$
$$Y_k = E\|h_k\|^2 = \|m_k\|^2 + \mathrm{tr} R_k, \qquad
  X_{ki} = E|h_k^H h_i|^2 = |m_k^H m_i|^2 + m_k^H R_i m_k + m_i^H R_k m_i + \mathrm{tr} R_k R_i$$
for $i \ne k$, and $X_{kk} = Y_k^2 + 2 m_k^H R_k m_k + \mathrm{tr} R_k^2$. A power $p_k$ scales
$m_k$ by $\sqrt{p_k}$ and $R_k$ by $p_k$; pilots have it, too.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float, Key

from jaxmimo.core.checks import checked_key, require, require_kind
from jaxmimo.core.programs import kept_jit
from jaxmimo.rates.sinr import spectral_efficiency
from jaxmimo.systems.distributed_rician.drop import Drop, draw_drop
from jaxmimo.systems.distributed_rician.system import DistributedRician


class MaximumRatioDrop(eqx.Module):
    """What decides the closed form in a drop, per watt of each user's power.

    Attributes:
        gain: $Y_k$, over the noise [1/W].
        coupling: $X_{ki}$ without $Y_k^2$ on the diagonal [1/W^2].
        antennas: M.
        pilot_length: Symbols of a pilot.
    """

    gain: Float[Array, " users"]
    coupling: Float[Array, "users users"]
    antennas: int = eqx.field(static=True)
    pilot_length: int = eqx.field(static=True)

    def se(self, power: Float[Array, " users"]) -> Float[Array, " users"]:
        """SE of each user for powers [W] of data and pilots [bit/s/Hz]."""
        errors = (jnp.sum(power * self.gain) + self.antennas) / self.pilot_length
        own = power * self.gain
        interference = power * jnp.matmul(self.coupling, power, precision="highest")
        # The errors are above zero, so nothing is 0/0 where a power is zero.
        return spectral_efficiency(own**2 / (interference + own + errors))


def maximum_ratio_drop(key: Key[Array, ""], system: DistributedRician) -> MaximumRatioDrop:
    """Statistics of the drop that `se_sample(system)(key)` simulates, whatever its powers.

    Args:
        key: Typed key of the drop.
        system: The network, with one Rician factor or one per link.

    Raises:
        ValueError: If the Rician factor is swept.

    References:
        Tominaga et al., "On the Spectral Efficiency of D-MIMO Networks under Rician Fading",
        eqs. (1)-(6), with the bound of Marzetta et al., "Fundamentals of Massive MIMO", 2016.
    """
    checked_key(key)
    require_kind("system", system, DistributedRician)
    require(
        system.sweep_length is None,
        "`rician_factor` must not be swept in a closed form. Use `jax.vmap` over its values.",
    )
    return _maximum_ratio_drop(key, system)


@kept_jit
def _maximum_ratio_drop(key: Key[Array, ""], system: DistributedRician) -> MaximumRatioDrop:
    drop_key, _ = jax.random.split(key)
    drop = draw_drop(drop_key, eqx.tree_at(lambda s: s.power, system, jnp.ones(())))
    mean, covariance = _statistics(drop)
    gain = jnp.sum(_power(mean), (0, 1)) + jnp.trace(covariance).real.sum(0)
    return MaximumRatioDrop(
        gain, _coupling(mean, covariance), drop.los.shape[0], system.pilot_length
    )


def _statistics(
    drop: Drop,
) -> tuple[Complex[Array, "aps antennas users"], Complex[Array, "antennas antennas aps users"]]:
    """Mean and covariance of every link."""
    a, b = drop.los_amplitude[0], drop.nlos_amplitude[0]
    aps, users = drop.scattered_amplitude.shape
    antennas = drop.los.shape[0] // aps
    mean = (drop.los * a).merged().reshape(aps, antennas, users)
    return mean, drop.covariance_of_scattered(b[::antennas] if b.ndim else b)


def _coupling(
    mean: Complex[Array, "aps antennas users"],
    covariance: Complex[Array, "antennas antennas aps users"],
) -> Float[Array, "users users"]:
    users = mean.shape[-1]
    direct = _power(jnp.einsum("qsk,qsi->ki", mean.conj(), mean, precision="highest"))
    mixed = jnp.einsum(
        "qsk,stqi,qtk->ki", mean.conj(), covariance, mean, precision="highest", optimize=True
    ).real
    scattered = jnp.einsum("stqk,tsqi->ki", covariance, covariance, precision="highest").real
    direct = jnp.where(jnp.eye(users, dtype=bool), 0.0, direct)
    return direct + mixed + mixed.T + scattered


def _power(value: Array) -> Array:
    return value.real**2 + value.imag**2
