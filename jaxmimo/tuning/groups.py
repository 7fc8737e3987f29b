r"""User groups of two-stage beamforming by gradient, through the deterministic equivalent.

Relaxed, user k is in the pair $j = (g, l)$ of a subsector and an annular region for the share
$\pi_{kj}$ of the time, $\sum_j \pi_{kj} = 1$. With the powers $P_{ujk}$ at which it receives the
stream of user u from the beams of pair j, by Theorem 1, its rate is
$$R_k = \sum_j \pi_{kj} \log_2\Bigl(1 + \frac{P_{kjk}}{1 + \sum_{u \ne k} \sum_i \pi_{ui} P_{uik}}
  \Bigr).$$
A precoder in pair j counts leakage to user s with the weight
$$c_{js} = \frac{\nu_{js}}{\nu_{js} + (1 - \nu_{js}) (1 + \tau_{js})},$$
where $\nu_{js}$ is the share of the time that s is in one of the pairs that pair j counts leakage
to, and $\tau_{js}$ the power over the noise of all beams of pair j at user s.

Shares of zero and one give the rates of `TwoStageSLNR.rates_in_the_limit`, without error. Nothing
is gained by being soft alone: for fixed weights the sum of rates is convex in the shares of each
user, which it would not be with the mean over pairs inside of the logarithm; and the damping
$1 / (1 + c \delta)$ of leakage falls about evenly with $\nu$, where a weight of $\nu$ itself would
give nearly all of it for a tenth of the time.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from jaxtyping import Float, Int

from jaxmimo.core.checks import require
from jaxmimo.core.contracts import checked
from jaxmimo.core.programs import kept_jit
from jaxmimo.core.rules import nonnegative
from jaxmimo.rates.sinr import sinr_of_powers, spectral_efficiency
from jaxmimo.systems.beamforming_3d import Cell, Groups, TwoStageSLNR, adjacent_groups
from jaxmimo.systems.beamforming_3d.schemes import Scheme, stream_in_the_limit
from jaxmimo.transceiver.grouping import captured

_TEMPERATURES = np.geomspace(1.0, 0.1, 10)
"""Of the softmax, one for each step of gradient. Greedy moves after twice as many end no better."""
_RATE = 0.5
"""Learning rate of the logits; each may change by about this in a step."""
_LEAST_GAIN = 1e-4
"""Relative gain from which on a greedy move counts: above usual errors of single precision."""
_ROUNDS = 30
"""Rounds of greedy moves after which to stop in any case; three or four are usual."""


class GroupSearch(eqx.Module):
    """What a search for groups found.

    Attributes:
        groups: The best groups seen.
        sum_rate: Their sum rate, by the equivalent [bit/s/Hz].
        history: Sum rate of the best groups so far, at the start and after each step; constant
            after the last step.
    """

    groups: Groups
    sum_rate: Float[Array, "*batch"]
    history: Float[Array, "*batch steps"]


class TunedGroups(eqx.Module):
    """What `tune_groups` found, and how.

    Attributes:
        groups: The best groups.
        sum_rate: Their sum rate, by the equivalent [bit/s/Hz].
        greedy: Greedy moves from the groups of the cell.
        annealed: Annealing.
        polished: Greedy moves from the annealed groups.
    """

    groups: Groups
    sum_rate: Float[Array, "*batch"]
    greedy: GroupSearch
    annealed: GroupSearch
    polished: GroupSearch


@checked()
@kept_jit
def tune_groups(cell: Cell, *, scheme: Scheme = adjacent_groups) -> TunedGroups:
    """The best groups found for a cell: never worse than those it has, by the equivalent.

    Greedy moves from the groups of the cell and from annealed ones; the better of both. One cell,
    one search: use `jax.vmap` for many.

    Args:
        cell: The cell, with groups to start from, such as those of 2D-FQUG that `make_cell` gives.
        scheme: A two-stage scheme whose precoders count leakage by the users' groups.

    Raises:
        ValueError: If the scheme is no two-stage one.
    """
    annealed = annealed_groups(cell, scheme=scheme)
    starts = jax.tree.map(lambda *each: jnp.stack(each), cell.groups, annealed.groups)
    # One after the other, since side by side both would take as many turns as the longer.
    both = lax.map(lambda start: greedy_groups(cell.with_groups(start), scheme=scheme), starts)
    greedy, polished, best = (
        jax.tree.map(lambda leaf, i=i: leaf[i], both) for i in (0, 1, jnp.argmax(both.sum_rate))
    )
    return TunedGroups(best.groups, best.sum_rate, greedy, annealed, polished)


@checked(shares=nonnegative)
def soft_rates(
    cell: Cell, shares: Float[Array, "users pairs"], *, scheme: Scheme = adjacent_groups
) -> Float[Array, " users"]:
    r"""Rates $R_k$ of users that are shared among pairs [bit/s/Hz], differentiable in the shares.

    Args:
        cell: The cell; the groups of its users do not matter.
        shares: $\pi_{kj}$; pair $j = g L + l$ is that of subsector g and region l.
        scheme: A two-stage scheme whose precoders count leakage by the users' groups.

    Raises:
        ValueError: If the scheme is no two-stage one, or the shares have another shape.

    References:
        Fan et al., "A low-complexity 3D massive MIMO scheme jointly using statistical and
        instantaneous CSIT", 2016, Theorem 1.
    """
    near = _neighbours(cell, scheme)
    users = jnp.arange(cell.num_users)
    require(
        shares.shape == (users.size, len(near)),
        f"`shares` must have the shape (users, pairs) = {(users.size, len(near))}, but has "
        f"{shares.shape}. Pairs are groups in azimuth times groups in elevation.",
    )
    inside = jnp.matmul(near, shares.T, precision="highest")
    outside = jnp.matmul(1.0 - near, shares.T, precision="highest")
    weights = inside / (inside + outside * (1.0 + _heard(cell)))

    def of_pair(pair: Array, weights: Array) -> Float[Array, "streams users"]:
        return jax.vmap(lambda user: _stream(cell, user, weights, pair))(users)

    powers = lax.map(lambda each: of_pair(*each), (jnp.arange(len(near)), weights))
    own = jnp.diagonal(powers, axis1=1, axis2=2)
    received = jnp.einsum("uj,juk->uk", shares, powers, precision="highest")
    others = jnp.where(np.eye(users.size, dtype=bool), 0.0, received).sum(0)
    return jnp.sum(shares.T * spectral_efficiency(own / (1.0 + others[None])), 0)


@checked()
@kept_jit
def annealed_groups(cell: Cell, *, scheme: Scheme = adjacent_groups) -> GroupSearch:
    """Groups from soft shares that gradient ascent of the sum of `soft_rates` hardens.

    Shares are the softmax of logits over a temperature that falls; Adam moves the logits, from
    equal shares. After each step, groups are those of the largest shares; the best ones count.

    Args:
        cell: The cell; the groups of its users do not matter.
        scheme: A two-stage scheme whose precoders count leakage by the users' groups.

    Raises:
        ValueError: If the scheme is no two-stage one.
    """
    optimizer = optax.adam(_RATE)
    start = jnp.zeros((cell.num_users, _num_pairs(cell)))

    def loss(logits: Array, temperature: Array) -> Array:
        return -soft_rates(cell, jax.nn.softmax(logits / temperature), scheme=scheme).sum()

    def step(state: tuple, temperature: Array) -> tuple:
        logits, moments = state
        change, moments = optimizer.update(jax.grad(loss)(logits, temperature), moments)
        logits = logits + change
        return (logits, moments), jnp.argmax(logits, 1)

    temperatures = jnp.asarray(_TEMPERATURES, start.dtype)
    _, pairs = lax.scan(step, (start, optimizer.init(start)), temperatures)
    pairs = jnp.concatenate([jnp.argmax(start, 1)[None], pairs])
    rates = lax.map(lambda pair: _sum_rate(cell, pair, scheme), pairs)
    best = jnp.argmax(rates)
    return GroupSearch(_groups(cell, pairs[best]), rates[best], lax.cummax(rates))


@checked()
@kept_jit
def greedy_groups(cell: Cell, *, scheme: Scheme = adjacent_groups) -> GroupSearch:
    """Groups from which no move of one user raises the equivalent of the sum rate notably.

    User after user is moved to its best pair, in rounds, from the groups of the cell. A step is the
    turn of one user.

    Args:
        cell: The cell.
        scheme: A two-stage scheme whose precoders count leakage by the users' groups.

    Raises:
        ValueError: If the scheme is no two-stage one.
    """
    near = _neighbours(cell, scheme)
    num_users = cell.num_users

    def goes_on(state: tuple) -> Array:
        turn, unmoved, *_ = state
        return (unmoved < num_users) & (turn < _ROUNDS * num_users)

    def move_one(state: tuple) -> tuple:
        turn, unmoved, pair, powers, history = state
        user = turn % num_users
        possible = _powers_after_moves(cell, near, pair, powers, user)
        rates = jax.vmap(_sum_of_powers)(possible)
        best = jnp.argmax(rates).astype(pair.dtype)
        moves = rates[best] > (1.0 + _LEAST_GAIN) * rates[pair[user]]
        to = jnp.where(moves, best, pair[user])
        unmoved = jnp.where(moves, 1, unmoved + 1)
        history = history.at[turn + 1].set(rates[to])
        return turn + 1, unmoved, pair.at[user].set(to), possible[to], history

    start = _pairs(cell.groups)
    powers = _streams(cell, jnp.arange(num_users), near[start[:, None], start[None]], start)
    history = jnp.zeros(_ROUNDS * num_users + 1).at[0].set(_sum_of_powers(powers))
    *_, pair, _, history = lax.while_loop(goes_on, move_one, (0, 0, start, powers, history))
    history = lax.cummax(history)  # turns that were not taken have the last sum rate, too
    return GroupSearch(_groups(cell, pair), history[-1], history)


def _powers_after_moves(
    cell: Cell,
    near: Float[Array, "pairs pairs"],
    pair: Int[Array, " users"],
    powers: Float[Array, "streams users"],
    user: Array,
) -> Float[Array, "pairs streams users"]:
    """Powers at which users receive all streams once one user has moved to each of the pairs.

    They differ by what the move changes: the user's own stream, which takes one equivalent per
    pair, and of the others those whose precoders begin or cease to count leakage to it, which take
    one per user. So nothing is approximated, and little computed twice.
    """
    users, pairs = jnp.arange(pair.size), jnp.arange(len(near))
    counted = near[pair[:, None], pair[None]]
    flipped = jnp.where((users == user)[None], 1.0 - counted, counted)
    streams = jnp.concatenate([users, jnp.full_like(pairs, user)])
    weights = jnp.concatenate([flipped, near[:, pair]])
    changed = _streams(cell, streams, weights, jnp.concatenate([pair, pairs]))
    others, own = jnp.split(changed, [pair.size])

    def after(to: Array, own: Array) -> Array:
        flips = near[pair, to] != counted[:, user]
        return jnp.where(flips[:, None], others, powers).at[user].set(own)

    return jax.vmap(after)(pairs, own)


def _neighbours(cell: Cell, scheme: Scheme) -> Float[Array, "pairs pairs"]:
    """Which pairs (columns) a precoder in each pair counts leakage to.

    It is what the scheme makes of a cell with one user, whom nobody hears, in every pair.
    """
    count = _num_pairs(cell)
    empty = jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape[1:]), leaf.dtype), cell)
    precoding = scheme(empty.with_groups(_groups(cell, jnp.arange(count))))
    if not isinstance(precoding, TwoStageSLNR):
        raise ValueError(
            "`scheme` must be a two-stage one, whose precoders use the beams of groups, but gives "
            f"{type(precoding).__name__}. Use `adjacent_groups`, `own_group` or `all_groups`."
        )
    return precoding.counted.astype(cell.snr.dtype)


def _heard(cell: Cell) -> Float[Array, "pairs users"]:
    r"""$\tau_{js}$, the power over the noise of all beams of a pair at a user."""

    def of_user(snr: Array, azimuth: Array, elevation: Array) -> Array:
        in_azimuth = captured(jnp.diagonal(azimuth), cell.groups.azimuth_groups)
        in_elevation = captured(jnp.diagonal(elevation), cell.groups.elevation_groups)
        # Rounding may leave beams that a user is not in below zero.
        return snr * jnp.maximum(in_azimuth[:, None] * in_elevation[None], 0.0).ravel()

    return jax.vmap(of_user, out_axes=1)(cell.snr, cell.azimuth, cell.elevation)


def _stream(
    cell: Cell, user: Array, counted: Float[Array, " users"], pair: Array
) -> Float[Array, " users"]:
    regions = cell.groups.elevation_groups
    return stream_in_the_limit(cell, user, counted, pair // regions, pair % regions)


_streams = jax.vmap(_stream, (None, 0, 0, 0))


def _sum_rate(cell: Cell, pair: Int[Array, " users"], scheme: Scheme) -> Float[Array, ""]:
    return jnp.sum(scheme(cell.with_groups(_groups(cell, pair))).rates_in_the_limit())


def _sum_of_powers(powers: Float[Array, "streams users"]) -> Float[Array, ""]:
    return spectral_efficiency(sinr_of_powers(powers)).sum()


def _num_pairs(cell: Cell) -> int:
    return cell.groups.azimuth_groups * cell.groups.elevation_groups


def _pairs(groups: Groups) -> Int[Array, " users"]:
    return groups.azimuth * groups.elevation_groups + groups.elevation


def _groups(cell: Cell, pair: Int[Array, " users"]) -> Groups:
    """Groups of users, with the numbers of groups of the cell."""
    regions = cell.groups.elevation_groups
    pair = pair.astype(jnp.int32)
    return Groups(pair // regions, pair % regions, cell.groups.azimuth_groups, regions)
