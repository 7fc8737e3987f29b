r"""OFDM with a cyclic prefix that may be too short, and what that costs.

A symbol of $P$ subcarriers is $P$ samples long and follows its own last $C$ samples, the prefix.
The receive window begins where the useful part would begin with no delay, so delays of 0 to $C$
samples leave the subcarriers orthogonal. A path that comes later than the prefix lasts, or
earlier than the window, brings samples of the previous or the next symbol instead of some of its
own: inter-symbol interference. Those it lacks leave subcarriers that are not orthogonal:
inter-carrier interference.

Delays are in samples and real: formulas are exact at integers, and interpolate between them.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Complex, Float

from jaxmimo.core.checks import is_traced, require
from jaxmimo.core.contracts import checked
from jaxmimo.core.guards import divided, not_negative
from jaxmimo.core.rules import at_least_one, finite, nonnegative


class PrefixPowers(NamedTuple):
    """What the combiner of one user receives from another, or from its own, on one subcarrier."""

    desired: Complex[Array, "..."]
    """Amplitude $D$ of the symbol that is meant."""
    inter_carrier: Float[Array, "..."]
    """Power of other subcarriers of the same symbol time."""
    inter_symbol: Float[Array, "..."]
    """Power of the symbols before and after."""

    @property
    def total(self) -> Float[Array, "..."]:
        """All power received."""
        return _power(self.desired) + self.inter_carrier + self.inter_symbol


@checked(num_subcarriers=at_least_one)
def cyclic_prefix_weights(
    delay_samples: ArrayLike, prefix_length: ArrayLike, num_subcarriers: int
) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
    r"""Where the power of one path goes: the desired symbol, other subcarriers, other symbols.

    A path of delay $\tau$ has $e = \max(\tau - C, 0) + \max(-\tau, 0)$ foreign samples in the
    window, and $w = \max(0, 1 - e/P)$ of it is its own. The shares are

    $$w^2, \qquad w - w^2, \qquad 1 - w.$$

    Args:
        delay_samples: $\tau$ from the beginning of the receive window [samples].
        prefix_length: $C$, from 0 to $P$ [samples]; need not be an integer.
        num_subcarriers: $P$.

    Returns:
        The shares of desired, inter-carrier and inter-symbol power, which sum to one, of the
        common shape of delays and prefix lengths.

    Raises:
        ValueError: If there is no subcarrier, the prefix is negative or longer than the symbol,
            or the shapes do not fit.
    """
    prefix = _prefix_lengths("prefix_length", prefix_length, num_subcarriers)
    delay, prefix = jnp.broadcast_arrays(jnp.asarray(delay_samples, prefix.dtype), prefix)
    late, early = _foreign_shares(delay, prefix, num_subcarriers)
    foreign = late + early
    own = 1.0 - foreign
    return own**2, own * foreign, foreign


@checked(
    delay_samples=finite.shaped("paths"),
    prefix_lengths=finite.shaped("|prefixes"),
    num_subcarriers=at_least_one,
)
def received_powers(
    amplitudes: Complex[Array, "*links paths"],
    delay_samples: ArrayLike,
    prefix_lengths: ArrayLike,
    num_subcarriers: int,
) -> PrefixPowers:
    r"""Desired amplitude and interference of coherent paths, for many prefix lengths at once.

    With the late share $l_n = \min(\max(\tau_n - C, 0)/P, 1)$ and the early share
    $a_n = \min(\max(-\tau_n, 0)/P, 1)$ of path $n$, the paths' foreign samples are nested sets:
    whatever is foreign on one late path is foreign on all that are later. Symbols of unit power
    then give

    $$D = \sum_n (1 - l_n - a_n)\, b_n, \qquad
      I_{\mathrm{symbol}} = \sum_{n, n'} b_n b_{n'}^* (\min(l_n, l_{n'}) + \min(a_n, a_{n'})),$$
    $$|D|^2 + I_{\mathrm{carrier}} =
      \sum_{n, n'} b_n b_{n'}^* (1 - \max(l_n, l_{n'}) - \max(a_n, a_{n'})).$$

    White symbols, as strong on all subcarriers, have exactly these powers at integer delays from
    $-(P + C)$ to $P + 2C$, on two conditions. A path is the same on all subcarriers but for the
    phase of its delay: arrays whose antennas see it at different delays (beam squint) break that,
    and neighbouring subcarriers, from where most inter-carrier interference comes, are then taken
    to receive it as this one does. And no late path comes more than $P$ after an early one:
    otherwise $I_{\mathrm{carrier}}$ is an approximation, kept from falling below zero.

    With delays sorted, and $T_j$ the sum of the amplitudes of path $j$ and all later ones,
    $I_{\mathrm{symbol}} = \sum_j (l_j - l_{j-1}) |T_j|^2 + (a_{j-1} - a_j) |T_1 - T_j|^2$ (with
    the ends $l_0 = 0$ and $a |T_1|^2$ of the latest path), and
    $I_{\mathrm{carrier}} = I_{\mathrm{symbol}} - |\sum_n (l_n + a_n) b_n|^2$. Only the shares
    depend on $C$, so all prefix lengths together are one small matrix product, and nothing
    cancels while interference is weak.

    Args:
        amplitudes: $b_n$ after the combiner [linear], including the phase $e^{-j2\pi p\tau_n/P}$
            of the delay on this subcarrier $p$. The cost grows with the square of the paths.
        delay_samples: $\tau_n$ from the beginning of the receive window [samples], in any order.
        prefix_lengths: $C$, from 0 to $P$ [samples], a number or (prefixes,).
        num_subcarriers: $P$.

    Returns:
        Shape (*links, prefixes) each, or (*links,) for a prefix length that is a number.

    Raises:
        ValueError: If there is no path or no subcarrier, a prefix is negative or longer than the
            symbol, the shapes do not fit, or a known delay is beyond the symbols that count.

    References:
        Pitaval, "A note on simplified SINR expressions for OFDM with insufficient CP",
        arXiv:2101.09601, 2021, has the same powers as sums over subcarriers.
    """
    prefix = _prefix_lengths("prefix_lengths", prefix_lengths, num_subcarriers)
    delay, subcarriers = jnp.asarray(delay_samples, prefix.dtype), num_subcarriers
    require(delay.size >= 1, "`delay_samples` must hold at least one path, but is empty. Give one.")
    if not isinstance(delay_samples, Array) and not is_traced(prefix):
        _check_reach(np.asarray(delay), float(np.min(prefix, initial=np.inf)), subcarriers)
    late, early = _foreign_shares(delay[:, None], jnp.atleast_1d(prefix)[None], subcarriers)
    # A product with zeros and ones puts the amplitudes in order and sums those of later paths,
    # faster than gathers and running sums would. Ranks and not delays are compared, which the
    # compiler may compute twice and round in two ways.
    order = jnp.argsort(delay)
    rank = jnp.argsort(order)
    is_later = (rank[:, None] >= jnp.arange(len(delay))[None]).astype(delay.dtype)
    steps = _foreign_shares(delay[order][:, None], jnp.atleast_1d(prefix)[None], subcarriers)
    parts = (amplitudes.real, amplitudes.imag)
    tails = [_product(part, is_later) for part in parts]
    inter_symbol = _power_of_steps(tails[0], *steps) + _power_of_steps(tails[1], *steps)
    missed_real, missed_imag = (_product(part, late + early) for part in parts)
    desired = amplitudes.sum(-1, keepdims=True) - lax.complex(missed_real, missed_imag)
    # Rounding may leave less than nothing of paths that are lost entirely.
    inter_carrier = jnp.maximum(inter_symbol - (missed_real**2 + missed_imag**2), 0.0)
    shape = (*amplitudes.shape[:-1], *prefix.shape)
    powers = (desired, inter_carrier, inter_symbol)
    return PrefixPowers(*(array.reshape(shape) for array in powers))


@checked(noise=nonnegative)
def prefix_sinr(powers: PrefixPowers, noise: ArrayLike) -> Float[Array, "users *batch"]:
    r"""SINR of each user, all its own and all others' interference counted as noise.

    $$\mathrm{SINR}_k = \frac{|D_{kk}|^2}{\sum_i S_{ki} - |D_{kk}|^2 + \|v_k\|^2 \sigma^2}$$

    with the total power $S_{ki}$ of user $i$ at the output of user $k$.

    Args:
        powers: Of all pairs of users, (users, users, *batch), batch axes last; entry (k, i) is
            what the combiner of user k receives from user i, transmit powers included.
        noise: Noise power $\|v_k\|^2 \sigma^2$ at each output, a number or (users, *batch), of
            which trailing axes may be left out.

    Returns:
        SINR [linear]; zero where nothing is received at all.

    Raises:
        ValueError: If the shapes do not fit.
    """
    shape: tuple[int, ...] = powers.desired.shape
    require(
        len(shape) >= 2 and shape[0] == shape[1],
        f"`powers` must be those of all pairs of users, (users, users, *batch), but has shape "
        f"{shape}. Put the axes of both users first.",
    )
    noise, outputs = jnp.asarray(noise, powers.inter_symbol.dtype), (*shape[:1], *shape[2:])
    padded = (*noise.shape, *[1] * (len(outputs) - noise.ndim))
    require(
        _broadcast_to(padded, outputs),
        f"`noise` must be a number or of shape (users, *batch) = {outputs}, but has shape "
        f"{noise.shape}. Give one noise power per output.",
    )
    own = np.eye(*shape[:2], dtype=bool).reshape(*shape[:2], *[1] * (len(shape) - 2))
    power = _power(powers.desired)
    signal = jnp.sum(jnp.where(own, power, 0.0), 1)
    # Summed without the signal: taking it off the total would leave its rounding errors.
    others = jnp.where(own, 0.0, power) + powers.inter_carrier + powers.inter_symbol
    disturbance = jnp.sum(others, 1) + not_negative(noise).reshape(padded)
    return divided(signal, disturbance)


@checked(num_subcarriers=at_least_one)
def prefix_efficiency(prefix_length: ArrayLike, num_subcarriers: int) -> Float[Array, "..."]:
    r"""Share $P / (P + C)$ of the time that is not spent on prefixes.

    Args:
        prefix_length: $C$, from 0 to $P$ [samples].
        num_subcarriers: $P$.

    Raises:
        ValueError: If there is no subcarrier, or the prefix is negative or longer than the symbol.
    """
    prefix = _prefix_lengths("prefix_length", prefix_length, num_subcarriers)
    return num_subcarriers / (num_subcarriers + prefix)


def _foreign_shares(delay: Array, prefix: Array, subcarriers: int) -> tuple[Array, Array]:
    """Shares of the window that the previous and the next symbol fill."""
    return (
        jnp.clip((delay - prefix) / subcarriers, 0.0, 1.0),
        jnp.clip(-delay / subcarriers, 0.0, 1.0),
    )


def _power_of_steps(
    tails: Float[Array, "*links paths"],
    late: Float[Array, "paths prefixes"],
    early: Float[Array, "paths 1"],
) -> Float[Array, "*links prefixes"]:
    """Inter-symbol power of the real or the imaginary part, with paths in order of delay.

    Stretches of the window between one path's end and the next one's hear the previous symbol on
    the later paths, `tails`, or the next symbol on the earlier ones.
    """
    rises = jnp.diff(late, axis=0, prepend=jnp.zeros_like(late[:1]))
    falls = -jnp.diff(early, axis=0, prepend=early[:1])
    whole = tails[..., :1]
    from_next = _product((whole - tails) ** 2, falls) + whole**2 * early[-1, 0]
    return _product(tails**2, rises) + from_next


def _power(amplitude: Array) -> Array:
    return amplitude.real**2 + amplitude.imag**2


def _product(rows: Float[Array, "*links paths"], columns: Array) -> Array:
    return jnp.matmul(rows, columns, precision="highest")


def _prefix_lengths(name: str, value: ArrayLike, subcarriers: int) -> Array:
    prefix = jnp.asarray(value, jnp.result_type(float))
    if isinstance(value, Array) or not prefix.size:
        return prefix
    shortest, longest = np.min(np.asarray(value)), np.max(np.asarray(value))
    require(
        bool(shortest >= 0 and longest <= subcarriers),
        f"`{name}` must be from 0 to the {subcarriers} samples of the symbol that it "
        f"repeats, but got {shortest if shortest < 0 else longest:g}. Give a number of samples, or "
        "more subcarriers.",
    )
    return prefix


def _check_reach(delay: np.ndarray, prefix: float, subcarriers: int) -> None:
    """Refuse paths that bring symbols before the previous or after the next one."""
    earliest, latest = -(subcarriers + prefix), subcarriers + 2 * prefix
    beyond = delay[(delay < earliest) | (delay > latest)]
    require(
        beyond.size == 0,
        f"`delay_samples` must lie between -(P + C) = {earliest:g} and P + 2C = {latest:g}, but "
        f"{beyond[:1].sum():g} is among them: such a path brings a third symbol. Use more "
        "subcarriers, or leave it out.",
    )


def _broadcast(*shapes: tuple[int, ...]) -> bool:
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        return False
    return True


def _broadcast_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return _broadcast(shape, target) and np.broadcast_shapes(shape, target) == target
