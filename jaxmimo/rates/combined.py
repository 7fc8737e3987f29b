r"""SINR after MR, ZF and MMSE combining from Gram matrices, and from channels where these fail.

Channels are in units of the noise, so that powers and noise are one. Batch axes are last.
"""

from collections.abc import Callable, Sequence
from functools import reduce

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float

from jaxmimo.core.batching import replaced_where
from jaxmimo.core.small_matrices import Parts, adjoint_product
from jaxmimo.rates.sinr import sinr_of_gains
from jaxmimo.transceiver.combining import (
    IN_GRAM_FORM,
    REGULARIZATION,
    Combiner,
    regularized_dual,
)


def sinr_of_products(
    combiners: Sequence[Combiner], gram: Parts, error: Parts
) -> tuple[Float[Array, "combiners users *batch"], Bool[Array, " *batch"]]:
    r"""SINR of combiners that have Gram forms, and where rounding may have changed one of them.

    Args:
        combiners: Keys of `IN_GRAM_FORM`.
        gram: $\hat H^H \hat H$ (users, users, *batch).
        error: $\hat H^H (\hat H - H)$, likewise.
    """
    forms = [IN_GRAM_FORM[combiner](gram, error, 1.0) for combiner in combiners]
    sinr = jnp.stack([sinr_of_gains(gains, norms) for gains, norms, _ in forms])
    nowhere = jnp.zeros(gram.shape[2:], bool)
    return sinr, reduce(jnp.logical_or, (lost for _, _, lost in forms if lost is not None), nowhere)


def with_lost_digits(
    sinr: Float[Array, "combiners users *batch"],
    lost: Bool[Array, " *batch"],
    combiners: Sequence[Combiner],
    channels: Callable[[], tuple[Parts, Parts]],
) -> Float[Array, "combiners users *batch"]:
    """SINR that is worked out again from the channels where its digits are lost.

    Args:
        sinr: What `sinr_of_products` found.
        lost: Where digits are lost.
        combiners: The schemes.
        channels: What gives estimates and channels, (antennas, users, *batch) each.
    """
    added = [REGULARIZATION[combiner] for combiner in combiners if combiner in REGULARIZATION]
    if not added:
        return sinr

    def again() -> Array:
        h_hat, h = channels()

        def of(v: Parts) -> Array:
            return sinr_of_gains(adjoint_product(v, h), v.power.sum(0))

        # One program for all that invert.
        inverting = lax.map(
            lambda each: of(regularized_dual(h_hat, each, one_by_one=True)), jnp.asarray(added)
        )
        of_inverting = iter(inverting)
        return jnp.stack(
            [next(of_inverting) if c in REGULARIZATION else of(h_hat) for c in combiners]
        )

    return replaced_where(lost, again, sinr)
