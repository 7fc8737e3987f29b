r"""Statistics of links in an urban street canyon, after 3GPP: sight, shadowing, spreads, K factor.

The numbers are those of 3GPP TR 38.901 V17.0.0, scenario UMi-Street Canyon, for users outdoors;
its versions 15.0.0 and 16.1.0 have the same. The spread of angles is that at the AP (ASD).
"""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Key

from jaxmimo.channel.geometry import distance_3d
from jaxmimo.channel.pathloss import radio_carrier
from jaxmimo.core.contracts import checked
from jaxmimo.core.guards import not_negative
from jaxmimo.core.randomness import complex_normal, uniform
from jaxmimo.core.rules import nonnegative
from jaxmimo.core.small_matrices import Parts, cholesky

LosModel = Callable[[Key[Array, ""], Float[Array, "aps users"]], Bool[Array, "aps users"]]
"""Which links have a line of sight: from (key, distance along the ground [m]) to booleans."""

LARGEST_ANGLE_SPREAD = 104.0
"""Where angle spreads at the AP are cut [degrees]."""


@dataclass(frozen=True)
class Statistics:
    r"""One column of the standard's Table 7.5-6, as far as azimuths at the AP need it.

    Pairs $(a, b)$ stand for $a \lg(1 + f_c) + b$ with $f_c$ in GHz. Lists of four are in the
    standard's order: shadow fading, K factor, delay spread, angle spread.

    Attributes:
        delay_spread_mean: Mean of $\lg(\mathrm{DS} / 1\,\mathrm{s})$.
        delay_spread_std: Its standard deviation.
        angle_spread_mean: Mean of $\lg(\mathrm{ASD} / 1^\circ)$.
        angle_spread_std: Its standard deviation.
        shadowing_std_db: Standard deviation of the shadow fading [dB].
        k_factor_mean_db: Mean of the K factor [dB].
        k_factor_std_db: Its standard deviation [dB].
        cross_correlations: Correlation coefficients of the four.
        correlation_distances: Where their correlation over the ground has fallen to 1/e [m].
        delay_scaling: $r_\tau$, delay spread of the clusters without their powers over DS.
        num_clusters: Number of clusters.
        cluster_shadowing_std_db: Per cluster shadowing $\zeta$ [dB].
        cluster_delay_spread: $c_{DS}$ [s].
        cluster_angle_spread: $c_{ASD}$ [degrees].
        angle_scaling: $C_\phi^{NLOS}$ for that number of clusters, Table 7.5-2.
    """

    delay_spread_mean: tuple[float, float]
    delay_spread_std: tuple[float, float]
    angle_spread_mean: tuple[float, float]
    angle_spread_std: tuple[float, float]
    shadowing_std_db: float
    k_factor_mean_db: float
    k_factor_std_db: float
    cross_correlations: tuple[tuple[float, ...], ...]
    correlation_distances: tuple[float, ...]
    delay_scaling: float
    num_clusters: int
    cluster_shadowing_std_db: float
    cluster_delay_spread: float
    cluster_angle_spread: float
    angle_scaling: float


LOS = Statistics(
    delay_spread_mean=(-0.24, -7.14),
    delay_spread_std=(0.0, 0.38),
    angle_spread_mean=(-0.05, 1.21),
    angle_spread_std=(0.0, 0.41),
    shadowing_std_db=4.0,
    k_factor_mean_db=9.0,
    k_factor_std_db=5.0,
    cross_correlations=(
        (1.0, 0.5, -0.4, -0.5),
        (0.5, 1.0, -0.7, -0.2),
        (-0.4, -0.7, 1.0, 0.5),
        (-0.5, -0.2, 0.5, 1.0),
    ),
    correlation_distances=(10.0, 15.0, 7.0, 8.0),
    delay_scaling=3.0,
    num_clusters=12,
    cluster_shadowing_std_db=3.0,
    cluster_delay_spread=5e-9,
    cluster_angle_spread=3.0,
    angle_scaling=1.146,
)
"""Links in line of sight."""

