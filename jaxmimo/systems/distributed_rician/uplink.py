r"""SINR of the uplink for batches of fading realizations of one drop, along the Rician factor.

Everything lies with the realizations last. All Rician factors share the draws. For combiners in
Gram form the loop over the factors gathers the users' Gram matrices, and inversions and the rest
then run for all factors and realizations as one batch.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Complex, Float, PyTree

from jaxmimo.core.batching import replaced_where
from jaxmimo.core.small_matrices import Parts, adjoint_product, gram_matrix
from jaxmimo.rates.combined import sinr_of_products, with_lost_digits
from jaxmimo.rates.sinr import uplink_sinr
from jaxmimo.systems.distributed_rician.drop import Draws, Drop
from jaxmimo.transceiver.channel_estimation import ChannelEstimator
from jaxmimo.transceiver.combining import IN_GRAM_FORM, Combiner

LEAST_LANES = 96
"""Lanes of a piece, at least: the loops over small matrices take longer to begin than fewer."""

Estimates = Callable[[Draws, Array, Array], tuple[Parts, Complex[Array, "antennas antennas"]]]
"""Channel estimates for two Rician amplitudes, and the covariance of all users' errors."""

GramProducts = Callable[[Array, Array], tuple[Parts, Parts]]
r"""For two Rician amplitudes, $\hat H^H \hat H$ and $\hat H^H (\hat H - H)$."""


def sinr_of_draws(
    draws: Draws, combiners: tuple[Combiner, ...], estimates: Estimates
) -> Float[Array, "combiners sweep users batch"]:
    """SINR of all combiners and Rician factors."""
    in_gram_form = [combiner for combiner in combiners if combiner in IN_GRAM_FORM]
    found: dict[Combiner, Array] = {}
    if in_gram_form:
        sinr = _by_gram_matrices(draws, in_gram_form, estimates)
        found = dict(zip(in_gram_form, sinr, strict=True))
    for combiner in combiners:
        if combiner not in found:
            found[combiner] = _by_combining(draws, combiner, estimates)
    return jnp.stack([found[combiner] for combiner in combiners])


def additive_errors(
    draws: Draws, a: Array, b: Array
) -> tuple[Parts, Complex[Array, "antennas antennas"]]:
    """Estimates that err independently of the channel, as least squares does."""
    antennas, users = draws.los.shape
    identity = jnp.eye(antennas, dtype=jnp.result_type(complex))
    return draws.channel(a, b) + draws.error, users * draws.error_variance * identity


def estimates_by_link(drop: Drop, estimator: ChannelEstimator) -> Estimates:
    """Estimates by a function of one link and its statistics."""
    aps, users = drop.scattered_amplitude.shape
    antennas = drop.los.shape[0] // aps
    over_batch = jax.vmap(estimator, in_axes=(-1, -1, None, None, None), out_axes=(-1, None))
    over_users = jax.vmap(over_batch, in_axes=(1, 1, 1, -1, None), out_axes=(1, -1))
    over_aps = jax.vmap(over_users, in_axes=(0, 0, 0, -2, None), out_axes=(0, -2))

    def links(x: Parts) -> Array:
        return x.merged().reshape(aps, antennas, users, -1)

    def estimates(draws: Draws, a: Array, b: Array) -> tuple[Parts, Array]:
        h = draws.channel(a, b)
        b_of_links = b[::antennas] if b.ndim else b
        h_hat, errors = over_aps(
            links(h),
            links(h + draws.error),
            links(draws.mean(a))[..., 0],
            drop.covariance_of_scattered(b_of_links),
            draws.error_variance,
        )
        return Parts.of(h_hat.reshape(h.shape)), _block_diagonal(errors.sum(-1))

    return estimates


def _by_gram_matrices(
    draws: Draws, combiners: list[Combiner], estimates: Estimates
) -> Float[Array, "combiners sweep users batch"]:
    """SINR of combiners that have a Gram form."""
    users, batch = draws.scattered.shape[1:]
    factors = (draws.los_amplitude, draws.nlos_amplitude)
    products = _gathered(_gram_products(draws, estimates), draws)
    sinr, lost = _in_pieces(partial(sinr_of_products, combiners), *products)
    sinr = sinr.reshape(len(combiners), users, -1, batch)

    def of_factor(each: tuple[tuple[Array, Array], Array, Array]) -> Array:
        amplitudes, sinr, lost = each
        return with_lost_digits(
            sinr,
            lost,
            combiners,
            lambda: (estimates(draws, *amplitudes)[0], draws.channel(*amplitudes)),
        )

    lost = lost.reshape(-1, batch)
    sinr = jnp.moveaxis(sinr, 2, 1)

    def factor_by_factor() -> Array:
        by_factor = (factors, jnp.moveaxis(sinr, 1, 0), lost)
        return jnp.moveaxis(lax.map(of_factor, by_factor), 0, 1)

    return replaced_where(lost[:, None], factor_by_factor, sinr)


