r"""Small-scale multipath of one link in an urban street canyon, after 3GPP: clusters of rays.

Of the standard's procedure this is what a single antenna at the user and the azimuths at the AP
need: no elevations, no polarization, no movement. The uplink's angles of arrival at the AP are the
standard's angles of departure.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike
from jaxtyping import Bool, Complex, Float, Key

from jaxmimo.channel.fading import rician_amplitudes
from jaxmimo.channel.umi_street_canyon import LOS, NLOS
from jaxmimo.core.checks import require
from jaxmimo.core.contracts import checked
from jaxmimo.core.randomness import complex_normal, uniform
from jaxmimo.core.rules import Rule, angular_spread, boolean, direction, nonnegative
from jaxmimo.core.turns import cos_sin
from jaxmimo.core.units import amplitude, from_db

MAX_CLUSTERS = max(LOS.num_clusters, NLOS.num_clusters)
"""Clusters of every draw, with power or without."""
_CLUSTERS = np.arange(MAX_CLUSTERS, dtype=np.int32)

_HALF_OFFSETS = [0.0447, 0.1413, 0.2492, 0.3715, 0.5129, 0.6797, 0.8844, 1.1481, 1.5195, 2.1551]
RAY_OFFSETS = np.outer(_HALF_OFFSETS, [1.0, -1.0]).ravel()
"""Angles of the 20 rays of a cluster, for a root mean square of 1 (Table 7.5-3)."""

SUB_CLUSTER_DELAYS = np.select(
    [np.isin(np.arange(1, 21), rays) for rays in ([9, 10, 11, 12, 17, 18], [13, 14, 15, 16])],
    [1.28, 2.56],
    0.0,
)
"""Delays of the rays within the two strongest clusters, over c_DS (Table 7.5-5)."""

_WEAKEST = -2.5 * math.log(10)
"""Clusters this much below the strongest are left out: -25 dB, as a natural logarithm."""


@checked(
    los_angle=direction.shaped(""),
    los=boolean.shaped(""),
    delay_spread=nonnegative.shaped(""),
    angle_spread=angular_spread.shaped(""),
    k_factor_db=Rule(infinite=True, shape=""),
)
def draw_paths(
    key: Key[Array, ""],
    los_angle: ArrayLike,
    los: ArrayLike,
    delay_spread: ArrayLike,
    angle_spread: ArrayLike,
    k_factor_db: ArrayLike,
    *,
    num_rays: int = 20,
) -> tuple[Complex[Array, " paths"], Float[Array, " paths"], Float[Array, " paths"]]:
    r"""Draw the paths of one link: gains of unit power in all, angles, and excess delays.

    Path 0 is the direct one, of gain $\sqrt{K/(K+1)}$ with phase zero; without sight its gain is
    zero. Path $1 + nM + m$ is ray $m$ of cluster $n$, of random phase. Their number is the same
    with sight and without, so that `los` may be traced: with sight, only 12 of the 19 clusters
    have power. The powers of a draw sum to 1.

    Delays are exponential, sorted, and counted from the first; the spacings of sorted exponential
    numbers are independent and exponential, too, so nothing is sorted here:
    $$\tau_n = r_\tau\, \mathrm{DS} \sum_{j=1}^{n-1} \frac{E_j}{N - j}, \qquad
      P_n \propto e^{-\tau_n (r_\tau - 1) / (r_\tau \mathrm{DS})}\, 10^{-Z_n / 10},$$
    with $Z_n$ of 3 dB. Clusters 25 dB below the strongest are left out: they have neither gain nor
    delay. Angles are those of a Gaussian power spectrum,
    $$\varphi_n = \varphi_{LOS} \pm \frac{2\,\mathrm{ASD}}{1.4\,C_\phi}
        \sqrt{-\ln(P_n / \max P)} + \mathcal N(0, (\mathrm{ASD}/7)^2),$$
    and rays lie around them at fixed offsets, in root mean square 3 degrees with sight and 10
    without. With sight, $P_1$ includes the direct path here, all angles are turned so that the
    first cluster is in its direction, and $C_\phi$ and the delays are scaled by polynomials in K.
    The rays of the two strongest clusters have three different delays, up to 2.56 times 5 ns with
    sight and 11 ns without.

    With one ray per cluster, all of its power comes from the cluster's angle at its delay: without
    the spread inside clusters, at a twentieth of the cost.

    The standard's procedure only comes near the spreads it is given. At K = 9 dB the root mean
    square delay spread of a draw is in the mean 1.03 DS with sight and 0.96 DS without, its angle
    spread 0.96 ASD with sight; without, the rays' 10 degrees add to 1.03 ASD in the square.

    Args:
        key: Typed key; use it once.
        los_angle: $\varphi_{LOS}$, azimuth of the user from the AP's boresight [rad].
        los: Whether there is a line of sight; may be traced.
        delay_spread: DS [s].
        angle_spread: ASD [rad].
        k_factor_db: K [dB], unused without sight. The polynomials are held beyond 5 standard
            deviations of the standard's K, from -16 dB to 34 dB, where they lose their meaning.
        num_rays: $M$, rays per cluster: 20, or 1.

    Returns:
        Gains [linear amplitude], angles from boresight [rad], not wrapped, and delays beyond that
        of the first path [s]; each of shape (19 num_rays + 1,).

    Raises:
        ValueError: If `num_rays` is neither 1 nor 20, or a spread is negative or no single number.

    References:
        3GPP TR 38.901 V17.0.0, Section 7.5, steps 5-7, 10 and 11. With sight it has two sets of
        powers and does not say which of them tell the weak clusters; here it is that of eq.
        (7.5-6), without the direct path.
    """
    require(
        num_rays in (1, 20),
        f"`num_rays` must be 1 or 20, but got {num_rays!r}. The standard has offsets for 20 rays.",
    )
    real = jnp.result_type(float)
    delay_spread, angle_spread = jnp.asarray(delay_spread, real), jnp.asarray(angle_spread, real)
    los_angle, los = jnp.asarray(los_angle, real), jnp.asarray(los)
    k_factor_db = jnp.where(los, k_factor_db, 0.0)
    # Uniform and normal numbers of one key are independent.
    shares = uniform(key, (2 + num_rays, MAX_CLUSTERS))
    normals = complex_normal(key, (MAX_CLUSTERS,)) * math.sqrt(2)
    polynomial_db = jnp.clip(k_factor_db, -16.0, 34.0)

    delays, log_powers = _delays_and_powers(shares[0], normals.real, los)
    powers = jnp.exp(log_powers)
    angles = _angles(shares[1], normals.imag, log_powers, los, polynomial_db)
    delays = _select(los, LOS.delay_scaling, NLOS.delay_scaling) * delay_spread * delays
    delays = delays / jnp.where(los, _delay_polynomial(polynomial_db), 1.0)
    offsets = RAY_OFFSETS if num_rays == 20 else np.zeros(1)
    width = np.deg2rad([LOS.cluster_angle_spread, NLOS.cluster_angle_spread])
    offsets = _select(los, *width) * jnp.asarray(offsets, real)
    angles = los_angle + angle_spread * angles[:, None] + offsets[None, :]
    late = delays[:, None] + _ray_delays(powers, los, num_rays)

    direct, scattered = rician_amplitudes(jnp.where(los, from_db(k_factor_db), 0.0))
    ray = scattered * amplitude(powers / num_rays)[:, None]
    cosine, sine = cos_sin(shares[2:].T)
    late = jnp.where(powers[:, None] == 0, 0.0, late)
    return (
        _with_direct(direct + 0j, lax.complex(ray * cosine, ray * sine)),
        _with_direct(los_angle, angles),
        _with_direct(jnp.zeros((), real), late),
    )


def _delays_and_powers(
    share: Float[Array, " clusters"], normal: Float[Array, " clusters"], los: Bool[Array, ""]
) -> tuple[Float[Array, " clusters"], Float[Array, " clusters"]]:
    r"""Delays over $r_\tau$ DS, and logarithms of powers that sum to 1, of minus infinity if none.

    Clusters that do not exist have the delay of the last one.
    """
    number = jnp.where(los, LOS.num_clusters, NLOS.num_clusters)
    still = number - _CLUSTERS[1:]
    steps = jnp.where(still > 0, -jnp.log(share[1:]) / jnp.maximum(still, 1), 0.0)
    delays = jnp.concatenate([jnp.zeros_like(share[:1]), jnp.cumsum(steps)])
    neper = math.log(10) / 10
    shadowing = neper * _select(los, LOS.cluster_shadowing_std_db, NLOS.cluster_shadowing_std_db)
    slope = _select(los, LOS.delay_scaling, NLOS.delay_scaling) - 1.0
    logs = -slope * delays - shadowing * normal
    logs = jnp.where(number > _CLUSTERS, logs, -jnp.inf)
    logs = jnp.where(logs >= jnp.max(logs) + _WEAKEST, logs, -jnp.inf)
    return delays, logs - logsumexp(logs)


def _angles(
    share: Float[Array, " clusters"],
    normal: Float[Array, " clusters"],
    log_powers: Float[Array, " clusters"],
    los: Bool[Array, ""],
    k_factor_db: Float[Array, ""],
) -> Float[Array, " clusters"]:
    """Angles of the clusters from the direct path's, over ASD."""
    with_direct = jnp.logaddexp(log_powers[0], math.log(10) / 10 * k_factor_db)
    logs = log_powers.at[0].set(jnp.where(los, with_direct, log_powers[0]))
    below = jnp.max(logs) - logs
    # Clusters without power are put at the edge of those that have some.
    below = jnp.where(jnp.isinf(below), -_WEAKEST, below)
    scaling = _select(los, LOS.angle_scaling, NLOS.angle_scaling)
    scaling = scaling * jnp.where(los, _angle_polynomial(k_factor_db), 1.0)
    away = 2.0 / (1.4 * scaling) * amplitude(below)
    angles = jnp.where(share < 0.5, -away, away) + normal / 7.0
    return angles - jnp.where(los, angles[0], 0.0)


