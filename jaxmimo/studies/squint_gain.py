"""Beam squint, section III-B of Ahn et al.: array gain over the band, leakage over DFT bins."""

import math
from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial

from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.core.checks import require
from jaxmimo.core.programs import kept_jit
from jaxmimo.core.randomness import uniform
from jaxmimo.core.units import to_db
from jaxmimo.rates import beam_squint
from jaxmimo.studies import common, domains, squint_gain_picture
from jaxmimo.studies.study import Claim, Parameters, Sampling, Study
from jaxmimo.studies.verdicts import agree, exactly
from jaxmimo.studies.wideband import PAPER

KNOWN_LOSSES_DB = {16: 0.03, 64: 0.57, 256: 12.2}
"""At the edge of 400 MHz at 28 GHz, 60 degrees and half a wavelength, by the number of antennas."""
NEIGHBOURS = 6
"""Bins shown either side of the peak at the carrier."""
FINER = 64
"""Points of a padded FFT for each bin."""
AGREE_DB = 0.5
"""Difference within which a simulation must be known to lie at its closed form [dB]."""
ROUNDING = 1e-5
"""Error that single precision leaves where nothing is random [dB]."""

_ATTRIBUTES = {
    "gain_db": ("Array gain at the angle, relative", "dB"),
    "mean_gain_db": ("Mean array gain over users, relative", "dB"),
    "mean_gain_closed_form_db": ("Mean array gain, closed form", "dB"),
    "leakage": ("Share of the power", "1"),
    "peak_shift": ("Shift of the peak at the edge, by FFT", "bins"),
    "peak_shift_closed_form": ("Shift M x", "bins"),
    "half_power_bandwidth": ("Half-power bandwidth", "MHz"),
    "half_power_bandwidth_many": ("0.886 c / (M delta sin theta)", "MHz"),
    "num_antennas": ("Antennas M", "1"),
    "frequency_offset_mhz": ("Frequency offset", "MHz"),
    "place": ("Place in the band", "1"),
    "bin": ("DFT bin from the peak at the carrier", "1"),
    "carrier_ghz": ("Carrier", "GHz"),
    "bandwidth_mhz": ("Bandwidth", "MHz"),
    "antenna_spacing": ("Antenna spacing", "wavelengths"),
    "angle_deg": ("Angle", "degrees"),
    "sector_deg": ("Half width of the sector", "degrees"),
}
_SCALARS = ("carrier_ghz", "bandwidth_mhz", "antenna_spacing", "angle_deg", "sector_deg")


