"""Tables 1-5 and 7-11 of Fan et al.: FLOPs of user grouping and of SLNR precoding."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax import Array
from jax.tree_util import Partial

from jaxmimo.studies import beams, beams_costs, beams_flops_claims, beams_flops_picture, common
from jaxmimo.studies.beams_costs import Shape
from jaxmimo.studies.study import Sampling, Study
from jaxmimo.systems.beamforming_3d import Beamforming3D, draw_users
from jaxmimo.systems.beamforming_3d.cell import cells_of_arrays, factor_ranks

GROUPING = Shape(80, 10, 4, 4, 10)
"""Of the tables of grouping, what does not vary: M, N, G, L, K."""
GROUPING_UPRIGHT = Shape(10, 80, 4, 4, 10)
PRECODING = Shape(64, 12, 4, 4, 20)
"""Likewise of the tables of precoding."""
PRECODING_UPRIGHT = Shape(12, 64, 4, 4, 20)
COSTS = ("flops_grouping", "flops_overall", "flops_all", "flops_adjacent", "flops_own")


@dataclass(frozen=True)
class BeamsFlops(beams.AngleParameters):
    """Swept values of the tables; the defaults are the paper's, where its text has them."""

    table_1_azimuth_antennas: tuple[int, ...] = (80, 100, 120)
    """Table 1: numbers of azimuth antennas M, increasing; N = 10, G = L = 4, K = 10."""
    table_2_elevation_antennas: tuple[int, ...] = (10, 20, 30)
    """Table 2: numbers of elevation antennas N, increasing; M = 80, G = L = 4, K = 10."""
    table_3_azimuth_groups: tuple[int, ...] = (4, 8, 16)
    """Table 3: numbers of subsectors G, increasing; M = 80, N = 10, L = 4, K = 10."""
    table_4_elevation_groups: tuple[int, ...] = (4, 8, 16)
    """Table 4: numbers of annular regions L, increasing; M = 10, N = 80, G = 4, K = 10."""
    table_5_num_users: tuple[int, ...] = (10, 20, 30)
    """Table 5: numbers of users K, increasing; M = 80, N = 10, G = L = 4."""
    table_7_azimuth_groups: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Table 7: numbers of subsectors G, increasing; M = 64, N = 12, L = 4, K = 20."""
    table_8_elevation_groups: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Table 8: numbers of annular regions L, increasing; M = 12, N = 64, G = 4, K = 20."""
    table_9_azimuth_antennas: tuple[int, ...] = (12, 16, 20)
    """Table 9: numbers of azimuth antennas M, increasing; N = 64, G = L = 4, K = 20."""
    table_10_elevation_antennas: tuple[int, ...] = (12, 16, 20)
    """Table 10: numbers of elevation antennas N, increasing; M = 64, G = L = 4, K = 20."""
    table_11_num_users: tuple[int, ...] = (10, 20, 30)
    """Table 11: numbers of users K, increasing; M = 64, N = 12, G = L = 4."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for table, shape in points(self):
            try:
                beams.make_system(self, *shape.of_cell)
            except ValueError as error:
                name = f"table_{table}_{swept(table)}"
                raise ValueError(f"`{name}` must fit the rest of its table: {error}") from None


FIXED = {
    1: GROUPING,
    2: GROUPING,
    3: GROUPING,
    4: GROUPING_UPRIGHT,
    5: GROUPING,
    7: PRECODING,
    8: PRECODING_UPRIGHT,
    9: PRECODING_UPRIGHT,
    10: PRECODING,
    11: PRECODING,
}


def swept(table: int) -> str:
    """Name of what a table varies."""
    prefix = f"table_{table}_"
    return next(
        name.removeprefix(prefix)
        for name in BeamsFlops.__dataclass_fields__
        if name.startswith(prefix)
    )


def points(parameters: BeamsFlops) -> Iterator[tuple[int, Shape]]:
    """Every column of the paper's tables: the table and what it is counted for."""
    for table, fixed in FIXED.items():
        name = swept(table)
        for value in getattr(parameters, f"table_{table}_{name}"):
            yield table, replace(fixed, **{name: value})


def run(parameters: BeamsFlops, sampling: Sampling) -> xr.Dataset:
    """Count over drops of users with one kernel; all arrays see the same users."""
    every = list(points(parameters))
    shapes = tuple(dict.fromkeys(shape for _, shape in every))
    estimate = common.simulate(_sample_of(parameters, shapes), _Statistic(shapes), sampling)
    columns = [shapes.index(shape) for _, shape in every]
    variables = {}
    for name in COSTS:
        variables[name] = (("table",), np.asarray(estimate.mean[name])[columns])
        variables[f"{name}_std_error"] = (("table",), np.asarray(estimate.std_error[name])[columns])
    for field in Shape.__dataclass_fields__:
        variables[field] = (("table",), [getattr(shape, field) for _, shape in every])
    tables = {"table": [table for table, _ in every]}
    dataset = beams.make_dataset(tables, estimate.realizations, **variables)
    return dataset.set_coords(list(Shape.__dataclass_fields__))


def _sample_of(parameters: BeamsFlops, shapes: tuple[Shape, ...]) -> Partial:
    """Function of a key to the counts of one drop.

    Fewer users are the first of more, so all shapes look at the same users.
    """
    users = max(shape.num_users for shape in shapes)
    systems = {
        _array(shape): beams.make_system(parameters, *replace(shape, num_users=users).of_cell)
        for shape in shapes
    }
    ranks = tuple(map(factor_ranks, systems.values()))
    return Partial(_count, next(iter(systems.values())), shapes, tuple(systems), ranks)


def _array(shape: Shape) -> tuple[int, int]:
    return shape.azimuth_antennas, shape.elevation_antennas


def _count(
    system: Beamforming3D,
    shapes: tuple[Shape, ...],
    arrays: tuple[tuple[int, int], ...],
    ranks: tuple[tuple[int, int], ...],
    key: Array,
) -> dict[str, Array]:
    users_key, _ = jax.random.split(key)
    users = draw_users(users_key, system)
    cells = dict(zip(arrays, cells_of_arrays(system, users, arrays, ranks=ranks), strict=True))
    counts = [
        beams_costs.count_drop(
            cells[_array(shape)].split_into(shape.azimuth_groups, shape.elevation_groups),
            shape.num_users,
        )
        for shape in shapes
    ]
    return jax.tree.map(lambda *each: jnp.stack(each), *counts)


@dataclass(frozen=True)
class _Statistic:
    """Millions of FLOPs of every shape, from the means of what they depend on."""

    shapes: tuple[Shape, ...]

    def __call__(self, means: dict[str, Array]) -> dict[str, Array]:
        ranks = means["azimuth_rank"], means["elevation_rank"]
        slnr = beams_costs.mean_slnr_flops(self.shapes, means["interferers"])
        grouping = beams_costs.mean_grouping_flops(self.shapes, *ranks)
        overall = beams_costs.mean_overall_flops(self.shapes, means["rank"])
        return dict(zip(COSTS, (grouping, overall, *slnr.T), strict=True))


STUDY = Study(
    name="beams-flops",
    summary="FLOPs of user grouping and SLNR precoding of two-stage 3D beamforming",
    paper=beams.PAPER,
    figure="tables 1-5 and 7-11",
    parameters=BeamsFlops,
    realizations=128,
    run=run,
    plot=beams_flops_picture.plot,
    claims=beams_flops_claims.claims,
)