NLOS = Statistics(
    delay_spread_mean=(-0.24, -6.83),
    delay_spread_std=(0.16, 0.28),
    angle_spread_mean=(-0.23, 1.53),
    angle_spread_std=(0.11, 0.33),
    shadowing_std_db=7.82,
    # The standard has no K factor here; what stands for it is drawn, but multiplied by zero.
    k_factor_mean_db=0.0,
    k_factor_std_db=0.0,
    cross_correlations=(
        (1.0, 0.0, -0.7, 0.0),
        (0.0, 1.0, 0.0, 0.0),
        (-0.7, 0.0, 1.0, 0.0),
        (0.0, 0.0, 0.0, 1.0),
    ),
    correlation_distances=(13.0, 15.0, 10.0, 10.0),
    delay_scaling=2.1,
    num_clusters=19,
    cluster_shadowing_std_db=3.0,
    cluster_delay_spread=11e-9,
    cluster_angle_spread=10.0,
    angle_scaling=1.273,
)
"""Links without line of sight."""


@checked(distance_2d=nonnegative)
def los_probability(distance_2d: ArrayLike) -> Float[Array, "..."]:
    r"""Probability that a user outdoors sees the AP.

    $$P = \frac{18}{d} + e^{-d / 36} \Bigl(1 - \frac{18}{d}\Bigr), \qquad d > 18,$$

    and 1 nearer than that.

    Args:
        distance_2d: $d$ along the ground [m].

    Raises:
        ValueError: If a distance is negative or not finite.

    References:
        3GPP TR 38.901 V17.0.0, Table 7.4.2-1.
    """
    distance = jnp.asarray(distance_2d, jnp.result_type(float))
    near = 18.0 / jnp.maximum(not_negative(distance), 18.0)
    return near + jnp.exp(-distance / 36.0) * (1.0 - near)


@checked(distance_2d=nonnegative)
def umi_los(
    key: Key[Array, ""], distance_2d: Float[Array, "aps users"]
) -> Bool[Array, "aps users"]:
    """Sight by chance, with `los_probability`, independent from link to link; a `LosModel`."""
    return uniform(key, distance_2d.shape) < los_probability(distance_2d)


@checked(distance_2d=nonnegative)
def always_los(
    key: Key[Array, ""], distance_2d: Float[Array, "aps users"]
) -> Bool[Array, "aps users"]:
    """Sight of every AP; a `LosModel`, whose key goes unused."""
    del key
    return jnp.ones(distance_2d.shape, bool)


@checked(distance_2d=nonnegative)
def never_los(
    key: Key[Array, ""], distance_2d: Float[Array, "aps users"]
) -> Bool[Array, "aps users"]:
    """Sight of no AP; a `LosModel`, whose key goes unused."""
    del key
    return jnp.zeros(distance_2d.shape, bool)


class LargeScale(eqx.Module):
    """Large-scale parameters of every link.

    Attributes:
        shadowing_db: Shadow fading [dB]; **positive means more power** than the path loss tells,
            as in the standard, so the gain is `from_db(shadowing_db - path_loss_db)`.
        k_factor_db: Power of the direct path over all others [dB]; 0, and void, without sight.
        delay_spread: Root mean square spread of the delays [s].
        angle_spread: Root mean square spread of the azimuths at the AP [rad], up to 104 degrees.
    """

    shadowing_db: Float[Array, "aps users"]
    k_factor_db: Float[Array, "aps users"]
    delay_spread: Float[Array, "aps users"]
    angle_spread: Float[Array, "aps users"]


