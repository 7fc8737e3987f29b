"""The studies of beam squint and of wideband correlation: values, claims, pictures."""

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxmimo.plotting import new_axes
from jaxmimo.studies import squint_gain, wideband_correlation
from jaxmimo.studies.study import Sampling

# On one worker, so that each study is simulated once.

STUDIES = {each.STUDY.name: each.STUDY for each in (squint_gain, wideband_correlation)}
SMALL = {
    "squint-gain": {"num_frequencies": 5},
    "wideband-correlation": {
        "angular_std_deg": (5.0,),
        "spacing": (0.5, 2.0),
        "separation_mhz": (1.0, 10.0, 400.0),
        "num_antennas": 4,
        "kronecker_std_deg": (1.0, 40.0),
        "jitter_cm": (0.0, 0.2, 5.0),
    },
}
REALIZATIONS = 4000
CLAIMS = {"squint-gain": 4, "wideband-correlation": 5}


@pytest.fixture(scope="module")
def results():
    def simulate(study):
        sampling = Sampling(key=jax.random.key(1), realizations=REALIZATIONS)
        return study.run(study.parameters(**SMALL[study.name]), sampling)

    return {name: simulate(study) for name, study in STUDIES.items()}


@pytest.fixture(params=SMALL)
def result(request, results):
    return STUDIES[request.param], results[request.param]


def test_all_claims_hold(result):
    study, dataset = result
    claims = study.claims(dataset)
    assert len(claims) == CLAIMS[study.name]
    for claim in claims:
        assert claim.verdict == "holds", f"{claim.text}: {claim.evidence}"
        assert claim.evidence


def test_dataset_is_complete_and_labelled(result):
    _, dataset = result
    assert dataset.attrs["realizations"] == REALIZATIONS
    for name, variable in dataset.variables.items():
        assert variable.attrs["long_name"], name
        assert "units" in variable.attrs
    for name, variable in dataset.data_vars.items():
        assert np.isfinite(variable).all(), name


def test_squint_gain_values(results):
    dataset = results["squint-gain"]
    losses = -dataset.gain_db.sel(frequency_offset_mhz=200)
    np.testing.assert_allclose(losses, [0.0349, 0.5671, 12.231], rtol=3e-3)
    np.testing.assert_allclose(dataset.gain_db, dataset.gain_db[:, ::-1], atol=1e-5)
    np.testing.assert_allclose(dataset.mean_gain_db.sel(frequency_offset_mhz=0), 0, atol=1e-12)
    assert np.all(dataset.mean_gain_db_std_error.sel(frequency_offset_mhz=200) > 0)
    assert dataset.mean_gain_db_std_error.max() < 0.1
    closed = dataset.mean_gain_closed_form_db
    edges = closed.sel(frequency_offset_mhz=200)
    np.testing.assert_allclose(edges, [-0.0136, -0.2170, -2.9334], rtol=2e-3)
    np.testing.assert_allclose(dataset.peak_shift, [0.0495, 0.1979, 0.7918], atol=1e-3)
    assert dataset.leakage.sel(place="carrier").argmax("bin") == 6
    assert dataset.bin[dataset.leakage.sel(place="upper edge").argmax("bin")] == 1
    np.testing.assert_allclose(dataset.half_power_bandwidth, [3586.3, 895.17, 223.77], rtol=1e-4)


def test_wideband_correlation_values(results):
    dataset = results["wideband-correlation"]
    misses = dataset.kronecker_miss_closed_form
    assert misses.sel(assumption="independent angles", kronecker_std_deg=40) > 0.5
    np.testing.assert_allclose(
        misses.sel(assumption=["common angles", "independent scattering"]), 0, atol=1e-9
    )
    gains = dataset.frequency_correlation_closed_form.sel(part="gains", separation_mhz=10)
    assert float(gains) == pytest.approx(1 / np.hypot(1, np.pi), rel=1e-5)
    left = dataset.jitter_correlation_closed_form.sel(jitter_cm=5)
    np.testing.assert_allclose(left, [8.913e-4, 0.0144], rtol=1e-2)
    for name in ("spacing_correlation", "jitter_correlation", "kronecker_miss"):
        assert 0 < dataset[f"{name}_std_error"].max() < 0.05


