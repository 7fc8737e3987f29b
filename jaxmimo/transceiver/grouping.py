r"""User grouping: which of the fixed prebeamformers suits a user's covariance best.

A group is chosen by the chordal distance between the user's eigenvectors and the group's beams,
$$\|U U^H - B B^H\|_F^2 = r + b - 2 \|U^H B\|_F^2,$$
where both have orthonormal columns. Only the last term depends on the group.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Inexact, Int

from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import nonnegative
from jaxmimo.transceiver.prebeamforming import beams_per_group


@checked()
def beam_powers(
    vectors: Inexact[Array, "beams eigenvectors"], kept: Bool[Array, " eigenvectors"]
) -> Float[Array, " beams"]:
    r"""Power $\|U^H b_p\|^2$ of every beam in the span of a user's eigenvectors.

    Args:
        vectors: Eigenvectors in the basis of the beams, one in each column.
        kept: Which of them count, by a rank rule.
    """
    return jnp.sum(jnp.where(kept[None], jnp.abs(vectors) ** 2, 0.0), axis=1)


@checked(beam_powers=nonnegative)
def captured(beam_powers: Float[Array, " beams"], num_groups: int) -> Float[Array, " groups"]:
    r"""$\|U^H B_g\|_F^2$ of every group along one direction.

    Raises:
        ValueError: If there are more groups than beams.
    """
    beams = beams_per_group(beam_powers.size, num_groups)
    return beam_powers[: num_groups * beams].reshape(num_groups, beams).sum(1)


def nearest_group(captured: Float[Array, " groups"]) -> Int[Array, ""]:
    """Group of least distance along one direction; the first of equals.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eqs. (10)-(11).
    """
    return jnp.argmax(captured).astype(jnp.int32)


@checked(azimuth=nonnegative, elevation=nonnegative)
def per_direction(
    azimuth: Float[Array, " azimuth_groups"], elevation: Float[Array, " elevation_groups"]
) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """2D-FQUG: the nearest group in azimuth and that in elevation, each by itself.

    Args:
        azimuth: What the groups in azimuth capture of one user, as `captured` gives it.
        elevation: Likewise in elevation.

    Returns:
        Indices of both groups, from 0.

    References:
        Fan et al., eqs. (10)-(11).
    """
    return nearest_group(azimuth), nearest_group(elevation)


@checked(azimuth=nonnegative, elevation=nonnegative)
def overall(
    azimuth: Float[Array, " azimuth_groups"], elevation: Float[Array, " elevation_groups"]
) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """The group nearest in both directions at once, from the Kronecker product of eigenvectors.

    Eigenvectors and beams of both directions being Kronecker products, so is what is captured: the
    largest product of two factors is the product of the largest, and this differs from
    `per_direction` in ties only.

    Args:
        azimuth: What the groups in azimuth capture of one user, as `captured` gives it.
        elevation: Likewise in elevation.

    Returns:
        Indices of both groups, from 0.

    References:
        Fan et al., eq. (12).
    """
    best = jnp.argmax(elevation[:, None] * azimuth[None, :])
    return (best % azimuth.size).astype(jnp.int32), (best // azimuth.size).astype(jnp.int32)