@dataclass(frozen=True)
class SquintGain(Parameters):
    """Parameters of the pictures of beam squint."""

    num_antennas: tuple[int, ...] = (16, 64, 256)
    """Antennas M of an AP, increasing, a curve each; the leakage is that of the most."""
    carrier_ghz: float = 28.0
    """Carrier frequency [GHz]."""
    bandwidth_mhz: float = 400.0
    """Bandwidth W [MHz]."""
    antenna_spacing: Annotated[float, domains.WAVELENGTHS] = 0.5
    """Antenna spacing [wavelengths of the carrier]."""
    angle_deg: float = 60.0
    """Angle of the beam from boresight [degrees]."""
    sector_deg: Annotated[float, domains.SPREAD] = 60.0
    """Random users are uniform up to this, either side of boresight [degrees]."""
    num_frequencies: int = 41
    """Frequencies across the band, edges included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.num_frequencies >= 2,
            f"`num_frequencies` must be at least 2, but got {self.num_frequencies}. Try 41.",
        )

    def largest_array(self) -> int:
        """Numbers in the gains over the band, and in a padded FFT."""
        return self.num_antennas[-1] * max(self.num_frequencies, FINER)

    @property
    def spacing(self) -> float:
        """Antenna spacing [m]."""
        return self.antenna_spacing * SPEED_OF_LIGHT / (1e9 * self.carrier_ghz)

    @property
    def offsets_mhz(self) -> np.ndarray:
        """Frequencies from the carrier [MHz]."""
        edge = 0.5 * self.bandwidth_mhz
        return np.linspace(-edge, edge, self.num_frequencies)


def run(parameters: SquintGain, sampling: Sampling) -> xr.Dataset:
    """Evaluate the closed forms, and simulate the mean gain with one random user a realization."""
    offsets = parameters.offsets_mhz
    closed_forms = jax.tree.map(np.asarray, _closed_forms(parameters))
    bins, leakage = _about_peak(closed_forms["leakage"])
    gain_dims = ("num_antennas", "frequency_offset_mhz")
    estimate = common.simulate(
        Partial(_random_user, parameters, jnp.asarray(1e6 * offsets)),
        _in_decibels,
        sampling,
        judged=itemgetter("linear"),
    )
    dataset = common.make_dataset(
        {
            "num_antennas": parameters.num_antennas,
            "frequency_offset_mhz": offsets,
            "place": ("carrier", "upper edge"),
            "bin": bins,
            **{name: getattr(parameters, name) for name in _SCALARS},
        },
        {
            "gain_db": (gain_dims, closed_forms["gain_db"]),
            "mean_gain_db": (gain_dims, estimate.mean["decibels"]),
            "mean_gain_db_std_error": (gain_dims, estimate.std_error["decibels"]),
            "mean_gain_closed_form_db": (gain_dims, closed_forms["mean_gain_db"]),
            "leakage": (("place", "bin"), leakage),
            **_of_arrays(parameters, closed_forms["half_power_bandwidth"]),
        },
        _ATTRIBUTES,
    )
    return dataset.assign_attrs(realizations=estimate.realizations)


def _random_user(parameters: SquintGain, offsets: Array, key: Array) -> Array:
    angle = math.radians(parameters.sector_deg) * (2 * uniform(key, ()) - 1)
    return jnp.stack(
        [
            beam_squint.beam_squint_gain(offsets, antennas, parameters.spacing, angle)
            for antennas in parameters.num_antennas
        ]
    )


def _in_decibels(gain: Array) -> dict[str, Array]:
    return {"linear": gain, "decibels": to_db(gain)}


@kept_jit
def _closed_forms(parameters: SquintGain) -> dict[str, Array]:
    """Gains at the angle and in the mean, leakage and bandwidth of each array, in one program."""
    offsets, spacing = 1e6 * parameters.offsets_mhz, parameters.spacing
    angle = math.radians(parameters.angle_deg)
    angular_std = math.radians(parameters.sector_deg) / math.sqrt(3)
    arrays = parameters.num_antennas
    gains = [beam_squint.beam_squint_gain(offsets, m, spacing, angle) for m in arrays]
    means = [beam_squint.mean_squint_gain(offsets, m, spacing, 0.0, angular_std) for m in arrays]
    widths = [beam_squint.squint_bandwidth(m, spacing, angle) for m in arrays]
    places = np.array([0.0, offsets[-1]])
    return {
        "gain_db": to_db(jnp.stack(gains)),
        "mean_gain_db": to_db(jnp.stack(means)),
        "half_power_bandwidth": jnp.stack(widths),
        "leakage": beam_squint.dft_leakage(
            places, arrays[-1], spacing, angle, 1e9 * parameters.carrier_ghz
        ),
    }


def _about_peak(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bins about the peak at the carrier, and their shares of the power there and at the edge."""
    antennas = shares.shape[-1]
    reach = min(NEIGHBOURS, (antennas - 1) // 2)
    bins = np.arange(-reach, reach + 1)
    return bins, shares[:, (shares[0].argmax() + bins) % antennas]


def _of_arrays(
    parameters: SquintGain, half_power_bandwidth: np.ndarray
) -> dict[str, tuple[tuple[str], np.ndarray]]:
    """Shift of the peak and bandwidth of each array, and what the rules of thumb say."""
    angle, edge = math.radians(parameters.angle_deg), 0.5e6 * parameters.bandwidth_mhz
    lag = parameters.spacing * math.sin(angle) / SPEED_OF_LIGHT
    antennas = np.asarray(parameters.num_antennas)
    carrier = 1e9 * parameters.carrier_ghz
    moved = [
        _peak(m, (carrier + edge) * lag) - _peak(m, carrier * lag) for m in parameters.num_antennas
    ]
    with np.errstate(divide="ignore"):
        many = 0.886 / (antennas * abs(np.float64(lag)))
    values = {
        "peak_shift": (np.array(moved) + antennas / 2) % antennas - antennas / 2,
        "peak_shift_closed_form": antennas * edge * lag,
        "half_power_bandwidth": half_power_bandwidth.astype(float) / 1e6,
        "half_power_bandwidth_many": many / 1e6,
    }
    return {name: (("num_antennas",), value) for name, value in values.items()}


def _peak(num_antennas: int, turns: float) -> float:
    """Where the response peaks among the bins, between them too, by a padded FFT."""
    response = np.exp(-2j * np.pi * turns * np.arange(num_antennas))
    power = abs(np.fft.ifft(response, FINER * num_antennas)) ** 2
    top = int(power.argmax())
    before, here, after = power[[top - 1, top, (top + 1) % power.size]]
    curvature = before - 2 * here + after
    return (top + (0.5 * (before - after) / curvature if curvature else 0.0)) / FINER


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Judge what follows from the section, which stops before its results."""
    return [*_edge_losses(dataset), _shift(dataset), *_bandwidth(dataset), _agreement(dataset)]


def _edge_losses(dataset: xr.Dataset) -> list[Claim]:
    losses = -dataset.gain_db.isel(frequency_offset_mhz=-1)
    text = ", ".join(
        f"M = {m}: {loss:.2f} dB"
        for m, loss in zip(losses.num_antennas.values, losses.values, strict=True)
    )
    default = SquintGain()
    if all(dataset[name].item() == getattr(default, name) for name in _SCALARS[:-1]):
        known = [m for m in KNOWN_LOSSES_DB if m in losses.num_antennas]
        gaps = [float(losses.sel(num_antennas=m)) - KNOWN_LOSSES_DB[m] for m in known]
        if known:
            expected = ", ".join(f"{KNOWN_LOSSES_DB[m]:g} dB at M = {m}" for m in known)
            close = all(abs(gap) < 0.05 for gap in gaps)
            text_of = f"beam squint costs at the edge: {expected}"
            return [Claim(text_of, exactly(close), text)]
    return [
        Claim(
            "beam squint costs more at the edge the more antennas there are, up to the first null",
            exactly((losses.diff("num_antennas") > -1e-4).all()),
            text,
        )
    ]


def _shift(dataset: xr.Dataset) -> Claim:
    gap = float(abs(dataset.peak_shift - dataset.peak_shift_closed_form).max())
    shifts = ", ".join(
        f"M = {m}: {shift:.3f}"
        for m, shift in zip(dataset.num_antennas.values, dataset.peak_shift.values, strict=True)
    )
    return Claim(
        "the peak in the virtual-angle domain moves by M x bins",
        exactly(gap < 0.01),
        f"bins by FFT at the edge: {shifts}; off by {gap:.1g} at most",
    )


def _bandwidth(dataset: xr.Dataset) -> list[Claim]:
    many = dataset.sel(num_antennas=dataset.num_antennas >= 16)
    ratio = (many.half_power_bandwidth / many.half_power_bandwidth_many).values
    if ratio.size == 0 or not np.isfinite(ratio).all():
        return []
    widths = ", ".join(f"{width:.0f}" for width in many.half_power_bandwidth.values)
    return [
        Claim(
            "half of the gain is kept over 0.886 c / (M delta sin theta), for 16 antennas or more",
            exactly((abs(ratio - 1) < 0.005).all()),
            f"{widths} MHz exactly; ratios {', '.join(f'{each:.4f}' for each in ratio)}",
        )
    ]


def _agreement(dataset: xr.Dataset) -> Claim:
    gap = dataset.mean_gain_db - dataset.mean_gain_closed_form_db
    error = dataset.mean_gain_db_std_error
    worst = float((abs(gap) / np.maximum(error, ROUNDING)).max())
    return Claim(
        f"beyond the paper: the mean gain over random users has a closed form, to {AGREE_DB:g} dB "
        "at least",
        agree(dataset, (gap, error, AGREE_DB), floor=ROUNDING),
        f"simulation differs by {worst:.1f} standard errors at most",
    )


STUDY = Study(
    name="squint-gain",
    summary="Array gain over a wide band under beam squint, and leakage over DFT bins",
    paper=PAPER,
    figure="section III-B",
    parameters=SquintGain,
    realizations=20_000,
    run=run,
    plot=squint_gain_picture.plot,
    claims=claims,
)
