"""Spatial correlation over a wide band, section III of Ahn et al.: micro, macro, and both."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial

from jaxmimo.channel.correlation import mean_wave
from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.core.programs import kept_jit
from jaxmimo.rates import wideband_correlation as rates
from jaxmimo.studies import (
    common,
    domains,
    wideband_correlation_claims,
    wideband_correlation_draws,
    wideband_correlation_picture,
)
from jaxmimo.studies.study import Parameters, Sampling, Study
from jaxmimo.studies.wideband import PAPER

PARTS = ("array", "place", "gains")
"""What loses correlation over frequency: antennas of one AP, the phase of its distance, paths."""
ASSUMPTIONS: dict[str, rates.AngleCorrelation] = {
    "common angles": rates.common_angles,
    "independent angles": rates.independent_angles,
    "independent scattering": rates.independent_scattering,
}

_ATTRIBUTES = {
    "spacing_correlation": ("Correlation of neighbours", "1"),
    "frequency_correlation": ("Correlation over frequency", "1"),
    "kronecker_miss": ("Share of R that Kronecker misses", "1"),
    "jitter_correlation": ("Macro-correlation left", "1"),
    "angular_std_deg": ("Angular spread", "degrees"),
    "spacing": ("Antenna spacing", "wavelengths"),
    "part": ("Part", "1"),
    "separation_mhz": ("Frequency separation", "MHz"),
    "assumption": ("Angles at the APs", "1"),
    "kronecker_std_deg": ("Angular spread", "degrees"),
    "bearing_deg": ("Angle between the APs, from the user", "degrees"),
    "jitter_cm": ("Position jitter, plus and minus", "cm"),
    "carrier_ghz": ("Carrier", "GHz"),
    "num_aps": ("APs L", "1"),
    "num_antennas": ("AP antennas M", "1"),
    "array_antennas": ("Antennas of the array over frequency", "1"),
    "delay_spread_ns": ("Delay spread", "ns"),
    "place_m": ("Uncertainty of the place, plus and minus", "m"),
}


@dataclass(frozen=True)
class WidebandCorrelation(Parameters):
    """Parameters of the pictures of correlation; angles are normal about one mean."""

    carrier_ghz: float = 28.0
    """Carrier frequency [GHz]."""
    angle_deg: float = 30.0
    """Mean angle of the paths from boresight, the same at all APs [degrees]."""
    antenna_spacing: Annotated[float, domains.WAVELENGTHS] = 0.5
    """Antenna spacing, but where it is swept [wavelengths of the carrier]."""
    angular_std_deg: Annotated[tuple[float, ...], domains.SPREAD] = (2.0, 5.0, 15.0)
    """Against the spacing: angular spreads, increasing, a curve each [degrees]."""
    spacing: Annotated[tuple[float, ...], domains.WAVELENGTHS] = tuple(
        0.25 * step for step in range(1, 17)
    )
    """Antenna spacings, increasing [wavelengths]."""
    separation_mhz: tuple[float, ...] = (
        *(1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 15.0, 20.0),
        *(30.0, 40.0, 60.0, 80.0, 110.0, 150.0, 200.0, 300.0, 400.0),
    )
    """Frequency separations, increasing; all of them reach up from the carrier [MHz]."""
    array_antennas: int = 256
    """Over frequency: antennas of the array, whose last one is compared with itself."""
    array_std_deg: Annotated[float, domains.SPREAD] = 5.0
    """Over frequency: angular spread at the array [degrees]."""
    place_m: Annotated[float, domains.LENGTH_OR_NONE] = 1.0
    """Over frequency: the user's place is uncertain by plus and minus this, both ways [m]."""
    delay_spread_ns: float = 50.0
    """Over frequency: delay spread of the paths, whose profile is exponential [ns]."""
    num_antennas: int = 8
    """Against the Kronecker product: antennas M of an AP."""
    num_aps: int = 2
    """Against the Kronecker product: APs L."""
    ap_distance_step_m: Annotated[float, domains.LENGTH_OR_NONE] = 10.0
    """Against the Kronecker product: step of the APs' distances [m]."""
    kronecker_std_deg: Annotated[tuple[float, ...], domains.SPREAD] = (
        *(1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 32.0, 64.0),
    )
    """Against the Kronecker product: angular spreads, increasing [degrees]."""
    jitter_cm: tuple[float, ...] = tuple(step / 10 for step in range(51))
    """Position jitters, increasing; the position is uniform in plus and minus this [cm]."""
    bearing_deg: tuple[float, ...] = (90.0, 180.0)
    """Angles between two APs as the user sees them, increasing, a curve each [degrees]."""
    ap_distance_m: float = 100.0
    """Distance of an AP whose phase the place decides [m]."""

    def largest_array(self) -> int:
        """Numbers in the correlations of all antennas of all APs."""
        return (self.num_antennas * self.num_aps) ** 2 * len(self.kronecker_std_deg)

    @property
    def carrier(self) -> float:
        """Carrier frequency [Hz]."""
        return 1e9 * self.carrier_ghz

    @property
    def element_spacing(self) -> float:
        """Antenna spacing [m]."""
        return self.antenna_spacing * SPEED_OF_LIGHT / self.carrier

    @property
    def angle(self) -> float:
        """Mean angle [rad]."""
        return math.radians(self.angle_deg)


