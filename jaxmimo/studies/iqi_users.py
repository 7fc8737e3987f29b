"""Figure 3 of Sutton et al.: sum SE against the number of users, and its maximum.

Networks of K users are cut out of one draw of many users: as many disjoint ones as fit, whose
moments are averaged, so that few users are simulated as precisely as many.
"""

from dataclasses import dataclass
from typing import Annotated

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial
from matplotlib.axes import Axes

from jaxmimo.core.checks import require
from jaxmimo.core.programs import kept_jit
from jaxmimo.core.randomness import split_complex_normal
from jaxmimo.core.split import computed_once
from jaxmimo.plotting import PALETTE, axis_label, curve_with_points, legend_beside, new_axes
from jaxmimo.studies import common, domains, iqi
from jaxmimo.studies.study import Claim, Sampling, Study
from jaxmimo.studies.verdicts import exactly
from jaxmimo.systems.cell_free_iqi import CellFreeIQI, DownlinkMoments, moments_of_pilots
from jaxmimo.transceiver.pilots import PilotSignal


@dataclass(frozen=True)
class IqiUsers(iqi.IqiParameters):
    """Parameters of figure 3; the defaults are the paper's."""

    num_users: tuple[int, ...] = (1, 5, 10, 20, 30, 40, 50, 60, 80, 99, 120, 150, 199)
    """Numbers of users K; those with K N >= T are left out."""
    amplitude_mismatch: Annotated[float, domains.AMPLITUDE] = 0.5
    """Amplitude mismatch g = f of the impaired hardware."""
    phase_mismatch_deg: float = 15.0
    """Phase mismatch theta = alpha of the impaired hardware [degrees]."""
    num_aps: int = 50
    """APs M."""
    ap_antennas: int = 2
    """AP antennas L."""
    user_antennas: tuple[int, ...] = (1, 2)
    """User antennas N, a group of curves each."""


def run(parameters: IqiUsers, sampling: Sampling) -> xr.Dataset:
    """Simulate the figure: one kernel per number of user antennas, draws shared by its curves."""
    shape = (
        len(parameters.user_antennas),
        len(iqi.HARDWARE),
        len(iqi.ESTIMATORS),
        len(parameters.num_users),
    )
    mean, error, closed = (np.full(shape, np.nan) for _ in range(3))
    fitting, parts = [], []
    for i, user_antennas in enumerate(parameters.user_antennas):
        fits = np.array(parameters.num_users) * user_antennas < parameters.coherence_length
        require(
            bool(fits.any()),
            f"`num_users` must hold a K with K N < T = {parameters.coherence_length} for N = "
            f"{user_antennas}. Serve fewer users.",
        )
        systems = _systems(parameters, np.array(parameters.num_users)[fits], user_antennas)
        counts = jnp.asarray([system.num_users for system in systems])
        closed[i][..., fits] = _closed_forms_of_first_users(_largest(systems), counts)
        sample = Partial(networks_of_one_draw, systems=systems)
        statistic = Partial(_sum_se_of_each, systems)
        parts.append(common.Part(sample, statistic, f"N = {user_antennas}"))
        fitting.append(fits)
    estimates = common.simulate_all(parts, sampling)
    for i, (fits, estimate) in enumerate(zip(fitting, estimates, strict=True)):
        mean[i][..., fits], error[i][..., fits] = estimate.mean, estimate.std_error
    dims = ("user_antennas", "hardware", "estimator", "num_users")
    return iqi.make_dataset(
        {
            "user_antennas": parameters.user_antennas,
            "hardware": iqi.HARDWARE,
            "estimator": list(iqi.ESTIMATORS),
            "num_users": parameters.num_users,
        },
        sum_se=(dims, mean),
        sum_se_std_error=(dims, error),
        sum_se_closed_form=(dims, closed),
        simulated=(dims[:1], np.array([estimate.realizations for estimate in estimates])),
    )


def _systems(
    parameters: IqiUsers, num_users: np.ndarray, user_antennas: int
) -> tuple[CellFreeIQI, ...]:
    hardware = iqi.perfect_and_impaired(
        parameters.amplitude_mismatch, parameters.phase_mismatch_deg
    )
    return tuple(
        iqi.make_system(
            parameters,
            num_aps=parameters.num_aps,
            num_users=int(users),
            ap_antennas=parameters.ap_antennas,
            user_antennas=user_antennas,
            hardware=hardware,
        )
        for users in num_users
    )


def _largest(systems: tuple[CellFreeIQI, ...]) -> CellFreeIQI:
    return max(systems, key=lambda system: system.num_users)


@kept_jit
def _closed_forms_of_first_users(largest: CellFreeIQI, num_users: Array) -> Array:
    """Closed forms for the first users, shape (hardware, estimators, num_users), in one program.

    The others get no power: networks then have one shape. What the length of the pilots decides,
    their energy and the share of symbols that is left for data, is put right.
    """

    def of_first(count: Array) -> Array:
        served = jnp.arange(largest.num_users) < count
        amplitudes = jnp.broadcast_to(jnp.where(served, count**-0.5, 0.0), largest.beta.shape)
        pilot_snr = largest.pilot_snr * count / largest.num_users
        first = eqx.tree_at(
            lambda system: (system.amplitudes, system.pilot_snr),
            largest,
            (amplitudes, pilot_snr),
            is_leaf=lambda leaf: leaf is None,
        )
        prelog = 1.0 - count * largest.user_antennas / largest.coherence_length
        return prelog / largest.prelog * iqi.sum_se_closed_form(first)

    return jax.vmap(of_first, out_axes=-1)(num_users)


