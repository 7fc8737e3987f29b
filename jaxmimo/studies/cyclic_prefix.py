"""How long a cyclic prefix cell-free networks need, and how long it should be."""

from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial
from matplotlib.axes import Axes

from jaxmimo.channel.geometry import azimuth, distance_3d
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.core.checks import require
from jaxmimo.plotting import (
    MARKERS,
    PALETTE,
    axis_label,
    curve_with_points,
    legend_beside,
    new_axes,
    panel_grid,
)
from jaxmimo.simulation.shares import errors_of_distribution, interval_of_share
from jaxmimo.studies import common, domains, wideband
from jaxmimo.studies.study import Claim, Sampling, Study
from jaxmimo.studies.verdicts import all_above, steps
from jaxmimo.systems.wideband_mmwave import (
    WidebandMmwave,
    approximate_cyclic_prefix,
    draw_positions,
    minimum_cyclic_prefix,
    prefix_sample,
)

COMBINERS = ("MR", "MMSE")
SEVERE = 0.1
"""Share of the SE that counts as a severe loss."""


@dataclass(frozen=True)
class CyclicPrefix(wideband.NetworkParameters):
    """Parameters of the cyclic prefix."""

    num_aps: tuple[int, ...] = (4, 16, 64)
    """APs L for the distribution of the minimum prefix, increasing."""
    bandwidth_mhz: tuple[float, ...] = (100.0, 400.0)
    """Bandwidths W, increasing [MHz]."""
    se_num_aps: int = 16
    """APs L for the SE."""
    random_aps: bool = True
    """Place the APs anywhere in the square in every drop, instead of on a grid."""
    ap_antennas: int = 4
    """Antennas M of an AP."""
    num_subcarriers: int = 256
    """Subcarriers P, at every bandwidth."""
    prefix_length: Annotated[tuple[int, ...], domains.COUNT_OR_NONE] = (
        0,
        4,
        8,
        16,
        24,
        32,
        48,
        64,
        96,
        128,
        192,
        256,
    )
    """Prefixes C for the SE, increasing from 0, at most P [samples]."""
    subcarriers: int = 8
    """Subcarriers to evaluate, evenly spaced over the band."""

    def __post_init__(self) -> None:
        super().__post_init__()
        wideband.check_bandwidths(self.bandwidth_mhz, self.carrier_ghz)
        require(
            self.prefix_length[0] == 0 < self.prefix_length[-1],
            "`prefix_length` must begin with 0 and hold a longer one, but is "
            f"{' '.join(map(str, self.prefix_length))}. Prefixes are compared with none.",
        )
        require(
            self.prefix_length[-1] <= self.num_subcarriers,
            f"`prefix_length` must be at most `num_subcarriers` = {self.num_subcarriers}, but is "
            f"{self.prefix_length[-1]}. A prefix is part of the symbol.",
        )


def run(parameters: CyclicPrefix, sampling: Sampling) -> xr.Dataset:
    """Simulate the distribution of the minimum prefix, and the SE from the same users' places."""
    systems = tuple(_network(parameters, num_aps) for num_aps in parameters.num_aps)
    levels = prefix_levels(systems[0])
    of_minimum = common.Part(
        Partial(minimum_prefix, systems=systems, levels=jnp.asarray(levels, float)),
        Partial(with_median, levels=jnp.asarray(levels, float)),
        "minimum prefix",
        judged=itemgetter("minimum_prefix_median"),
    )
    of_se = common.Part(
        prefix_sample(
            _network(parameters, parameters.se_num_aps),
            prefix_lengths=parameters.prefix_length,
            combiner=tuple(wideband.COMBINERS[name] for name in COMBINERS),
            subcarriers=parameters.subcarriers,
        ),
        Partial(with_advantage, overhead=parameters.prefix_length[-1] / parameters.num_subcarriers),
        "SE",
        judged=itemgetter("se"),
    )
    minimum, se = common.simulate_all([of_minimum, of_se], sampling)
    curves = ("num_aps", "bandwidth_mhz")
    dims = {"minimum_prefix_median": curves, "minimum_prefix_cdf": (*curves, "prefix_level")}
    dims["beyond_approximation"] = curves
    variables: dict[str, tuple[tuple[str, ...], Any]] = {}
    for name in dims:
        variables[name] = (dims[name], minimum.mean[name])
        error = minimum.std_error[name]
        if name == "minimum_prefix_cdf":
            error = errors_of_distribution(minimum.mean[name], error, minimum.realizations)
        variables[f"{name}_std_error"] = (dims[name], error)
    curves = ("bandwidth_mhz", "combiner")
    dims = {
        "se": (*curves, "prefix_length"),
        "advantage": (*curves, "over"),
        "loss_without_prefix": curves,
    }
    for name in dims:
        variables[name] = (dims[name], se.mean[name])
        variables[f"{name}_std_error"] = (dims[name], se.std_error[name])
    return wideband.make_dataset(
        {
            "num_aps": parameters.num_aps,
            "bandwidth_mhz": parameters.bandwidth_mhz,
            "combiner": COMBINERS,
            "prefix_length": parameters.prefix_length,
            "prefix_level": levels,
            "over": ("no prefix", "longest prefix"),
            "num_subcarriers": parameters.num_subcarriers,
            "ap_antennas": parameters.ap_antennas,
            "num_users": parameters.num_users,
        },
        max(minimum.realizations, se.realizations),
        **variables,
    ).assign_attrs(se_num_aps=parameters.se_num_aps)