def run(parameters: WidebandCorrelation, sampling: Sampling) -> xr.Dataset:
    """Simulate all parts with one kernel; closed forms stand beside."""
    forms = jax.tree.map(np.asarray, _closed_forms(parameters))
    kronecker, miss = _kronecker(forms["correlation"], forms["micro"], forms["macro"])
    phases = {
        name: _phase(forms[name]) for name in ("spacing_correlation", "frequency_correlation")
    }
    sample = Partial(wideband_correlation_draws.draw, parameters, phases)
    estimate = common.simulate(
        sample, Partial(_statistic, kronecker), sampling, judged=_widest_spread
    )
    closed_forms = {
        **{name: abs(forms[name]) for name in phases},
        "kronecker_miss": miss,
        "jitter_correlation": forms["jitter_correlation"],
    }
    dims = {
        "spacing_correlation": ("angular_std_deg", "spacing"),
        "frequency_correlation": ("part", "separation_mhz"),
        "kronecker_miss": ("assumption", "kronecker_std_deg"),
        "jitter_correlation": ("bearing_deg", "jitter_cm"),
    }
    variables = {}
    for name, of_it in dims.items():
        variables[name] = (of_it, estimate.mean[name])
        variables[f"{name}_std_error"] = (of_it, estimate.std_error[name])
        variables[f"{name}_closed_form"] = (of_it, closed_forms[name])
    dataset = common.make_dataset(_coordinates(parameters), variables, _attributes())
    return dataset.assign_attrs(realizations=estimate.realizations)


def _coordinates(parameters: WidebandCorrelation) -> dict[str, Any]:
    swept = {"part": PARTS, "assumption": tuple(ASSUMPTIONS)}
    named = {
        name: getattr(parameters, name)
        for name in _ATTRIBUTES
        if name in WidebandCorrelation.__dataclass_fields__
    }
    return {**swept, **named}


def _attributes() -> dict[str, tuple[str, str]]:
    closed_forms = {
        f"{name}_closed_form": (f"{long_name}, closed form", unit)
        for name, (long_name, unit) in _ATTRIBUTES.items()
    }
    return {**_ATTRIBUTES, **closed_forms}


def _phase(values: np.ndarray) -> np.ndarray:
    """Unit numbers in the direction of complex ones."""
    return np.exp(1j * np.angle(values))


def _statistic(kronecker: Array, means: dict[str, Array]) -> dict[str, Array]:
    """The means, with the correlation's squared distance from the product instead of itself."""
    correlation = means["correlation"]
    gap = jnp.sum(jnp.abs(correlation - kronecker) ** 2, axis=(-2, -1))
    whole = jnp.sum(jnp.abs(correlation) ** 2, axis=(-2, -1))
    rest = {name: values for name, values in means.items() if name != "correlation"}
    return {**rest, "kronecker_miss": gap / whole}


def _widest_spread(values: dict[str, Array]) -> Array:
    """Where the Kronecker product fails most; elsewhere a relative error means nothing."""
    return values["kronecker_miss"][1, -1]


@kept_jit
def _closed_forms(parameters: WidebandCorrelation) -> dict[str, Array]:
    """What has a closed form, with the factors of the Kronecker products, in one program."""
    correlation, micro, macro = _stacked_channel(parameters)
    return {
        "spacing_correlation": _spacing_correlation(parameters),
        "frequency_correlation": _frequency_correlation(parameters),
        "jitter_correlation": _jitter_correlation(parameters),
        "correlation": correlation,
        "micro": micro,
        "macro": macro,
    }