def test_closed_forms_are_drawn_between_points_and_agree_at_them(results):
    dataset = results["wideband-correlation"]
    for name, along in wideband_correlation.SWEPT.items():
        dense, form = dataset[f"{name}_densely"], dataset[f"{name}_closed_form"]
        at_points = dense.sel({f"{along}_dense": dataset[along].values}).values
        np.testing.assert_array_equal(at_points, form.values)
        assert dense.sizes[f"{along}_dense"] >= 40
    # |sin x / x| touches zero at 150 MHz and rises to 0.2172 between it and the next zero.
    place = dataset.frequency_correlation_densely.sel(part="place")
    between = place[(place.separation_mhz_dense > 150) & (place.separation_mhz_dense < 300)]
    assert float(between.max()) == pytest.approx(0.2172, abs=5e-4)
    figure = STUDIES["wideband-correlation"].plot(dataset).get_figure()
    assert all(max(len(line.get_xdata()) for line in ax.lines) >= 40 for ax in figure.axes)


def test_a_wrong_closed_form_does_not_pass(results):
    """The claims of agreement are judged by standard errors that are small enough."""
    for name, variable in (
        ("squint-gain", "mean_gain_closed_form_db"),
        ("wideband-correlation", "jitter_correlation_closed_form"),
        ("wideband-correlation", "frequency_correlation_closed_form"),
    ):
        wrong = results[name].assign({variable: 0.9 * results[name][variable]})
        assert STUDIES[name].claims(wrong)[-1].verdict == "does not hold"


def test_other_parameters_have_other_claims():
    study = STUDIES["squint-gain"]
    parameters = study.parameters(
        num_antennas=(1, 8), bandwidth_mhz=100.0, angle_deg=20.0, num_frequencies=3
    )
    dataset = study.run(parameters, Sampling(jax.random.key(2), 64))
    edge, shift, agreement = study.claims(dataset)
    assert edge.verdict == "holds"
    assert "the more antennas" in edge.text
    assert shift.verdict == "holds"
    assert agreement.verdict == "holds"
    assert dataset.half_power_bandwidth[0] == np.inf
    study.plot(dataset)


def test_pictures(result):
    study, dataset = result
    ax = study.plot(dataset)
    figure = ax.get_figure()
    panels = figure.axes
    assert len(panels) == {"squint-gain": 3, "wideband-correlation": 4}[study.name]
    for panel in panels:
        assert panel.get_xlabel()
        assert panel.get_ylabel()
        assert panel.get_title()
    bars = [panel for panel in panels if panel.containers]
    assert len(bars) == {"squint-gain": 1, "wideband-correlation": 4}[study.name]
    mine = new_axes(Figure().add_subplot())
    assert study.plot(dataset, mine) is mine
    assert mine.lines


def test_impossible_parameters_are_refused():
    squint, correlation = (STUDIES[name].parameters for name in SMALL)
    for make, message in (
        (
            lambda: squint(num_antennas=(16, 4)),
            "`num_antennas` must increase, but holds 16 4. Write 4 16.",
        ),
        (lambda: squint(num_antennas=(0, 4)), "`num_antennas` must be at least 1"),
        (lambda: squint(num_frequencies=1), "`num_frequencies` must be at least 2"),
        (lambda: squint(carrier_ghz=0.0), "`carrier_ghz` must be at least 0.001"),
        (lambda: correlation(num_aps=0), "`num_aps` must be at least 1"),
        (lambda: correlation(antenna_spacing=-0.5), "`antenna_spacing` must be above 0"),
        (
            lambda: correlation(jitter_cm=()),
            "`jitter_cm` must hold at least one value, but is empty",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make()
