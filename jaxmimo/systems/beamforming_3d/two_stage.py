"""Powers of two-stage SLNR precoding in one realization, for several sets of counted users.

These are `transceiver.precoding.slnr_precoder` for all streams. Matrices come first and streams
last, where vector instructions run along them, and the sets share what does not depend on them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Complex, Float

from jaxmimo.core.small_matrices import (
    Parts,
    adjoint_product,
    batch_stays_last,
    inverse,
    sum_of_columns,
)
from jaxmimo.core.split import computed_once
from jaxmimo.systems.beamforming_3d.cell import Groups


def two_stage_powers(
    h: Complex[Array, "users azimuth_antennas elevation_antennas"],
    groups: Groups,
    counted: Bool[Array, "sets streams users"],
) -> Float[Array, "sets streams users"]:
    """Powers over the noise at which users receive each stream.

    Args:
        h: Beams of the users' channels over the noise.
        groups: The users' groups, in whose beams their streams are sent.
        counted: Whether a stream's precoder counts leakage to a user.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eqs. (15)-(17).
    """
    seen = _beams_of_groups(h, groups)
    known = jnp.where(counted, 1.0, jnp.eye(h.shape[0])[None])
    return (_by_users if h.shape[0] <= seen.shape[-1] else _by_beams)(seen, known)


def _beams_of_groups(
    h: Complex[Array, "users azimuth_antennas elevation_antennas"], groups: Groups
) -> Complex[Array, "streams users beams"]:
    """All users' channels in the beams that send each stream."""
    users = h.shape[0]
    azimuth_beams = h.shape[1] // groups.azimuth_groups
    elevation_beams = h.shape[2] // groups.elevation_groups

    def of_stream(azimuth: Array, elevation: Array) -> Array:
        start = (jnp.zeros_like(azimuth), azimuth * azimuth_beams, elevation * elevation_beams)
        block = lax.dynamic_slice(h, start, (users, azimuth_beams, elevation_beams))
        return block.reshape(users, -1)

    return jax.vmap(of_stream)(groups.azimuth, groups.elevation)


def _by_users(
    seen: Complex[Array, "streams users beams"], known: Float[Array, "sets streams users"]
) -> Float[Array, "sets streams users"]:
    """Through Gram matrices of the users."""
    users, always = seen.shape[1], known[0, 0, 0] >= 0
    left = jnp.concatenate([seen.real, seen.imag], axis=2)
    turned = jnp.concatenate([seen.imag, -seen.real], axis=2)
    right = jnp.concatenate([left, turned], axis=1)
    products = jnp.einsum("sub,svb->uvs", left, right, precision="highest")
    products = computed_once(products, always)
    gram = Parts(products[:, :users], products[:, users:])
    known = jnp.moveaxis(known, 2, 0)
    own = jnp.eye(seen.shape[1])[:, None]
    return jnp.transpose(_powers_by_users((gram, known, own)), (1, 2, 0))


def _by_beams(
    seen: Complex[Array, "streams users beams"], known: Float[Array, "sets streams users"]
) -> Float[Array, "sets streams users"]:
    """Through Gram matrices of the beams, where these are fewer."""
    weighted = known[..., None] * seen[None]
    gram = jnp.einsum("csua,sub->abcs", weighted, seen.conj(), precision="highest")
    own = jnp.diagonal(seen)[:, None, None]
    own = jnp.broadcast_to(own, (own.shape[0], 1, *known.shape[:2]))
    p = _precoders_by_beams((Parts.of(gram), Parts.of(own))).merged()[:, 0]
    gains = jnp.einsum("sub,bcs->csu", seen.conj(), p, precision="highest")
    return gains.real**2 + gains.imag**2


def _powers_of_users(
    streams: tuple[Parts, Float[Array, "users sets *streams"], Float[Array, "users 1 *streams"]],
) -> Float[Array, "users sets streams"]:
    r"""With the Gram matrix A of users: gains are $A w$, with $w = (I + A_{CC})^{-1} e_u$."""
    gram, known, own = streams
    # Masked as a whole, the Gram matrix is one for all sets of users.
    masked = gram[:, :, None] * (known[:, None] * known[None])
    solution = inverse(_plus_identity(masked))
    weights = Parts(*(sum_of_columns(part * own[None]) for part in (solution.real, solution.imag)))
    weights = weights * known
    gains = adjoint_product(gram[:, :, None], weights[:, None])[:, 0]
    norms = (weights.conj() * gains).real.sum(0)
    heard = norms > 0
    return gains.power * jnp.where(heard, 1.0 / jnp.where(heard, norms, 1.0), 0.0)[None]


def _precoders_of_beams(streams: tuple[Parts, Parts]) -> Parts:
    """Precoders (beams, 1, sets, streams) from Gram matrices and the own users' channels."""
    gram, own = streams
    p = adjoint_product(inverse(_plus_identity(gram)), own)
    norms = p.power.sum(0)
    heard = norms > 0
    return p * jnp.where(heard, 1.0 / jnp.sqrt(jnp.where(heard, norms, 1.0)), 0.0)[None]


def _lanes_last(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function with its batch kept last under `vmap`; gradients are those of its own steps."""
    mapped = jax.custom_jvp(batch_stays_last(function, first_batch_axis=2))
    mapped.defjvp(lambda primals, tangents: jax.jvp(function, primals, tangents))
    return mapped


_powers_by_users = _lanes_last(_powers_of_users)
_precoders_by_beams = _lanes_last(_precoders_of_beams)


def _plus_identity(a: Parts) -> Parts:
    identity = jnp.eye(a.shape[0]).reshape(*a.shape[:2], *[1] * (len(a.shape) - 2))
    return Parts(a.real + identity, a.imag)
