r"""SE against the length of the cyclic prefix: what late paths cost, and what the prefix costs.

A path that arrives later than the prefix allows for loses part of its symbol to the neighbouring
ones and to other subcarriers. Combining weighs paths coherently, so both the wanted amplitude and
the disturbances depend on all paths of all APs together; `transceiver.ofdm` has the algebra. It is
the same for every length of the prefix but for one small matrix product, and so a whole curve over
lengths costs little more than one of them.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.tree_util import Partial
from jaxtyping import Complex, Float, Key

from jaxmimo.channel.antennas import delay_parts
from jaxmimo.channel.frequency_grid import Grid
from jaxmimo.core.checks import functions, integers, positive_integer, require, require_kind
from jaxmimo.core.small_matrices import Parts
from jaxmimo.rates.sinr import spectral_efficiency
from jaxmimo.simulation.monte_carlo import Estimate, monte_carlo
from jaxmimo.systems.wideband_mmwave.designs import per_subcarrier
from jaxmimo.systems.wideband_mmwave.drop import Links, draw_links
from jaxmimo.systems.wideband_mmwave.simulation import all_channels, checked_subcarriers
from jaxmimo.systems.wideband_mmwave.system import WidebandMmwave
from jaxmimo.transceiver.combining import Combiner, mmse_combiner
from jaxmimo.transceiver.ofdm import (
    PrefixPowers,
    prefix_efficiency,
    prefix_sinr,
    received_powers,
)


def simulate_prefix(
    key: Key[Array, ""],
    system: WidebandMmwave,
    *,
    prefix_lengths: Sequence[int],
    combiner: Combiner | Sequence[Combiner] = mmse_combiner,
    subcarriers: int | None = 8,
    drops: int,
    batch_size: int | None = None,
    target_error: float | None = None,
) -> Estimate:
    r"""Mean SE per user after OFDM with cyclic prefixes of several lengths, their overhead counted.

    $$\mathrm{SE}(C) = \frac{P}{P + C}\, E\{\log_2(1 + \mathrm{SINR}(C))\}$$

    Combiners are designed for the channel on each subcarrier as it would be with a prefix that
    covers all delays. Delays within an array, which are a fraction of a sample, count as phases.

    Args:
        key: Typed key.
        system: The network. All values of a swept bandwidth share the draws.
        prefix_lengths: C [samples], whole numbers between 0 and the number of subcarriers P.
        combiner: Combining scheme across all antennas of all APs; a sequence shares the draws.
        subcarriers: Evaluate at the centres of so many equal parts of the band; None takes every
            subcarrier.
        drops: Drops of the users.
        batch_size: Drops side by side; None takes what fits a memory budget.
        target_error: Stop at this relative standard error; `drops` is then the most drawn.

    Returns:
        Estimate of the SE [bit/s/Hz], shape (*bandwidths, *combiners, prefixes), where the first
        two axes are there only if several values were asked for.

    References:
        Ahn et al., Section III-C, which asks for a prefix that covers all delays.
    """
    sample = prefix_sample(
        system, prefix_lengths=prefix_lengths, combiner=combiner, subcarriers=subcarriers
    )
    drops = positive_integer("drops", drops, minimum=2)
    return monte_carlo(sample, key, drops, batch_size=batch_size, target_error=target_error)


def prefix_sample(
    system: WidebandMmwave,
    *,
    prefix_lengths: Sequence[int],
    combiner: Combiner | Sequence[Combiner] = mmse_combiner,
    subcarriers: int | None = 8,
) -> Partial:
    """The sample of a simulation: a function from a key to the mean SE of a drop's users.

    Arguments as for `simulate_prefix`.
    """
    require_kind("system", system, WidebandMmwave)
    lengths = integers("prefix_lengths", prefix_lengths)
    most = system.num_subcarriers
    require(
        len(lengths) > 0 and all(0 <= length <= most for length in lengths),
        f"`prefix_lengths` must lie between 0 and the {most} subcarriers, but got "
        f"{lengths}. A prefix is part of the symbol.",
    )
    return Partial(
        _se_of_drop,
        system=system,
        prefixes=jnp.asarray(lengths, jnp.result_type(float)),
        combiners=functions("combiner", combiner, "`mmse_combiner`"),
        keep_combiners=not callable(combiner),
        subcarriers=checked_subcarriers(system, subcarriers),
    )


def _se_of_drop(
    key: Array,
    *,
    system: WidebandMmwave,
    prefixes: Float[Array, " prefixes"],
    combiners: tuple[Combiner, ...],
    keep_combiners: bool,
    subcarriers: int,
) -> Float[Array, "*curves prefixes"]:
    links = draw_links(key, system)
    efficiency = prefix_efficiency(prefixes, system.num_subcarriers)

    def over_band(band: tuple[Array, Array]) -> Array:
        bandwidth, noise = band
        grid = eqx.tree_at(lambda s: s.bandwidth_hz, system, bandwidth).grid(subcarriers)
        sinr = prefix_sinrs(
            links.over_noise(noise), grid, bandwidth, prefixes, combiners, system.num_subcarriers
        )
        se = efficiency[None, :] * spectral_efficiency(sinr).mean((1, 2))
        return se if keep_combiners else se[0]

    bands = system.bandwidth_hz, system.noise_power
    return over_band(bands) if system.bandwidth_hz.ndim == 0 else lax.map(over_band, bands)


def prefix_sinrs(
    links: Links,
    grid: Grid,
    bandwidth: Array,
    prefixes: Float[Array, " prefixes"],
    combiners: tuple[Combiner, ...],
    num_subcarriers: int,
) -> Float[Array, "combiners users subcarriers prefixes"]:
    """SINR of every user for every length of the prefix."""
    h = all_channels(links, grid, per_subcarrier)
    users = h.shape[-1]
    delays = bandwidth * jnp.swapaxes(links.delays, 0, 1).reshape(users, -1)

    def of_user(amplitudes: Array, delays: Array) -> PrefixPowers:
        return received_powers(amplitudes, delays, prefixes, num_subcarriers)

    def of_combiner(combiner: Combiner) -> Array:
        def on_subcarrier(h: Array) -> Array:
            errors = jnp.zeros((h.shape[0],) * 2, h.dtype)
            return combiner(h, 1.0, errors)

        v = lax.map(on_subcarrier, h.reshape(grid.count, -1, users)).reshape(h.shape)
        noise = jnp.sum(Parts.of(v).power, (1, 2)).T
        paths = _combined_paths(links, grid, v)
        powers = jax.vmap(of_user, in_axes=(1, 0), out_axes=1)(paths, delays)
        return prefix_sinr(powers, noise)

    return jnp.stack([of_combiner(combiner) for combiner in combiners])


def _combined_paths(
    links: Links, grid: Grid, v: Complex[Array, "subcarriers aps antennas users"]
) -> Complex[Array, "outputs users subcarriers aps_paths"]:
    """Amplitude of every path of every user at the output of each combiner."""
    frequency = grid.frequencies
    index = jnp.arange(grid.count, dtype=frequency.dtype)
    antenna = jnp.arange(links.num_antennas, dtype=frequency.dtype)[:, None]

    def of_ap(ap: tuple[Links, Array]) -> Array:
        link, v = ap
        across = (
            (link.carrier + frequency)[None, None, None]
            * antenna[None, None]
            * link.lags[:, :, None, None]
        )
        turns = across + grid.turns(index, link.delays)[:, :, None]
        waves = delay_parts(turns) * link.gains[:, :, None, None]
        return jnp.einsum("smk,inms->kisn", v.conj(), waves.merged(), precision="highest")

    paths = lax.map(of_ap, (links, jnp.swapaxes(v, 0, 1)))
    return jnp.moveaxis(paths, 0, 3).reshape(*paths.shape[1:4], -1)