def _network(parameters: CyclicPrefix, num_aps: int) -> WidebandMmwave:
    return parameters.network(
        num_aps=num_aps,
        ap_antennas=parameters.ap_antennas,
        bandwidth_mhz=parameters.bandwidth_mhz,
        num_subcarriers=parameters.num_subcarriers,
        random_aps=parameters.random_aps,
    )


def prefix_levels(system: WidebandMmwave) -> np.ndarray:
    """Prefixes at which the distribution is taken: every sample that the widest band can need."""
    across = float(system.side) * np.sqrt(2.0)
    array = float(system.spacing_m) * 2 * system.ap_antennas
    most = float(system.bandwidth_hz.max()) * (across + array) / SPEED_OF_LIGHT
    return np.arange(0, int(np.ceil(most)) + 1)


def minimum_prefix(
    key: Array, *, systems: tuple[WidebandMmwave, ...], levels: Array
) -> dict[str, Array]:
    """Share of a drop's users that each prefix serves, on direct paths, as in (15)."""
    shares, beyond = [], []
    for system in systems:
        aps, users = draw_positions(jax.random.split(key, 4)[0], system)  # as `draw_links` does
        distance = distance_3d(aps, users, system.ap_height - system.user_height).T
        angle = azimuth(aps, users).T
        of_band = partial(_prefix_of_band, system, distance, angle, levels)
        share, more = jax.vmap(of_band)(system.bandwidth_hz)
        shares.append(share)
        beyond.append(more)
    return {"minimum_prefix_cdf": jnp.stack(shares), "beyond_approximation": jnp.stack(beyond)}


def _prefix_of_band(
    system: WidebandMmwave, distance: Array, angle: Array, levels: Array, bandwidth: Array
) -> tuple[Array, Array]:
    exact = minimum_cyclic_prefix(bandwidth, distance, system.spacing_m, system.ap_antennas, angle)
    approximate = approximate_cyclic_prefix(bandwidth, distance)
    share = jnp.mean(exact[:, None] <= levels[None], 0, dtype=levels.dtype)
    return share, jnp.mean(exact - approximate)


def with_median(means: dict[str, Array], *, levels: Array) -> dict[str, Array]:
    """The means, and the median that the distribution function has, between whole samples."""
    cdf = means["minimum_prefix_cdf"]
    curves = cdf.reshape(-1, cdf.shape[-1])
    median = jax.vmap(lambda curve: jnp.interp(0.5, curve, levels.astype(cdf.dtype)))(curves)
    return {**means, "minimum_prefix_median": median.reshape(cdf.shape[:-1])}


def with_advantage(se: Array, *, overhead: float) -> dict[str, Array]:
    """SE, and what follows from prefixes that share their draws, with the errors of pairs.

    That is how much the best prefix has over none and over the longest, and the share that is lost
    without one of what the longest gives, if its overhead is not counted.
    """
    best = jnp.max(se, axis=-1, keepdims=True)
    none, longest = se[..., 0], se[..., -1]
    return {
        "se": se,
        "advantage": best - jnp.stack([none, longest], axis=-1),
        "loss_without_prefix": 1.0 - none / (longest * (1.0 + overhead)),
    }


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the SE against the prefix, and below it the distribution of the minimum prefix.

    Into `ax`, only the first is drawn; `plot_minimum` draws the second.
    """
    if ax is not None:
        return plot_se(dataset, ax)
    axes = panel_grid(2, 1, panel_size=(6.4, 3.4))[:, 0]
    plot_minimum(dataset, axes[1])
    return plot_se(dataset, axes[0])


def plot_se(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the SE against the length of the prefix, its overhead counted."""
    ax = new_axes(ax)
    for i, bandwidth in enumerate(np.atleast_1d(dataset.bandwidth_mhz)):
        for j, combiner in enumerate(np.atleast_1d(dataset.combiner)):
            curve = wideband.selected(dataset, bandwidth_mhz=bandwidth, combiner=combiner)
            curve_with_points(
                ax,
                curve.prefix_length,
                mean=curve.se,
                std_error=curve.se_std_error,
                realizations=curve.attrs.get("realizations"),
                label=f"{combiner}, {bandwidth:g} MHz",
                color=PALETTE[i % len(PALETTE)],
                marker=MARKERS[i % len(MARKERS)],
                linestyle=("-", "--")[j % 2],
            )
    ax.set(xlabel=axis_label(dataset.prefix_length), ylabel=axis_label(dataset.se))
    ax.set_ylim(bottom=0)
    ax.set_title(f"L = {dataset.attrs['se_num_aps']}, overhead counted")
    legend_beside(ax, "points: simulation, 95 %")
    return ax