def _spacing_correlation(parameters: WidebandCorrelation) -> Array:
    phases = 2 * np.pi * np.asarray(parameters.spacing)
    stds = np.radians(parameters.angular_std_deg)
    return jax.vmap(partial(mean_wave, phases, parameters.angle))(stds)


def _frequency_correlation(parameters: WidebandCorrelation) -> Array:
    separation = 1e6 * np.asarray(parameters.separation_mhz)
    reach = (parameters.array_antennas - 1) * parameters.element_spacing
    phases = 2 * np.pi * separation * reach / SPEED_OF_LIGHT
    array = mean_wave(phases, parameters.angle, math.radians(parameters.array_std_deg))

    def of_place(offset: Array) -> Array:
        # The one AP lies along x.
        return rates.position_correlation(offset, 0.0, jnp.zeros(1), parameters.place_m)[0, 0]

    place = jax.vmap(of_place)(jnp.asarray(separation))
    gains = rates.frequency_correlation(separation, 1e-9 * parameters.delay_spread_ns)
    return jnp.stack([array, place + 0j, gains])


def _stacked_channel(parameters: WidebandCorrelation) -> tuple[Array, Array, Array]:
    """Correlation for each assumption and spread, micro of each spread, macro of each assumption.

    All are between the carrier and the widest separation.
    """
    aps = parameters.num_aps
    distances = jnp.asarray(parameters.ap_distance_step_m * np.arange(aps))
    offset = 1e6 * parameters.separation_mhz[-1]
    array = (parameters.num_antennas, parameters.element_spacing, parameters.angle)

    def macro_of(assumption: rates.AngleCorrelation) -> Array:
        alike = assumption is not rates.independent_scattering
        covariance = jnp.ones((aps, aps)) if alike else jnp.eye(aps)
        return rates.macro_correlation(offset, 0.0, distances, covariance + 0j)

    macro = [macro_of(assumption) for assumption in ASSUMPTIONS.values()]

    def of_spread(std: Array) -> tuple[Array, Array]:
        micro = rates.micro_correlation(offset, 0.0, *array, std, parameters.carrier)
        here, there = (
            rates.mean_response(frequency, *array, std, parameters.carrier)
            for frequency in (offset, 0.0)
        )
        # All APs see alike.
        blocks, here, there = (jnp.stack([each] * aps) for each in (micro, here, there))
        pairs = zip(ASSUMPTIONS.values(), macro, strict=True)
        each = [assumption(blocks, here, there, of_aps) for assumption, of_aps in pairs]
        return jnp.stack(each), micro

    stds = jnp.asarray(np.radians(parameters.kronecker_std_deg))
    correlation, micro = jax.vmap(of_spread, out_axes=(1, 0))(stds)
    return correlation, micro, jnp.stack(macro)


def _jitter_correlation(parameters: WidebandCorrelation) -> Array:
    bearings = jnp.asarray(np.radians([0.0, *parameters.bearing_deg]))
    carrier = parameters.carrier

    def of_jitter(jitter: Array) -> Array:
        return rates.position_correlation(carrier, carrier, bearings, jitter)[0, 1:]

    jitters = jnp.asarray(1e-2 * np.asarray(parameters.jitter_cm))
    return jax.vmap(of_jitter, out_axes=1)(jitters)


def _kronecker(
    correlation: np.ndarray, micro: np.ndarray, macro: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Kronecker product for each assumption and spread, and the share of R that it misses."""
    product = np.array([[np.kron(of_array, of_aps) for of_array in micro] for of_aps in macro])
    gap = np.linalg.norm(correlation - product, axis=(-2, -1))
    miss = (gap / np.linalg.norm(correlation, axis=(-2, -1))) ** 2
    return product, miss.astype(float).round(9)  # below that it is rounding


STUDY = Study(
    name="wideband-correlation",
    summary="Micro- and macro-correlation of a wideband cell-free network",
    paper=PAPER,
    figure="section III",
    parameters=WidebandCorrelation,
    realizations=20_000,
    run=run,
    plot=wideband_correlation_picture.plot,
    claims=wideband_correlation_claims.claims,
)
