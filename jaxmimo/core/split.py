"""Complex matrices with their real and imaginary parts apart, and the maps that act on them.

A split array has an axis of length 2 just before its last: index 0 is the real part, index 1 the
imaginary part. Four real products of split matrices give `G^H W` and `G^H W*` at once, at half
the price of the two complex products, and real products are what CPUs and GPUs do best.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Complex, Float


def split(array: Complex[Array, "... n"]) -> Float[Array, "... 2 n"]:
    """Real and imaginary parts on an axis before the last."""
    return jnp.stack([array.real, array.imag], axis=-2)


def merge(parts: Float[Array, "... 2 n"]) -> Complex[Array, "... n"]:
    """Complex array of a split one."""
    return lax.complex(parts[..., 0, :], parts[..., 1, :])


class WidelyLinear(eqx.Module):
    r"""The map $x \mapsto a x + b x^*$, linear over the reals: I/Q imbalance and its remedies.

    Attributes:
        direct: $a$.
        image: $b$; zero for a linear map.
    """

    direct: Complex[Array, "..."]
    image: Complex[Array, "..."]

    def __call__(self, x: Complex[Array, "..."]) -> Complex[Array, "..."]:
        """Apply to a complex array that broadcasts against the coefficients."""
        return self.direct * x + self.image * x.conj()

    def after(self, first: "WidelyLinear") -> "WidelyLinear":
        """The composition: `self.after(first)(x) == self(first(x))`."""
        return WidelyLinear(
            self.direct * first.direct + self.image * first.image.conj(),
            self.direct * first.image + self.image * first.direct.conj(),
        )

    def apply_split(self, parts: Float[Array, "... 2 n"]) -> Float[Array, "... 2 n"]:
        """Apply to a split array; the coefficients broadcast against its axes before the last two.

        Swapping the parts by a reversal, rather than joining two new arrays, keeps XLA's loops
        vectorized.
        """
        same, swapped = self._real_coefficients()
        return same * parts + swapped * parts[..., ::-1, :]

    def _real_coefficients(self) -> tuple[Array, Array]:
        total, difference = self.direct + self.image, self.direct - self.image
        same = jnp.stack([total.real, difference.real], axis=-1)[..., None]
        swapped = jnp.stack([-difference.imag, total.imag], axis=-1)[..., None]
        return same, swapped


def cross_products(
    g: Float[Array, "rows 2 i"], w: Float[Array, "rows 2 j"]
) -> Float[Array, "i_parts j_parts"]:
    """All products of parts, summed over the rows.

    In full single precision on every device: the TF32 default of recent GPUs would drown the
    interference that precoding leaves.

    Returns:
        A matrix of four quadrants, `sum_r g[r, p, i] w[r, q, j]` in row `p` and column `q` of them.
        It has two axes, which loops over whole curves add up several times as fast as four.
    """
    g, w = (parts.reshape(parts.shape[0], -1) for parts in (g, w))
    return lax.dot_general(g, w, (((0,), (0,)), ((), ())), precision=lax.Precision.HIGHEST)


def quadrants(
    products: Float[Array, "i_parts j_parts *batch"],
) -> tuple[Array, Array, Array, Array]:
    """Those of `cross_products`: of real with real, real with imaginary, and so on."""
    i, j = (size // 2 for size in products.shape[:2])
    return products[:i, :j], products[:i, j:], products[i:, :j], products[i:, j:]


def direct_product(rr: Array, ri: Array, ir: Array, ii: Array) -> tuple[Array, Array]:
    """Real and imaginary part of `G^H W` from the quadrants of their products."""
    return rr + ii, ri - ir


def image_product(rr: Array, ri: Array, ir: Array, ii: Array) -> tuple[Array, Array]:
    """Real and imaginary part of `G^H W*` from the quadrants of their products."""
    return rr - ii, -ri - ir


def computed_once(array: Array, always: Array) -> Array:
    """`array`, kept in memory for all its readers; `always` is a condition that always holds.

    XLA for CPUs fuses cheap-looking producers, random numbers among them, into every reader, which
    then draws them anew. `optimization_barrier` stops that, but jax 0.10 drops it before fusion; a
    branch on a condition that the compiler cannot decide does not go away. Other devices need
    neither.
    """

    def behind_a_branch(array: Array) -> Array:
        return lax.cond(always, _identity, jnp.zeros_like, array)

    barrier: Callable[[Array], Array] = jax.jit(
        lambda array: lax.platform_dependent(array, cpu=behind_a_branch, default=_identity)
    )
    return barrier(array)


def _identity(array: Array) -> Array:
    return array