def _ray_delays(
    powers: Float[Array, " clusters"], los: Bool[Array, ""], num_rays: int
) -> Float[Array, "clusters rays"]:
    """Delays of the rays [s] beyond those of their clusters, of which two are spread."""
    if num_rays == 1:
        return jnp.zeros((MAX_CLUSTERS, 1), powers.dtype)
    second = jnp.max(jnp.where(powers < jnp.max(powers), powers, 0.0))
    spread = _select(los, LOS.cluster_delay_spread, NLOS.cluster_delay_spread)
    of_rays = spread * jnp.asarray(SUB_CLUSTER_DELAYS, powers.dtype)
    return jnp.where((powers >= second)[:, None], of_rays[None, :], 0.0)


def _delay_polynomial(k_db: Array) -> Array:
    r"""$C_\tau$, eq. (7.5-3)."""
    return 0.7705 - 0.0433 * k_db + 0.0002 * k_db**2 + 0.000017 * k_db**3


def _angle_polynomial(k_db: Array) -> Array:
    r"""$C_\phi / C_\phi^{NLOS}$, eq. (7.5-10)."""
    return 1.1035 - 0.028 * k_db - 0.002 * k_db**2 + 0.0001 * k_db**3


def _select(los: Bool[Array, ""], with_sight: float, without: float) -> Float[Array, ""]:
    return jnp.where(los, jnp.asarray(with_sight, float), jnp.asarray(without, float))


def _with_direct(direct: Array, rays: Array) -> Array:
    return jnp.concatenate([direct[None].astype(rays.dtype), rays.reshape(-1)])
