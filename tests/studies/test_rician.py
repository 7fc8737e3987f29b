"""The four studies under Rician fading: values, claims, pictures, and the command."""

import jax
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from jaxmimo.cli import main
from jaxmimo.plotting import new_axes
from jaxmimo.studies import STUDIES, rician_se
from jaxmimo.studies.study import Sampling

# On one worker, so that each study is simulated once.

KAPPA = (-20.0, 0.0, 10.0, 40.0)
SMALL = {
    "rician-correlation": {"ap_antennas": (2, 8), "rician_factor_db": (-20.0, 10.0, 40.0)},
    "rician-condition": {"num_aps": (1, 16), "rician_factor_db": KAPPA},
    "rician-se": {"num_aps": (1, 4, 16), "rician_factor_db": KAPPA, "fading_realizations": 8},
    "rician-zf-mmse": {
        "num_antennas": 8,
        "num_aps": (8,),
        "num_users": (4, 8),
        "rician_factor_db": (-20.0, 40.0),
        "fading_realizations": 16,
    },
}
DROPS = 96
PHASE, SCATTERING = "the same with the propagation phase", "the same with local scattering"
VERDICTS = {
    "rician-correlation": ["holds", "holds", "holds", "holds", "holds"],
    "rician-condition": ["holds", "does not hold", "holds", "holds"],
    # None: too close to call with few drops.
    "rician-se": [
        *("holds", None, "holds"),  # MR gains only with one AP
        *("holds", "holds", "holds"),  # its best number of APs moves to one
        *("holds", "does not hold", "holds"),  # ZF and MMSE lose
        *("holds", "does not hold", "holds"),  # Q = 4 is best
        *("holds", "holds", None),  # ZF and MMSE are equal
    ],
    "rician-zf-mmse": ["holds", "holds", None, "holds", None, "holds"],
}
"""Verdicts in the order of the claims; those on other readings than the paper's follow its own."""


@pytest.fixture(scope="module")
def results():
    def simulate(name):
        study = STUDIES[name]
        sampling = Sampling(key=jax.random.key(1), realizations=DROPS)
        return study.run(study.parameters(**SMALL[name]), sampling)

    return {name: simulate(name) for name in SMALL}


@pytest.fixture(params=SMALL)
def result(request, results):
    return STUDIES[request.param], results[request.param]


def test_claims_are_judged_as_they_are_known_to_be(result):
    study, dataset = result
    claims = study.claims(dataset)
    assert len(claims) == len(VERDICTS[study.name])
    for claim, verdict in zip(claims, VERDICTS[study.name], strict=True):
        assert verdict is None or claim.verdict == verdict, f"{claim.text}: {claim.evidence}"
        assert claim.evidence
    assert claims[0].text != claims[1].text in (PHASE, SCATTERING)


def test_claims_that_cannot_be_judged_are_left_out(results):
    few = results["rician-se"].sel(num_aps=[16], rician_factor_db=[10])
    texts = {claim.text for claim in STUDIES["rician-se"].claims(few)}
    assert texts == {"ZF and MMSE are equal for K = 10 < M = 16", PHASE, SCATTERING}
    point = results["rician-condition"].sel(rician_factor_db=[10])
    assert STUDIES["rician-condition"].claims(point) == []
    (phase,) = STUDIES["rician-correlation"].claims(
        results["rician-correlation"].sel(ap_antennas=[2], rician_factor_db=[10])
    )
    assert "phase does not matter" in phase.text


def test_dataset_is_complete_and_labelled(result):
    study, dataset = result
    for name, variable in dataset.data_vars.items():
        if not name.endswith("_std_error") and name != "simulated":
            assert variable.dims[:2] == ("propagation_phase", "correlation_model")
            assert dataset[f"{name}_std_error"].dims == variable.dims
        assert np.isfinite(variable).all()
    for variable in dataset.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    assert dataset.attrs["realizations"] == DROPS
    assert list(dataset.propagation_phase.values) == ["off", "on"]
    assert list(dataset.correlation_model.values) == ["uncorrelated", "local scattering"]
    if study.name == "rician-se":
        assert "Standard error of SE" in dataset.se_std_error.attrs["long_name"]


def agrees(values, errors, known, known_errors):
    """Within 5 standard errors, which are small enough to mean something."""
    spread = np.hypot(errors, known_errors)
    assert np.all(spread < 0.13 * np.abs(known))
    np.testing.assert_array_less(np.abs(values - known), 5 * spread)


KNOWN_CORRELATION = np.array([0.7575, 0.5973, 0.4537, 0.3344, 0.2374])
"""At 10 dB for 2, 4, ... 32 antennas: the closed form over 200000 pairs of places, by NumPy."""


def test_correlation_agrees_with_numpy(results):
    chosen = {"correlation_model": "uncorrelated", "rician_factor_db": 10}
    points = results["rician-correlation"].sel(chosen)
    errors = points.correlation_std_error.values
    agrees(points.correlation.values, errors, KNOWN_CORRELATION[[0, 2]], 6e-4)


