"""The NumPy baselines compute what the closed form says, and the harness reports it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import numpy_iqi
from benchmarks.agreement import assert_agreement, exact_curve
from benchmarks.engine_cases import memory
from benchmarks.iqi_cases import iqi_aps, iqi_mismatch
from benchmarks.iqi_network import IqiNetwork
from benchmarks.measures import Effort
from benchmarks.report import GOALS, document, print_table, write_json
from benchmarks.timing import Timing
from benchmarks.workloads import iqi_system
from jaxmimo.cell_free_iqi import closed_form_se

NETWORK = IqiNetwork(num_aps=(2, 3, 6), users=3, coherence_length=20, amplitude=0.4, phase=0.3)
TINY = Effort(
    realizations=512,
    numpy_realizations=256,
    pointwise_realizations=256,
    loop_realizations=128,
    repeats=2,
    fresh=False,
)
KEYS = {
    "case",
    "compile_cold_s",
    "compile_cached_s",
    "steady_s",
    "realizations_per_s",
    "seconds_to_half_percent",
    "peak_bytes",
    "floor_share",
    "ratio_numpy_shared",
    "ratio_numpy_pointwise",
    "ratio_numpy_loop",
}


def test_exact_curve_holds_the_closed_forms_of_the_smaller_networks():
    for aps, exact in zip(NETWORK.num_aps, exact_curve(NETWORK), strict=True):
        alone = iqi_system(replace(NETWORK, num_aps=(aps,)))
        assert exact == pytest.approx(float(closed_form_se(alone).sum()), rel=1e-5)


@pytest.mark.parametrize(
    ("baseline", "realizations"),
    [
        (numpy_iqi.shared, 8192),
        (numpy_iqi.split, 8192),
        (numpy_iqi.pointwise, 8192),
        (numpy_iqi.loop, 1024),
    ],
)
def test_baseline_agrees_with_the_closed_form(baseline, realizations):
    moments = baseline(NETWORK, realizations)
    mean, error = numpy_iqi.sum_se(NETWORK, moments)
    exact = exact_curve(NETWORK)
    # The first gate: an error bar small enough to mean something.
    assert np.all(error < 0.2 / np.sqrt(realizations / 64) * exact), (mean, error, exact)
    assert np.all(np.abs(mean - exact) < 5 * error), (mean, error, exact)


def test_split_baseline_equals_the_complex_one_in_its_moments():
    few = IqiNetwork(num_aps=(2,), users=2, coherence_length=20)
    shared, split = numpy_iqi.shared(few, 8192), numpy_iqi.split(few, 8192, seed=1)
    for name in ("desired", "received"):
        a, b = (getattr(moments, name).sum(0) / 8192 for moments in (shared, split))
        assert np.abs(a - b).max() < 0.05 * np.abs(a).max(), (name, a, b)


def test_baseline_rejects_realizations_that_do_not_fill_the_blocks():
    with pytest.raises(ValueError, match="multiple of batch x blocks"):
        numpy_iqi.shared(NETWORK, 100)


def test_agreement_is_asserted():
    with pytest.raises(AssertionError, match="disagrees"):
        assert_agreement("it", np.array([1.05]), np.array([0.001]), np.array([1.0]))


def test_ratios_take_the_less_flattering_statistic():
    slow, fast = Timing((2.0, 9.0, 9.0), 2), Timing((1.0, 1.0, 1.0), 1)
    assert slow.over(fast) == pytest.approx(1.0)
    assert slow.paired_ratio(fast) == pytest.approx(4.5)


def test_harness_reports_the_keys(tmp_path):
    rows = [
        iqi_aps(TINY, NETWORK),
        iqi_mismatch(TINY, IqiNetwork(num_aps=(4,), users=2, phase=0.0), (0.3, 1.0)),
        memory(TINY),
    ]
    write_json(tmp_path / "result.json", document(rows, "tiny"))
    result = json.loads((tmp_path / "result.json").read_text())
    assert {"date", "commit", "versions", "device", "dtype", "rows"} <= set(result)
    assert [row["case"] for row in result["rows"]] == ["iqi-aps", "iqi-mismatch", "memory"]
    assert all(set(row) >= KEYS for row in result["rows"])
    first = result["rows"][0]
    assert all(goal.key in first for goal in GOALS if goal.case == "iqi-aps")
    assert first["steady_s"] > 0
    assert first["compile_cold_s"] is None
    print_table(rows)
