"""Figure 6 and table 6 of Fan et al.: sum rate and FLOPs against the number of subsectors."""

from dataclasses import dataclass
from operator import itemgetter

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array

from jaxmimo.rates.complexity import generalized_mrt_flops
from jaxmimo.studies import beams, beams_costs, beams_groups_claims, beams_picture, common
from jaxmimo.studies.study import Sampling, Study


@dataclass(frozen=True)
class BeamsGroups(beams.RateParameters):
    """Parameters of figure 6; the defaults are the paper's."""

    azimuth_groups: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Numbers of subsectors G, increasing."""
    elevation_groups: int = 4
    """Annular regions L, groups in elevation."""
    azimuth_antennas: int = 64
    """Azimuth antennas M."""
    elevation_antennas: int = 12
    """Elevation antennas N."""
    num_users: int = 20
    """Users K."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for groups in (self.azimuth_groups[0], self.azimuth_groups[-1]):
            beams.make_system(self, *_shape(self, groups).of_cell)


def _shape(parameters: BeamsGroups, azimuth_groups: int) -> beams_costs.Shape:
    return beams_costs.Shape(
        parameters.azimuth_antennas,
        parameters.elevation_antennas,
        azimuth_groups,
        parameters.elevation_groups,
        parameters.num_users,
    )


def run(parameters: BeamsGroups, sampling: Sampling) -> xr.Dataset:
    """Simulate the figure with one kernel: all schemes and groups share users and fading."""
    shapes = tuple(_shape(parameters, groups) for groups in parameters.azimuth_groups)
    sample = beams.both_rates(
        beams.make_system(parameters, *shapes[0].of_cell),
        tuple(beams.SCHEMES.values()),
        parameters.azimuth_groups,
        parameters.fading_realizations,
    )
    estimate = common.simulate(sample, _Statistic(shapes), sampling, judged=itemgetter("sum_rate"))
    dims = ("azimuth_groups", "scheme")
    whole = (len(shapes), len(beams.SCHEMES))
    variables = {}
    for name in ("sum_rate", "lead", "change", "sum_rate_equivalent", "flops"):
        for suffix, values in (("", estimate.mean), ("_std_error", estimate.std_error)):
            padded = _padded(np.asarray(values[name]), whole, before=name == "change")
            variables[f"{name}{suffix}"] = (dims, padded)
    return beams.make_dataset(
        {
            "azimuth_groups": parameters.azimuth_groups,
            "scheme": list(beams.SCHEMES),
            "elevation_groups": parameters.elevation_groups,
            "azimuth_antennas": parameters.azimuth_antennas,
            "elevation_antennas": parameters.elevation_antennas,
            "num_users": parameters.num_users,
        },
        estimate.realizations,
        **variables,
    )


def _padded(values: np.ndarray, shape: tuple[int, int], *, before: bool) -> np.ndarray:
    """Fill up with NaN: schemes after the last, and numbers of groups after or before."""
    lack = np.subtract(shape, values.shape)
    rows = (lack[0], 0) if before else (0, lack[0])
    return np.pad(values.astype(float), [rows, (0, lack[1])], constant_values=np.nan)


@dataclass(frozen=True)
class _Statistic:
    """Sum rates, FLOPs, and the differences that claims are about, from the means of drops."""

    shapes: tuple[beams_costs.Shape, ...]

    def __call__(self, means: dict[str, Array]) -> dict[str, Array]:
        rates = means["simulated"]
        return {
            "sum_rate": rates,
            "sum_rate_equivalent": means["equivalent"],
            "lead": rates[:, :-1] - rates[:, 1:],
            "change": jnp.diff(rates[:, : len(beams_costs.TWO_STAGE)], axis=0),
            "flops": self._flops(means),
        }

    def _flops(self, means: dict[str, Array]) -> Array:
        grouping = beams_costs.mean_grouping_flops(
            self.shapes, means["azimuth_rank"], means["elevation_rank"]
        )
        slnr = beams_costs.mean_slnr_flops(self.shapes, means["interferers"])
        mrt = [
            generalized_mrt_flops(*shape.of_array[:2], shape.num_users) / beams_costs.MILLION
            for shape in self.shapes
        ]
        return jnp.column_stack([grouping[:, None] + slnr, jnp.asarray(mrt)])


STUDY = Study(
    name="beams-groups",
    summary="Sum rate and FLOPs of two-stage 3D beamforming against the number of subsectors",
    paper=beams.PAPER,
    figure="figure 6 and table 6",
    parameters=BeamsGroups,
    realizations=64,
    run=run,
    plot=beams_picture.plot_groups,
    claims=beams_groups_claims.claims,
)