@pytest.mark.slow
def test_correlation_agrees_with_numpy_for_large_arrays():
    study = STUDIES["rician-correlation"]
    parameters = study.parameters(rician_factor_db=(10.0,))
    dataset = study.run(parameters, Sampling(key=jax.random.key(2), realizations=200))
    points = dataset.sel(correlation_model="uncorrelated", rician_factor_db=10)
    errors = points.correlation_std_error.values
    agrees(points.correlation.values, errors, KNOWN_CORRELATION, 6e-4)


KNOWN_SE = [  # phase, model, combiner, Q, kappa [dB], SE, its standard error
    ("off", "uncorrelated", "MR", 1, 10, 1.7446, 0.018),
    ("off", "uncorrelated", "MR", 16, 40, 0.27173, 0.0011),
    ("off", "uncorrelated", "ZF", 4, 40, 12.918, 0.05),
    ("off", "uncorrelated", "MMSE", 16, 40, 10.054, 0.07),
    ("off", "uncorrelated", "MMSE", 1, -20, 14.174, 0.019),
    ("on", "uncorrelated", "MR", 4, 10, 1.5044, 0.01),
    ("on", "uncorrelated", "ZF", 16, 40, 14.422, 0.016),
    ("off", "local scattering", "ZF", 1, -20, 13.536, 0.042),
    ("off", "local scattering", "MR", 4, 0, 1.3536, 0.0081),
    ("off", "local scattering", "MMSE", 4, 0, 13.873, 0.019),
]
KNOWN_CONDITION = [  # phase, model, Q, kappa [dB], mean of log10, its standard error
    ("off", "uncorrelated", 1, 40, 2.1461, 0.029),
    ("off", "uncorrelated", 16, 10, 1.3691, 0.0039),
    ("off", "uncorrelated", 1, -20, 0.943, 0.0053),
    ("off", "local scattering", 1, 10, 1.4722, 0.017),
    ("on", "uncorrelated", 16, 40, 0.71819, 0.0047),
]


def test_se_and_condition_number_agree_with_numpy(results):
    """Against 400 drops of an independent simulation."""
    se, condition = results["rician-se"], results["rician-condition"]
    for *labels, value, error in KNOWN_SE:
        point = se.sel(dict(zip(se.se.dims, labels, strict=True)))
        agrees(point.se, point.se_std_error, value, error)
    for *labels, value, error in KNOWN_CONDITION:
        name = "condition_number_log10"
        point = condition.sel(dict(zip(condition[name].dims, labels, strict=True)))
        agrees(point[name], point[f"{name}_std_error"], value, error)


def test_distribution_rises_from_0_to_1_and_has_the_mean(results):
    dataset = results["rician-se"]
    cdf, level = dataset.se_cdf, dataset.se_level
    assert float(level[0]) == 0.0
    assert np.all(cdf.isel(se_level=0) == 0)
    np.testing.assert_allclose(cdf.isel(se_level=-1), 1.0, rtol=1e-6)
    assert np.all(cdf.diff("se_level") >= -1e-6)
    # The mean is the area above the distribution function, which lies between two sums.
    steps = level.diff("se_level").values
    above = 1.0 - cdf.transpose(..., "se_level").values
    assert np.all((above[..., 1:] * steps).sum(-1) <= dataset.se.values + 1e-3)
    assert np.all((above[..., :-1] * steps).sum(-1) >= dataset.se.values - 1e-3)


def test_target_error_is_met_by_the_se_and_not_by_tails():
    study = STUDIES["rician-se"]
    parameters = study.parameters(
        num_antennas=4, num_aps=(4,), num_users=2, rician_factor_db=(10.0,), fading_realizations=2
    )
    reports = []
    sampling = Sampling(jax.random.key(0), 5000, target_error=0.02, progress=reports.append)
    dataset = study.run(parameters, sampling)
    relative = float((dataset.se_std_error / dataset.se).max())
    assert relative <= 0.02
    assert reports[-1].relative_error == pytest.approx(relative, rel=1e-4)
    assert reports[-1].done == dataset.attrs["realizations"] < 5000
    cdf = dataset.se_cdf.where(dataset.se_cdf > 0)
    assert float((dataset.se_cdf_std_error / cdf).max()) > 0.02


PANELS = {
    "rician-correlation": 2,
    "rician-condition": 2,
    "rician-se": 9,
    "rician-zf-mmse": 8,
}
ONE_PANEL = {
    "rician-correlation": {"propagation_phase": "on"},
    "rician-condition": {"propagation_phase": "on"},
    "rician-se": {"propagation_phase": "on", "combiner": "ZF"},
    "rician-zf-mmse": {
        "propagation_phase": "on",
        "correlation_model": "uncorrelated",
        "num_users": 4,
    },
}


def test_picture_has_labelled_panels_and_one_legend(result):
    study, dataset = result
    figure = study.plot(dataset).get_figure(root=True)
    assert len(figure.axes) == PANELS[study.name]
    titles = [ax.get_title() for ax in figure.axes]
    assert len(set(titles)) == len(titles)
    for ax in figure.axes:
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert len(ax.containers or ax.lines) >= 2
    (legend,) = figure.legends
    entries = [text.get_text() for text in legend.get_texts()]
    curves = dataset.sizes.get("num_aps", 0) or dataset.sizes["ap_antennas"]
    assert len(entries) == curves + 2
    assert {"uncorrelated", "MMSE"} & set(entries)
    figure.draw_without_rendering()
    left = legend.get_window_extent().x0
    assert all(ax.get_window_extent().x1 <= left for ax in figure.axes)