@checked(carrier_hz=radio_carrier.shaped(""))
def draw_large_scale(
    key: Key[Array, ""],
    user_positions: Float[Array, "users 2"],
    los: Bool[Array, "aps users"],
    carrier_hz: ArrayLike,
) -> LargeScale:
    r"""Draw the large-scale parameters of every link, correlated with each other and over users.

    Shadow fading, K factor, $\lg$ DS and $\lg$ ASD are jointly normal. For each AP and state of
    sight there are four independent normal fields over the ground, $\xi_p$ with correlation
    $e^{-d/\delta_p}$; the four parameters of a user at $x$ are

    $$\mu + \mathrm{diag}(\sigma)\, L\, \xi(x), \qquad L L^T = C,$$

    with the Cholesky factor of their cross-correlations. So shadow fading, the first of them, has
    exactly its own correlation distance, and the others a mixture, as in the standard. Users with
    sight of an AP and users without are independent, and so are APs. Fewer APs are the first of
    more. Carriers below 2 GHz count as 2 GHz.

    Args:
        key: Typed key; use it once.
        user_positions: Positions of the users [m]; some may be the same.
        los: Which links have a line of sight.
        carrier_hz: $f_c$ [Hz], one number.

    Raises:
        ValueError: If the carrier is not one positive number.

    References:
        3GPP TR 38.901 V17.0.0, Section 7.5 step 4 and Table 7.5-6 with its notes.
    """
    shadowing, k_factor, lg_delay, lg_angle = jnp.where(
        los[None],
        *jnp.moveaxis(_both_states(key, user_positions, los.shape[0], carrier_hz), 2, 0),
    )
    degrees = jnp.minimum(10.0**lg_angle, LARGEST_ANGLE_SPREAD)
    return LargeScale(shadowing, k_factor, 10.0**lg_delay, jnp.deg2rad(degrees))


_STATES = (LOS, NLOS)
_MIXING = np.stack([np.linalg.cholesky(np.array(s.cross_correlations)) for s in _STATES])
"""L of both states."""


def _both_states(
    key: Key[Array, ""], user_positions: Float[Array, "users 2"], aps: int, carrier_hz: ArrayLike
) -> Float[Array, "4 aps 2 users"]:
    """The four parameters of every link, with sight and without."""
    mean, std = _moments(carrier_hz)
    users = user_positions.shape[0]
    distance = distance_3d(user_positions, user_positions, 0.0)
    decay = np.array([s.correlation_distances for s in _STATES])[None, None]
    covariance = jnp.exp(-distance[:, :, None, None] / jnp.asarray(decay, distance.dtype))
    factor = cholesky(Parts(covariance, jnp.zeros_like(covariance))).real
    # What the factor adds to the diagonal, lest it be singular, must not part users at one place.
    factor = factor[jnp.argmax((distance == 0) | np.eye(users, dtype=bool), axis=1)]
    white = complex_normal(key, (aps, 4, users)) * np.sqrt(2)
    white = jnp.stack([white.real, white.imag])
    fields = jnp.einsum("kjsp,sapj->spak", factor, white, precision="highest")
    mixing = jnp.asarray(_MIXING, fields.dtype)
    mixed = jnp.einsum("sqp,spak->qask", mixing, fields, precision="highest")
    return mean[:, None, :, None] + std[:, None, :, None] * mixed


def _moments(carrier_hz: ArrayLike) -> tuple[Float[Array, "4 2"], Float[Array, "4 2"]]:
    """Means and standard deviations of the four parameters, with sight and without."""
    carrier = jnp.asarray(carrier_hz, jnp.result_type(float))
    lg_carrier = jnp.log10(1.0 + jnp.maximum(carrier, 2e9) / 1e9)
    means = [
        ((0.0, 0.0), (0.0, s.k_factor_mean_db), s.delay_spread_mean, s.angle_spread_mean)
        for s in _STATES
    ]
    stds = [
        (
            (0.0, s.shadowing_std_db),
            (0.0, s.k_factor_std_db),
            s.delay_spread_std,
            s.angle_spread_std,
        )
        for s in _STATES
    ]
    mean, std = (np.moveaxis(np.array(pairs), 0, 1) for pairs in (means, stds))
    mean, std = (jnp.asarray(pairs, lg_carrier.dtype) for pairs in (mean, std))
    return mean[..., 0] * lg_carrier + mean[..., 1], std[..., 0] * lg_carrier + std[..., 1]
