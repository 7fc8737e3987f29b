"""Powers of two-stage SLNR precoding in one realization, for several sets of counted users.

These are `transceiver.precoding.slnr_precoder` for all streams. Matrices come first and streams
last, where vector instructions run along them, and the sets share what does not depend on them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Complex, Float, Inexact, Int

from jaxmimo.core.batching import batch_stays_last
from jaxmimo.core.guards import reciprocal, reciprocal_root
from jaxmimo.core.nested_solves import solve_nested
from jaxmimo.core.small_matrices import Parts, adjoint_product, inverse, sum_of_columns
from jaxmimo.core.split import computed_once, direct_product, quadrants
from jaxmimo.systems.beamforming_3d.cell import Groups


class Chain(eqx.Module):
    """Sets of counted users of which each holds the one before it, for the streams of a cell.

    Attributes:
        groups: The users' groups, in whose beams their streams are sent.
        counted: Whether a stream's precoder counts leakage to a user.
    """

    groups: Groups
    counted: Bool[Array, "sets streams users"]

    @property
    def known(self) -> Bool[Array, "sets streams users"]:
        """Users that count, and the stream's own, who always does."""
        return self.counted | jnp.eye(self.counted.shape[-1], dtype=bool)[None]


def two_stage_powers(
    h: Complex[Array, "users azimuth_antennas elevation_antennas"], chains: Sequence[Chain]
) -> list[Float[Array, "sets streams users"]]:
    """Powers over the noise at which users receive each stream, for the sets of every chain.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, eqs. (15)-(17).
    """
    few_beams = [_few_beams(h, chain) for chain in chains]
    by_users = [chain for chain, few in zip(chains, few_beams, strict=True) if not few]
    others = iter(_by_users(h, by_users))
    return [
        _by_beams(h, chain) if few else next(others)
        for chain, few in zip(chains, few_beams, strict=True)
    ]