def plot_minimum(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the distribution function of the minimum prefix."""
    ax = new_axes(ax)
    for i, num_aps in enumerate(np.atleast_1d(dataset.num_aps)):
        for j, bandwidth in enumerate(np.atleast_1d(dataset.bandwidth_mhz)):
            curve = wideband.selected(dataset, num_aps=num_aps, bandwidth_mhz=bandwidth)
            level, cdf = curve.prefix_level.values, curve.minimum_prefix_cdf.values
            color, line = PALETTE[i % len(PALETTE)], ("-", "--", ":")[j % 3]
            label = f"L = {num_aps}, {bandwidth:g} MHz"
            ax.plot(level, cdf, label=label, color=color, linestyle=line, linewidth=1.6)
            band = interval_of_share(
                cdf, curve.minimum_prefix_cdf_std_error, dataset.attrs["realizations"]
            )
            ax.fill_between(level, *band, color=color, alpha=0.2, linewidth=0)
    ax.set(
        xlabel=axis_label(dataset.prefix_level),
        ylabel="Share of users\nwithout interference",
        ylim=(0, 1),
    )
    ax.set_xlim(left=0)
    legend_beside(ax, "bands: 95 %")
    return ax


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge what the paper's text says; it has no figures of its own."""
    return [
        _delays_cost(dataset),
        _antennas_are_negligible(dataset),
        _grows_with_aps(dataset),
        *(_best_is_inside(dataset.sel(bandwidth_mhz=w)) for w in dataset.bandwidth_mhz.values),
    ]


def _delays_cost(dataset: xr.Dataset) -> Claim:
    loss, error = dataset.loss_without_prefix, dataset.loss_without_prefix_std_error
    return Claim(
        "Delays between APs cause severe interference without a prefix",
        all_above(dataset, (loss - SEVERE, error)),
        f"no prefix loses {common.percent(loss)} ({', '.join(dataset.combiner.values)}, bandwidth "
        f"by bandwidth) of the SE that {int(dataset.prefix_length[-1])} samples give if their "
        "overhead is not counted",
    )


def _antennas_are_negligible(dataset: xr.Dataset) -> Claim:
    beyond, median = dataset.beyond_approximation, dataset.minimum_prefix_median
    share = beyond / median
    error = np.hypot(
        dataset.beyond_approximation_std_error, 0.01 * dataset.minimum_prefix_median_std_error
    )
    return Claim(
        "Delays between antennas are negligible against those between APs",
        all_above(dataset, (0.01 * median - beyond, error)),
        f"they add {100 * float(share.max()):.2g} % of the median minimum prefix at most",
    )


def _grows_with_aps(dataset: xr.Dataset) -> Claim:
    median, error = dataset.minimum_prefix_median, dataset.minimum_prefix_median_std_error
    medians = "; ".join(
        f"{float(w):g} MHz: "
        + ", ".join(f"{float(m):.0f}" for m in median.sel(bandwidth_mhz=w).values)
        for w in dataset.bandwidth_mhz
    )
    return Claim(
        "More APs need longer prefixes",
        all_above(dataset, steps(median, error, "num_aps")),
        f"median for L = {', '.join(map(str, dataset.num_aps.values))}: {medians} samples",
    )


def _best_is_inside(part: xr.Dataset) -> Claim:
    lengths = part.se.idxmax("prefix_length")
    best = ", ".join(f"{int(lengths.sel(combiner=name))} ({name})" for name in part.combiner.values)
    return Claim(
        f"A prefix between none and the longest is best at {float(part.bandwidth_mhz):g} MHz",
        all_above(part, (part.advantage, part.advantage_std_error)),
        f"best C = {best} samples of {int(part.prefix_length[-1])}, by "
        f"{float(part.advantage.min()):.2g} bit/s/Hz or more",
    )


STUDY = Study(
    name="cyclic-prefix",
    summary="Cyclic prefix of cell-free OFDM: how long it must be, and which length is best",
    paper=wideband.PAPER,
    figure="eq. (15), whose figure is missing",
    parameters=CyclicPrefix,
    realizations=400,
    run=run,
    plot=plot,
    claims=claims,
)