def _gathered(products: GramProducts, draws: Draws) -> tuple[Parts, Parts]:
    """Products for all Rician factors, side by side on the last axis, factor by factor."""
    users, batch = draws.scattered.shape[1:]
    sweep = draws.los_amplitude.shape[0]

    def write(i: Array, filled: tuple[Parts, Parts]) -> tuple[Parts, Parts]:
        new = products(draws.los_amplitude[i], draws.nlos_amplitude[i])
        return jax.tree.map(
            lambda whole, part: lax.dynamic_update_slice_in_dim(whole, part, i * batch, 2),
            filled,
            new,
        )

    empty = Parts.zeros((users, users, sweep * batch))
    return lax.fori_loop(0, sweep, write, (empty, empty))


def _in_pieces(function: Callable[..., PyTree[Array]], *arrays: PyTree[Array]) -> PyTree[Array]:
    """A function of arrays along their last axis, in pieces whose matrices a core's cache holds."""
    lanes = jax.tree.leaves(arrays)[0].shape[-1]
    count = max(n for n in range(1, max(1, lanes // LEAST_LANES) + 1) if lanes % n == 0)

    def of_piece(i: Array) -> PyTree[Array]:
        width = lanes // count
        return function(
            *jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, i * width, width, -1), arrays)
        )

    if count == 1:
        return function(*arrays)
    pieces = lax.map(of_piece, jnp.arange(count))
    return jax.tree.map(lambda p: jnp.moveaxis(p, 0, -2).reshape(*p.shape[1:-1], lanes), pieces)


def _gram_products(draws: Draws, estimates: Estimates) -> GramProducts:
    if draws.los_amplitude.ndim == 1 and estimates is additive_errors:
        return _shared_products(draws)

    def products(a: Array, b: Array) -> tuple[Parts, Parts]:
        h_hat = estimates(draws, a, b)[0]
        missed = h_hat - draws.channel(a, b)
        return gram_matrix(h_hat), adjoint_product(h_hat, missed)

    return products


def _shared_products(draws: Draws) -> GramProducts:
    r"""Gram matrices as polynomials in the Rician amplitudes, which all links share.

    With $H = a L + b N$ and $\hat H = H + E$ all Rician factors share the products of L, N and E;
    none but small matrices are left to be worked out for each.
    """
    users, batch = draws.scattered.shape[1:]
    los = draws.los[..., None] * jnp.ones((1, 1, batch))
    parts = Parts.joined(los, draws.scattered, draws.error, axis=1)
    # One product of all: XLA on CPUs runs small loops side by side, in each other's way.
    all_products = adjoint_product(parts, parts[:, users:])
    of_los, of_waves, of_error = (all_products[i * users : (i + 1) * users] for i in range(3))
    los_waves, los_error = of_los[:, :users], of_los[:, users:]
    waves_waves, waves_error = of_waves[:, :users], of_waves[:, users:]
    error_error = of_error[:, users:]
    los_los = gram_matrix(draws.los)[..., None]
    # Both triangles at once, for all factors: a loop that reads an array and its transpose does not
    # vectorize.
    los_waves, los_both, waves_both = (
        each + each.adjoint for each in (los_waves, los_error, waves_error)
    )

    def products(a: Array, b: Array) -> tuple[Parts, Parts]:
        gram = los_los * (a * a) + los_waves * (a * b) + waves_waves * (b * b)
        missed = los_error * a + waves_error * b + error_error
        return gram + los_both * a + waves_both * b + error_error, missed

    return products


def _by_combining(
    draws: Draws, combiner: Combiner, estimates: Estimates
) -> Float[Array, "sweep users batch"]:
    """SINR of a combiner that has no Gram form."""

    def of_factor(amplitudes: tuple[Array, Array]) -> Array:
        h = draws.channel(*amplitudes)
        h_hat, error_covariance = estimates(draws, *amplitudes)

        def of_realization(h: Array, h_hat: Array) -> Array:
            return uplink_sinr(combiner(h_hat, 1.0, error_covariance), h, 1.0, 1.0)

        return jax.vmap(of_realization, in_axes=-1, out_axes=-1)(h.merged(), h_hat.merged())

    return lax.map(of_factor, (draws.los_amplitude, draws.nlos_amplitude))


def _block_diagonal(blocks: Array) -> Array:
    """Matrix of all antennas from blocks (antennas, antennas, aps)."""
    antennas, _, aps = blocks.shape
    placed = jnp.einsum(
        "stq,qp->qspt", blocks, jnp.eye(aps, dtype=blocks.dtype), precision="highest"
    )
    return placed.reshape(aps * antennas, aps * antennas)
