r"""Prebeamforming on the columns of DFT matrices, which splits the cell into groups.

The beams of a uniform linear array are the columns of the unitary
$$[F]_{mp} = e^{-j 2\pi m p / n} / \sqrt n, \qquad m, p = 0, \dots, n - 1.$$
A group owns $\lfloor n / G \rfloor$ neighbouring ones; beams left over belong to no group.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Complex, Float

from jaxmimo.core.checks import integer, is_traced, positive_integer, require
from jaxmimo.core.contracts import checked
from jaxmimo.core.rules import at_least_one, semidefinite


def beams_per_group(num_antennas: int, num_groups: int) -> int:
    r"""Number of beams $b = \lfloor n / G \rfloor$ of each group along one direction.

    Args:
        num_antennas: $n$.
        num_groups: $G$.

    Raises:
        ValueError: If there is no antenna or no group, or more groups than antennas.

    References:
        Fan et al., Section 3.1.
    """
    num_antennas = positive_integer("num_antennas", num_antennas)
    num_groups = integer("num_groups", num_groups)
    require(
        num_groups >= 1,
        f"`num_groups` must be at least 1, but got {num_groups}. Use 1 to form no groups.",
    )
    require(
        num_groups <= num_antennas,
        f"`num_groups` must be at most num_antennas = {num_antennas}, but got {num_groups}: no "
        "beam would be left for a group. Form fewer groups or use more antennas.",
    )
    return num_antennas // num_groups


@checked()
def dft_prebeamformer(
    num_antennas: int, num_groups: int, group: ArrayLike
) -> Complex[Array, "antennas beams"]:
    r"""Beams of one group along one direction: columns $g b, \dots, g b + b - 1$ of $F$.

    Those of an array with two directions are the Kronecker product of both, azimuth first;
    `grouped_beams` applies it without forming it.

    Args:
        num_antennas: $n$.
        num_groups: $G$.
        group: $g$, from 0; may be traced.

    Raises:
        ValueError: If there is no antenna or no group, or more groups than antennas, or `group` is
            not one of them.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, Section 3.1, which numbers groups from 1.
    """
    beams = beams_per_group(num_antennas, num_groups)
    if not is_traced(group):
        value = np.asarray(group)
        require(
            value.shape == () and value.dtype.kind in "iu" and 0 <= int(value) < num_groups,
            f"`group` must be an integer from 0 to num_groups - 1 = {num_groups - 1}, but got "
            f"{group}. Groups are numbered from 0.",
        )
    beam = jnp.asarray(group, jnp.int32) * beams + np.arange(beams, dtype=np.int32)
    # Whole turns are dropped among integers, so that phases are exact.
    step = (np.arange(num_antennas, dtype=np.int32)[:, None] * beam[None, :]) % num_antennas
    turn = np.exp(-2j * np.pi * np.arange(num_antennas) / num_antennas) / np.sqrt(num_antennas)
    return jnp.asarray(turn, jnp.result_type(complex))[step]


@checked(covariance=semidefinite)
def beam_covariance(covariance: Complex[Array, "antennas antennas"]) -> Float[Array, "beams beams"]:
    r"""Covariance of the beams of a linear array in stationary scattering: a real matrix.

    With the phases of beam p counted from the middle of the array,
    $$[C]_{mp} = e^{-j 2\pi p (m - (n - 1) / 2) / n} / \sqrt n,$$
    columns stay the same when they are conjugated and turned upside down, and so does a Hermitian
    Toeplitz covariance R, turned both ways; hence $C^H R C$ is real. These beams differ from the
    columns of $F$ by a phase each, which no precoder's power depends on. Real matrices save three
    quarters of the arithmetic.

    Args:
        covariance: R, Hermitian and Toeplitz.
    """
    n = covariance.shape[0]
    # Half turns, modulo 2 n of them, among integers.
    half_turns = np.outer(2 * np.arange(n) - (n - 1), np.arange(n)) % (2 * n)
    beams = np.exp(-1j * np.pi * half_turns / n) / np.sqrt(n)
    c = jnp.asarray(beams, jnp.result_type(complex))
    product = jnp.matmul(c.conj().T, covariance, precision="highest")
    both = jnp.concatenate([product.real, -product.imag], axis=1)
    return jnp.matmul(both, jnp.concatenate([c.real, c.imag]), precision="highest")


def to_beams(h: Complex[Array, "*batch antennas"]) -> Complex[Array, "*batch antennas"]:
    r"""All beams of channels, $F^H h$ along the last axis, by an inverse FFT times $\sqrt n$."""
    return jnp.fft.ifft(h, norm="ortho")


@checked(azimuth_groups=at_least_one, elevation_groups=at_least_one)
def grouped_beams(
    h: Complex[Array, "*batch azimuth elevation"], azimuth_groups: int, elevation_groups: int
) -> Complex[Array, "*batch azimuth_groups elevation_groups beams"]:
    r"""Effective channels of all groups, $(B_{az,g} \otimes B_{el,l})^H h$.

    Args:
        h: Channels of an array with $M$ azimuth and $N$ elevation antennas; its vectors have
            element $m N + n$.
        azimuth_groups: $G$.
        elevation_groups: $L$.

    Returns:
        Beam $i b_{el} + j$ of group $(g, l)$ is number $i$ of $g$ in azimuth and number $j$ of $l$
        in elevation.

    Raises:
        ValueError: If there is no antenna or no group, or more groups than antennas in a direction.

    References:
        Fan et al., Section 3.1.
    """
    azimuth_beams = beams_per_group(h.shape[-2], azimuth_groups)
    elevation_beams = beams_per_group(h.shape[-1], elevation_groups)
    batch = h.shape[:-2]
    beams = to_beams(jnp.swapaxes(to_beams(jnp.swapaxes(h, -1, -2)), -1, -2))
    used = beams[..., : azimuth_groups * azimuth_beams, : elevation_groups * elevation_beams]
    split = used.reshape(*batch, azimuth_groups, azimuth_beams, elevation_groups, elevation_beams)
    return jnp.swapaxes(split, -2, -3).reshape(*batch, azimuth_groups, elevation_groups, -1)
