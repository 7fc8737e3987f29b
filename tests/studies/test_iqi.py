"""The three I/Q studies: values, claims, pictures, and the command from end to end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from jaxmimo.cli import main
from jaxmimo.studies import STUDIES, iqi, iqi_users
from jaxmimo.studies.study import Sampling
from jaxmimo.systems.cell_free_iqi import simulate_se

# On one worker, so that each study is simulated once.

SMALL = {
    "iqi-mismatch": {"ap_antennas": (1, 2), "amplitude_mismatch": (0.2, 0.6, 1.0)},
    "iqi-aps": {"ap_antennas": (2,), "num_aps": (10, 20, 40)},
    "iqi-users": {"user_antennas": (1, 2), "num_users": (1, 20, 40, 99, 150)},
}


@pytest.fixture(scope="module", params=SMALL)
def result(request):
    study = STUDIES[request.param]
    sampling = Sampling(key=jax.random.key(1), realizations=150)
    return study, study.run(study.parameters(**SMALL[request.param]), sampling)


def test_all_claims_hold(result):
    study, dataset = result
    for claim in study.claims(dataset):
        assert claim.verdict == "holds", f"{claim.text}: {claim.evidence}"
        assert claim.evidence


def test_dataset_is_complete_and_labelled(result):
    _, dataset = result
    for name in ("sum_se", "sum_se_std_error", "sum_se_closed_form"):
        assert name in dataset
    for variable in dataset.variables.values():
        assert {"units", "long_name"} <= set(variable.attrs)
    agree = abs(dataset.sum_se - dataset.sum_se_closed_form) < 5 * dataset.sum_se_std_error
    assert bool(agree.where(dataset.sum_se.notnull(), other=True).all())
    assert float((dataset.sum_se_std_error / dataset.sum_se).max()) < 0.005


def test_picture_has_lines_points_and_error_bars(result):
    study, dataset = result
    ax = study.plot(dataset)
    assert ax.get_xlabel()
    assert "bit/s/Hz" in ax.get_ylabel()
    assert len(ax.containers) >= 2
    assert ax.get_legend() is not None


def test_figure_2_holds_the_known_values():
    study = STUDIES["iqi-aps"]
    parameters = study.parameters(ap_antennas=(2,), num_aps=(10, 20))
    dataset = study.run(parameters, Sampling(key=jax.random.key(0), realizations=64))
    closed = dataset.sum_se_closed_form.sel(ap_antennas=2, estimator="linear", num_aps=10)
    np.testing.assert_allclose(closed.sel(hardware="perfect"), 18.19, atol=6e-3)
    np.testing.assert_allclose(closed.sel(hardware="impaired"), 11.09, atol=6e-3)
    limit = dataset.sum_se_limit.sel(ap_antennas=2, hardware="impaired", estimator="linear")
    np.testing.assert_allclose(limit, 113.542, atol=1e-2)


def test_networks_cut_from_one_draw_follow_the_law_of_the_system():
    """Cut networks against networks drawn on their own; each within its standard error."""
    study = STUDIES["iqi-users"]
    parameters = study.parameters(user_antennas=(2,), num_users=(3, 8), num_aps=10)
    cut = study.run(parameters, Sampling(key=jax.random.key(0), realizations=4000))
    for users in (3, 8):
        system = iqi_users._systems(parameters, np.array([users]), 2)[0]
        alone = simulate_se(jax.random.key(9), system, realizations=4000)
        point = cut.sel(user_antennas=2, estimator="linear", num_users=users)
        error = np.hypot(point.sum_se_std_error, np.sqrt(users) * alone.std_error.max(-1))
        assert np.all(np.abs(point.sum_se - alone.mean.sum(-1)) < 5 * error)


def test_command_runs_a_study_from_flags_to_files(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    flags = [
        "--realizations",
        "70",
        "--num-aps",
        "4",
        "8",
        "--ap-antennas",
        "1",
        "--num-users",
        "3",
    ]
    code = _run(["run", "iqi-aps", "--out", str(tmp_path), *flags, "--seed", "5"])
    assert code == 0, capsys.readouterr().err
    dataset = xr.load_dataset(tmp_path / "iqi-aps.nc", engine="h5netcdf")
    assert dataset.sizes["num_aps"] == 2
    assert dataset.attrs["seed"] == 5
    assert (tmp_path / "iqi-aps.png").stat().st_size > 10_000
    assert "claim" in capsys.readouterr().out


def test_early_stop_reports_what_was_drawn():
    study = STUDIES["iqi-mismatch"]
    parameters = study.parameters(ap_antennas=(1,), amplitude_mismatch=(0.5,), num_aps=5)
    sampling = Sampling(key=jax.random.key(0), realizations=50_000, target_error=0.02)
    dataset = study.run(parameters, sampling)
    assert dataset.attrs["realizations"] < 5_000
    assert float((dataset.sum_se_std_error / dataset.sum_se).max()) <= 0.02


@pytest.mark.parametrize(
    ("flags", "parameter"),
    [
        (["--num-users", "120"], "--coherence-length"),
        (["--num-aps", "20", "10"], "--num-aps"),
        (["--amplitude-mismatch", "nan"], "--amplitude-mismatch"),
    ],
)
def test_command_turns_library_errors_into_one_line(tmp_path, capsys, flags, parameter):
    code = _run(["run", "iqi-aps", "--out", str(tmp_path), *flags])
    error = capsys.readouterr().err
    assert code == 2
    assert error.count("\n") == 1
    assert parameter in error
    assert not list(tmp_path.iterdir())


def _run(arguments):
    try:
        return main(arguments) or 0
    except SystemExit as stop:
        return stop.code or 0


@pytest.mark.parametrize("user_antennas", [1, 2])
def test_networks_padded_to_one_shape_are_what_each_is_alone(user_antennas):
    parameters = iqi_users.IqiUsers(num_aps=6)
    systems = iqi_users._systems(parameters, np.array([1, 3, 7]), user_antennas)
    counts = jnp.asarray([system.num_users for system in systems])
    together = iqi_users._closed_forms_of_first_users(systems[-1], counts)
    alone = np.stack([iqi.sum_se_closed_form(system) for system in systems], axis=-1)
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    moments = iqi_users.networks_of_one_draw(jax.random.key(2), systems=systems)
    sums = iqi_users._sum_se_of_each(systems, moments)
    each = [iqi.sum_se(*pair) for pair in zip(systems, moments, strict=True)]
    np.testing.assert_allclose(sums, np.stack(each, axis=-1), rtol=1e-5)
