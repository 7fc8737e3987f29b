"""The figures of the headlines, for small networks: sides agree, and every goal has its measure."""

import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from benchmarks.beams_figure_case import beams_groups
from benchmarks.beams_network import BeamsNetwork
from benchmarks.floor import Floor
from benchmarks.measures import Effort, pooled
from benchmarks.report import GOALS
from benchmarks.rician_cases import rician_axis, rician_se
from benchmarks.rician_network import RICIAN
from benchmarks.timing import Contender, Timing, repeated
from benchmarks.wideband_cases import wideband_se
from benchmarks.wideband_network import WIDEBAND
from benchmarks.workloads import rician_figure
from jaxmimo.simulation.batches import usable_cores

TINY = Effort(
    realizations=512,
    numpy_realizations=256,
    pointwise_realizations=256,
    loop_realizations=16,
    drops_at_once=4,
    repeats=2,
    fresh=False,
)
SMALL_RICIAN = replace(
    RICIAN, num_aps=(1, 4), rician_db=(-10.0, 10.0), antennas=8, users=4, realizations=8
)
SMALL_BEAMS = BeamsNetwork(
    azimuth_antennas=8, elevation_antennas=6, users=7, azimuth_groups=(2, 8), elevation_groups=2
)
SMALL_WIDEBAND = replace(WIDEBAND, users=3, aps=4, antennas=4, paths=3, subcarriers=32)


@pytest.mark.parametrize(
    ("case", "network"),
    [
        (rician_se, SMALL_RICIAN),
        (beams_groups, SMALL_BEAMS),
        (wideband_se, SMALL_WIDEBAND),
    ],
)
def test_case_has_every_measure_that_a_goal_is_set_for(case, network):
    row = case(TINY, network).as_json()
    goals = [goal.key for goal in GOALS if goal.case == row["case"]]
    assert len(goals) == 4
    assert all(row[key] > 0 for key in (*goals, "steady_s", "seconds_to_half_percent"))


def test_an_axis_is_measured_against_one_of_its_values():
    row = rician_axis(TINY, SMALL_RICIAN).as_json()
    assert row["values"] == 2
    assert row["ratio_axis_to_one_factor"] > 0


def test_share_of_a_floor_is_the_median_of_the_shares_of_rounds():
    ways = {"slow": Contender(list), "fast": Contender(list)}
    floor = Floor({"part": ways}, lambda us: {"part": 2 * us["part"]})
    steady = Timing((10.0, 20.0, 40.0), 10)  # slowed by neighbours, who slow the part as well
    timings = {
        "floor part, slow": Timing((9.0, 9.0, 0.5), 10),  # but for a lucky moment
        "floor part, fast": Timing((1.0, 8.0, 8.0), 10),
    }
    assert floor.contenders.keys() == timings.keys()
    assert floor.share(timings, steady) == pytest.approx(0.4)  # of 0.2, 0.8, 0.4
    further = floor.further(timings, steady)
    assert further == pytest.approx({"floor_share_of_minima": 0.2, "floor_part_us": 2e5})


def test_repeated_calls_take_about_as_long_as_asked():
    contender = repeated(partial(time.sleep, 0.01), 3, 0.1)
    calls = contender.realizations / (3 * usable_cores())
    assert calls == pytest.approx(10, abs=5)


def test_pooled_runs_are_independent_and_narrow_the_error():
    figure = rician_figure(SMALL_RICIAN)
    mean, error = pooled(figure, 512, 16)
    alone = figure(512)
    np.testing.assert_allclose(error, np.asarray(alone.std_error) / 4, rtol=0.5)
    assert np.all(np.abs(mean - alone.mean) < 5 * np.asarray(alone.std_error))
    assert np.all(mean != alone.mean)