def networks_of_one_draw(
    key: Array, *, systems: tuple[CellFreeIQI, ...]
) -> tuple[DownlinkMoments, ...]:
    """Moments of networks with different numbers of users, all from the draws of one key.

    Args:
        key: Typed key of the realization.
        systems: Networks with beta = 1 that differ in their users only; the hardware is swept.

    Returns:
        For each system its moments, shape (hardware, estimators, users, n, n).
    """
    largest = _largest(systems)
    channel_key, noise_key = jax.random.split(key)
    shape = (largest.num_aps * largest.ap_antennas, largest.streams)
    always = largest.pilot_snr >= 0
    h, noise = (
        computed_once(split_complex_normal(each, shape), always)
        for each in (channel_key, noise_key)
    )
    return tuple(
        _moments_of_networks(_cut(h, largest, system), _cut(noise, largest, system), system)
        for system in systems
    )


def _cut(draw: Array, largest: CellFreeIQI, system: CellFreeIQI) -> Array:
    """As many disjoint networks of `system.num_users` users as the draw holds, on a first axis."""
    users, antennas = system.num_users, system.user_antennas
    networks = largest.num_users // users
    per_user = draw.reshape(*draw.shape[:2], antennas, largest.num_users)
    cut = per_user[..., : networks * users].reshape(*draw.shape[:2], antennas, networks, users)
    return jnp.moveaxis(cut, -2, 0).reshape(networks, *draw.shape[:2], antennas * users)


def _moments_of_networks(g: Array, noise: Array, system: CellFreeIQI) -> DownlinkMoments:
    def of_one(g: Array, noise: Array, system: CellFreeIQI) -> DownlinkMoments:
        signal = PilotSignal(jnp.sqrt(system.pilot_energy) * g + noise, imbalanced=False)
        each = [estimator(system.receive) for estimator in iqi.ESTIMATORS.values()]
        corrections = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        return jax.vmap(lambda correction: moments_of_pilots(g, signal, system, correction))(
            corrections
        )

    over_hardware = jax.vmap(of_one, in_axes=(None, None, system.sweep_axes))
    networks = jax.vmap(over_hardware, in_axes=(0, 0, None))(g, noise, system)
    return jax.tree.map(lambda moments: moments.mean(0), networks)


def _sum_se_of_each(
    systems: tuple[CellFreeIQI, ...], moments: tuple[DownlinkMoments, ...]
) -> Array:
    """Shape (hardware, estimators, systems); users that a network lacks add nothing to its sum."""
    largest = _largest(systems)

    def padded(of_system: Array) -> Array:
        lacking = largest.num_users - of_system.shape[2]
        return jnp.pad(of_system, ((0, 0), (0, 0), (0, lacking), (0, 0), (0, 0)))

    def side_by_side(*of_systems: Array) -> Array:
        return jnp.stack([padded(each) for each in of_systems], axis=2)

    prelogs = jnp.asarray([system.prelog for system in systems]) / largest.prelog
    return prelogs[None, None] * iqi.sum_se(largest, jax.tree.map(side_by_side, *moments))


CURVES = (
    ("perfect", "linear", "-", "o"),
    ("impaired", "linear", "--", "s"),
    ("impaired", "widely linear", ":", "^"),
)


def plot(dataset: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw closed forms as lines and simulated points, a colour per number of user antennas."""
    ax = new_axes(ax)
    for i, user_antennas in enumerate(dataset.user_antennas.values):
        for hardware, estimator, linestyle, marker in CURVES:
            curve = dataset.sel(user_antennas=user_antennas, hardware=hardware, estimator=estimator)
            curve = curve.dropna("num_users")
            curve_with_points(
                ax,
                curve.num_users,
                closed_form=curve.sum_se_closed_form,
                mean=curve.sum_se,
                std_error=curve.sum_se_std_error,
                realizations=curve.attrs.get("realizations"),
                label=f"N = {user_antennas}, {hardware}"
                + (f", {estimator}" if hardware == "impaired" else ""),
                color=PALETTE[i % len(PALETTE)],
                linestyle=linestyle,
                marker=marker,
            )
    ax.set(xlabel=axis_label(dataset.num_users), ylabel=axis_label(dataset.sum_se))
    ax.set_ylim(bottom=0)
    legend_beside(ax, "lines: closed form\npoints: simulation, 95 %")
    return ax


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge the paper's claims by the closed form of the linear estimator."""
    curves = dataset.sum_se_closed_form.sel(estimator="linear")
    best = [
        (int(n), curve.idxmax("num_users").item(), curve.num_users.values[[0, -1]])
        for n in dataset.user_antennas
        for curve in (curves.sel(user_antennas=n, hardware="impaired").dropna("num_users"),)
    ]
    loss = 1 - curves.sel(hardware="impaired") / curves.sel(hardware="perfect")
    return [
        iqi.simulation_agrees(dataset),
        Claim(
            "the sum SE has a maximum over the number of users",
            exactly(all(ends[0] < users < ends[1] for _, users, ends in best)),
            ", ".join(f"at K = {users:g} for N = {n}" for n, users, _ in best),
        ),
        Claim(
            "the relative loss by imbalance is mostly constant",
            exactly(loss.max() < 1.5 * loss.min()),
            f"between {100 * float(loss.min()):.1f} and {100 * float(loss.max()):.1f} %",
        ),
    ]


STUDY = Study(
    name="iqi-users",
    summary="Sum SE of cell-free massive MIMO against the number of users, with its maximum",
    paper=iqi.PAPER,
    figure="figure 3",
    parameters=IqiUsers,
    realizations=600,
    run=run,
    plot=plot,
    claims=claims,
)
