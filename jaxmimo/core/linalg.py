"""Small Hermitian matrices in plain XLA operations.

Several batched LAPACK calls in one program can hang a CPU with two cores under jax 0.10, so no
kernel of this library holds any.
"""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Complex, Float


def hermitian_log2det(matrix: Complex[Array, "... n n"]) -> Float[Array, "..."]:
    """log2 of the determinant of Hermitian positive definite matrices, by symmetric elimination.

    Unrolled over the rows: meant for the few antennas of a user. A matrix that is not positive
    definite gives NaN.
    """
    log2det = jnp.zeros(matrix.shape[:-2], matrix.real.dtype)
    while matrix.shape[-1]:
        pivot = matrix[..., 0, 0].real
        log2det = log2det + jnp.log2(pivot)
        column = matrix[..., 1:, 0]
        update = column[..., :, None] * column[..., None, :].conj() / pivot[..., None, None]
        matrix = matrix[..., 1:, 1:] - update
    return log2det