def test_one_panel_goes_into_given_axes_and_several_do_not(result):
    study, dataset = result
    ax = Figure().add_subplot()
    assert study.plot(dataset.sel(ONE_PANEL[study.name]), ax) is ax
    assert ax.get_legend() is not None
    assert "phase on" in ax.get_title()
    first = next(iter(ONE_PANEL[study.name]))
    with pytest.raises(ValueError, match=rf"`ax` takes one panel.*Select .*{first}") as caught:
        study.plot(dataset, new_axes())
    assert "\n" not in str(caught.value)


def test_picture_of_a_part_has_the_panels_of_that_part(results):
    dataset = results["rician-se"].sel(propagation_phase="off", combiner=["MR"])
    part = dataset.sel(correlation_model="uncorrelated")
    axes = STUDIES["rician-se"].plot(part)
    assert len(axes.get_figure(root=True).axes) == 2
    ax = new_axes()
    rician_se.plot_cdf(part.isel(combiner=0, num_aps=0), ax)
    assert len(ax.lines) == 1
    assert "10 dB" in ax.get_title()


@pytest.mark.slow
def test_large_networks_work_and_claims_adapt():
    study = STUDIES["rician-se"]
    parameters = study.parameters(
        num_antennas=64, num_aps=(16,), rician_factor_db=(-20.0, 40.0), fading_realizations=2
    )
    dataset = study.run(parameters, Sampling(key=jax.random.key(0), realizations=8))
    np.testing.assert_allclose(dataset.se_cdf.isel(se_level=-1), 1.0, rtol=1e-6)
    assert not any("Q = 4" in claim.text for claim in study.claims(dataset))


def test_command_runs_a_study_from_flags_to_files(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("COLUMNS", raising=False)
    flags = "--realizations 8 --num-antennas 4 --num-aps 4 --num-users 2 --rician-factor-db 0 10"
    args = ["run", "rician-se", "--out", str(tmp_path), *flags.split()]
    assert main([*args, "--fading-realizations", "2"]) == 0
    dataset = xr.load_dataset(tmp_path / "rician-se.nc", engine="h5netcdf")
    assert dataset.se.shape == (2, 2, 3, 1, 2)
    assert (tmp_path / "rician-se.png").stat().st_size > 10_000
    out = " ".join(capsys.readouterr().out.split())
    assert "ZF and MMSE are equal for K = 2 < M = 4" in out
    assert "Distribution function" not in out
    assert main(["show", str(tmp_path / "rician-se.nc")]) == 0


@pytest.mark.parametrize(
    ("study", "flags", "text"),
    [
        ("rician-se", "--num-aps 1 3", "`--num-aps` must divide `--num-antennas` = 16, but 3 does"),
        ("rician-se", "--num-aps 0 4", "--num-aps"),
        ("rician-se", "--num-aps 4 1", "`--num-aps` must increase"),
        ("rician-condition", "--num-antennas 8", "--num-aps"),
        ("rician-condition", "--num-users 1", "`--num-users` must be at least 2"),
        ("rician-se", "--fading-realizations 0", "`--fading-realizations` must be at least 1"),
        ("rician-se", "--rician-factor-db", "`--rician-factor-db` must hold at least one value"),
        ("rician-se", "--rician-factor-db nan", "`--rician-factor-db` must be a number"),
        ("rician-correlation", "--ap-antennas 4 2", "`--ap-antennas` must increase"),
        ("rician-correlation", "--num-aps 0", "`--num-aps` must be at least 1"),
        ("rician-zf-mmse", "--num-users 10 17", "`--num-users` must be at most"),
        ("rician-se", "--num-clusters 0", "--num-clusters"),
        ("rician-se", "--power-mw -1", "--power-mw"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(tmp_path, capsys, study, flags, text):
    assert main(["run", study, "--out", str(tmp_path), *flags.split()]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert text in error
    assert not list(tmp_path.iterdir())


def test_without_antennas_for_all_users_zf_is_left_out_with_a_word():
    study = STUDIES["rician-se"]
    parameters = study.parameters(
        num_antennas=4,
        num_aps=(1, 4),
        num_users=5,
        fading_realizations=2,
        rician_factor_db=(0.0, 20.0),
    )
    dataset = study.run(parameters, Sampling(jax.random.key(0), 16))
    assert list(dataset.combiner.values) == ["MR", "MMSE"]
    assert dataset.note == "ZF is left out: it cannot separate 5 users by 4 antennas."
    assert np.isfinite(dataset.se).all()
    texts = [claim.text for claim in study.claims(dataset)]
    assert "MMSE loses with the Rician factor for every number of APs" in texts
    assert not any("ZF" in text for text in texts)
    study.plot(dataset)