def _few_beams(
    h: Complex[Array, "users azimuth_antennas elevation_antennas"], chain: Chain
) -> bool:
    """Whether Gram matrices of beams, one for each set, take less than that of users for all."""
    users, groups = h.shape[0], chain.groups
    beams = (h.shape[1] // groups.azimuth_groups) * (h.shape[2] // groups.elevation_groups)
    by_beams = len(chain.counted) * (beams**3 + beams**2 * users)
    return by_beams < users**3 + users**2 * beams


def _beams_of_groups(
    h: Inexact[Array, "users azimuth_antennas elevation_antennas"],
    groups: Groups,
    order: Int[Array, "streams users"],
) -> Inexact[Array, "streams users beams"]:
    """All users' channels, in an order of each stream, in the beams that send the stream."""
    h = jnp.swapaxes(h, 1, 2)  # as draws lie in memory
    size = (1, h.shape[1] // groups.elevation_groups, h.shape[2] // groups.azimuth_groups)

    def of_user(user: Array, azimuth: Array, elevation: Array) -> Array:
        start = (user.astype(azimuth.dtype), elevation * size[1], azimuth * size[2])
        return lax.dynamic_slice(h, start, size).reshape(-1)

    of_users = jax.vmap(of_user, (0, None, None))
    return jax.vmap(of_users)(order, groups.azimuth, groups.elevation)


def _by_users(
    h: Complex[Array, "users azimuth_antennas elevation_antennas"], chains: Sequence[Chain]
) -> list[Float[Array, "sets streams users"]]:
    """Through Gram matrices of the users, those of equally long chains side by side."""
    powers: dict[int, Array] = {}
    lengths = [len(chain.counted) for chain in chains]
    for length in set(lengths):
        alike = [i for i in range(len(chains)) if lengths[i] == length]
        orders = [_order(chains[i]) for i in alike]
        grams = [_gram(h, chains[i].groups, order) for i, order in zip(alike, orders, strict=True)]
        sizes = [chains[i].known.sum(-1).astype(h.real.dtype)[None] for i in alike]
        found = _powers_by_users((Parts.joined(*grams, axis=2), jnp.concatenate(sizes, 2)))
        for i, order, each in zip(alike, orders, jnp.split(found, len(alike), 2), strict=True):
            by_place = jnp.transpose(each, (1, 2, 0))
            powers[i] = jnp.take_along_axis(by_place, jnp.argsort(order)[None], -1)
    return [powers[i] for i in range(len(chains))]


def _order(chain: Chain) -> Int[Array, "streams users"]:
    """Users in an order that makes every set the first few of them, and each stream's own first."""
    users = chain.counted.shape[-1]
    sets_without = jnp.sum(~chain.counted, 0)
    return jnp.argsort(jnp.where(jnp.eye(users, dtype=bool), -1, sets_without))


def _gram(
    h: Complex[Array, "users azimuth_antennas elevation_antennas"],
    groups: Groups,
    order: Int[Array, "streams users"],
) -> Parts:
    """Products of all users' channels in the beams of each stream, (users, users, streams)."""
    parts = [_beams_of_groups(part, groups, order) for part in (h.real, h.imag)]
    seen = jnp.concatenate(parts, axis=1)
    products = jnp.einsum("sub,svb->uvs", seen, seen, precision="highest")
    return Parts(*direct_product(*quadrants(products)))


def _by_beams(
    h: Complex[Array, "users azimuth_antennas elevation_antennas"], chain: Chain
) -> Float[Array, "sets streams users"]:
    """Through Gram matrices of the beams, where these are fewer."""
    users, known = h.shape[0], chain.known
    seen = _beams_of_groups(h, chain.groups, jnp.tile(jnp.arange(users), (users, 1)))
    weighted = known[..., None] * seen[None]
    gram = jnp.einsum("csua,sub->abcs", weighted, seen.conj(), precision="highest")
    own = jnp.diagonal(seen)[:, None, None]
    own = jnp.broadcast_to(own, (own.shape[0], 1, *known.shape[:2]))
    p = _precoders_by_beams((Parts.of(gram), Parts.of(own))).merged()[:, 0]
    gains = jnp.einsum("sub,bcs->csu", seen.conj(), p, precision="highest")
    return gains.real**2 + gains.imag**2


def _powers_of_users(
    streams: tuple[Parts, Float[Array, "1 sets *streams"]],
) -> Float[Array, "users sets streams"]:
    r"""With the Gram matrix A of users: gains are $A w$, with $w = (I + A_{CC})^{-1} e_1$.

    In C they are $e_1 - w$, and elsewhere what w leaves of right-hand sides of zero, but for the
    sign. The stream's own, of which rounding would leave nothing at low power, is summed as such.
    """
    gram, sizes = streams
    users = jnp.arange(gram.shape[0]).reshape(-1, *[1] * (len(gram.shape) - 1))
    first = jnp.broadcast_to((users == 0).astype(sizes.dtype), (len(users), *sizes.shape[1:]))
    solved = solve_nested(_plus_identity(gram), sizes, Parts(first, jnp.zeros_like(first)))
    weights = solved * (users < sizes).astype(sizes.dtype)
    own = _sum_of_rows(gram[:, :1].conj() * weights)
    norms = (weights[0].conj() * own).real - _sum_of_rows(weights.power * (users > 0))
    norms = jnp.maximum(norms, 0.0)  # rounding may leave less than nothing
    powers = jnp.concatenate([own.power[None], solved[1:].power])
    powers = powers * reciprocal(norms)[None]
    return computed_once(powers, jnp.min(sizes) >= 0)  # for who gathers users in another order


def _sum_of_rows(a: Any) -> Any:
    return jax.tree.map(lambda part: sum_of_columns(part[None])[0], a)


def _precoders_of_beams(streams: tuple[Parts, Parts]) -> Parts:
    """Precoders (beams, 1, sets, streams) from Gram matrices and the own users' channels."""
    gram, own = streams
    p = adjoint_product(inverse(_plus_identity(gram)), own)
    return p * reciprocal_root(p.power.sum(0))[None]


def _lanes_last(
    function: Callable[[Any], Any], always: Callable[[Any], Array] | None = None
) -> Callable[[Any], Any]:
    """The function with its batch kept last under `vmap`; gradients are those of its own steps."""
    mapped = jax.custom_jvp(batch_stays_last(function, first_batch_axis=2, always=always))
    mapped.defjvp(lambda primals, tangents: jax.jvp(function, primals, tangents))
    return mapped


_powers_by_users = _lanes_last(_powers_of_users, always=lambda streams: jnp.min(streams[1]) >= 0)
_precoders_by_beams = _lanes_last(_precoders_of_beams)


def _plus_identity(a: Parts) -> Parts:
    identity = jnp.eye(a.shape[0]).reshape(*a.shape[:2], *[1] * (len(a.shape) - 2))
    return Parts(a.real + identity, a.imag)
