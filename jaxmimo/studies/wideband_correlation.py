"""Spatial correlation over a wide band, section III of Ahn et al.: micro, macro, and both."""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial

from jaxmimo.channel.pathloss import SPEED_OF_LIGHT
from jaxmimo.studies import (
    common,
    domains,
    wideband_correlation_claims,
    wideband_correlation_draws,
    wideband_correlation_forms,
    wideband_correlation_picture,
)
from jaxmimo.studies.study import Parameters, Sampling, Study
from jaxmimo.studies.wideband import PAPER

PARTS = ("array", "place", "gains")
"""What loses correlation over frequency: antennas of one AP, the phase of its distance, paths."""
SWEPT = {
    "spacing_correlation": "spacing",
    "frequency_correlation": "separation_mhz",
    "kronecker_miss": "kronecker_std_deg",
    "jitter_correlation": "jitter_cm",
}
"""What is swept for each closed form; it is also drawn between the values."""
RATIOS = {"separation_mhz": 400, "kronecker_std_deg": 40}
"""Of these, the ones with a logarithmic axis, and values to draw."""

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
    swept, dense = _dense(parameters)
    forms = jax.tree.map(np.asarray, wideband_correlation_forms.closed_forms(dense))
    kronecker, miss = wideband_correlation_forms.kronecker(
        forms["correlation"], forms["micro"], forms["macro"]
    )
    curves = {
        **{name: abs(forms[name]) for name in ("spacing_correlation", "frequency_correlation")},
        "kronecker_miss": miss,
        "jitter_correlation": forms["jitter_correlation"],
    }
    forms = {name: forms[name][..., swept[SWEPT[name]]] for name in forms if name in SWEPT}
    kronecker = kronecker[:, swept[SWEPT["kronecker_miss"]]]
    phases = {
        name: _phase(forms[name]) for name in ("spacing_correlation", "frequency_correlation")
    }
    sample = Partial(wideband_correlation_draws.draw, parameters, phases)
    estimate = common.simulate(
        sample, Partial(_statistic, kronecker), sampling, judged=_widest_spread
    )
    outer = {
        "spacing_correlation": "angular_std_deg",
        "frequency_correlation": "part",
        "kronecker_miss": "assumption",
        "jitter_correlation": "bearing_deg",
    }
    variables = {}
    for name, by in outer.items():
        along = SWEPT[name]
        variables[name] = ((by, along), estimate.mean[name])
        variables[f"{name}_std_error"] = ((by, along), estimate.std_error[name])
        variables[f"{name}_closed_form"] = ((by, along), curves[name][..., swept[along]])
        variables[f"{name}_densely"] = ((by, f"{along}_dense"), curves[name])
    coordinates = _coordinates(parameters)
    for along in swept:
        coordinates[f"{along}_dense"] = getattr(dense, along)
    dataset = common.make_dataset(coordinates, variables, _attributes())
    return dataset.assign_attrs(realizations=estimate.realizations)


def _coordinates(parameters: WidebandCorrelation) -> dict[str, Any]:
    swept = {"part": PARTS, "assumption": tuple(wideband_correlation_forms.ASSUMPTIONS)}
    named = {
        name: getattr(parameters, name)
        for name in _ATTRIBUTES
        if name in WidebandCorrelation.__dataclass_fields__
    }
    return {**swept, **named}


def _dense(
    parameters: WidebandCorrelation,
) -> tuple[dict[str, np.ndarray], WidebandCorrelation]:
    """Where the swept values are among denser ones, between which closed forms look smooth."""
    places, dense = {}, {}
    for name in SWEPT.values():
        values = np.asarray(getattr(parameters, name))
        ratios = name in RATIOS and values[0] > 0
        between = (np.geomspace if ratios else np.linspace)(
            values[0], values[-1], RATIOS.get(name, 400)
        )
        every = np.union1d(values, np.clip(between, values[0], values[-1]))
        places[name], dense[name] = np.searchsorted(every, values), tuple(every.tolist())
    return places, replace(parameters, **dense)


def _attributes() -> dict[str, tuple[str, str]]:
    closed_forms = {
        f"{name}_closed_form": (f"{long_name}, closed form", unit)
        for name, (long_name, unit) in _ATTRIBUTES.items()
    }
    dense = {
        f"{name}_{ending}": _ATTRIBUTES[name]
        for names, ending in ((SWEPT, "densely"), (SWEPT.values(), "dense"))
        for name in names
    }
    return {**_ATTRIBUTES, **closed_forms, **dense}


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
