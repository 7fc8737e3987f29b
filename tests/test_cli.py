"""The command, with a small study of its own in place of the published ones."""

import io
import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from jaxmimo.cli import main
from jaxmimo.cli.tables import _compact_cell, result_tables
from jaxmimo.plotting import curve_with_points, new_axes
from jaxmimo.studies.study import Claim, Progress, Study
from jaxmimo.studies.verdicts import exactly

NUM_APS = (10, 20, 30)


@dataclass(frozen=True)
class DummyParameters:
    """The dummy's own parameters."""

    pilot_length: int = 40
    """Length of the pilots [symbols]."""
    amplitude_mismatch: tuple[float, ...] = (0.0, 0.2)
    """Amplitude mismatches of the I/Q branches."""

    def __post_init__(self):
        if self.pilot_length < 10:
            raise ValueError(
                f"`pilot_length` must be at least 10, but got {self.pilot_length}. "
                "Raise it, so that pilots-of-all-users fit-into-the-block."
            )


def run_dummy(parameters, sampling):
    for done in (sampling.realizations // 2, sampling.realizations):
        sampling.progress(Progress(done, sampling.realizations, 0.5 / done, "L = 2"))
    if parameters.pilot_length == 13:
        raise ValueError("`coherence_length` must exceed `pilot_length` = 13.\nRaise it.")
    if parameters.pilot_length == 14:
        raise KeyboardInterrupt
    shape = (len(parameters.amplitude_mismatch), len(NUM_APS))
    draws = jax.random.normal(sampling.key, (sampling.realizations, *shape)) + 5.0
    dims = ("amplitude_mismatch", "num_aps")
    units = {"long_name": "Sum SE", "units": "bit/s/Hz"}
    return xr.Dataset(
        {
            "sum_se": (dims, np.asarray(draws.mean(0)), units),
            "sum_se_std_error": (
                dims,
                np.asarray(draws.std(0) / jnp.sqrt(len(draws))),
                {"long_name": "Standard error", "units": "bit/s/Hz"},
            ),
            "limit": ("amplitude_mismatch", np.full(shape[0], 113.542)),
            "other": ("user", np.array([1.5, 2.5])),
        },
        coords={
            "amplitude_mismatch": list(parameters.amplitude_mismatch),
            "num_aps": list(NUM_APS),
            "user": ["near", "far"],
        },
    )


def plot_dummy(dataset, ax=None):
    ax = new_axes(ax)
    first = dataset.isel(amplitude_mismatch=0)
    curve_with_points(
        ax, first.num_aps, mean=first.sum_se, std_error=first.sum_se_std_error, label="a", color="k"
    )
    return ax


def judge_dummy(dataset):
    return [
        Claim("SE is positive", exactly((dataset.sum_se > 0).all()), "smallest is 4.9"),
        Claim("SE is infinite", -math.inf, "it is [not]"),
    ]


DUMMY = Study(
    name="dummy-study",
    summary="Sum SE against nothing.",
    paper="A. Author, A Paper",
    figure="Fig. 1",
    parameters=DummyParameters,
    realizations=64,
    run=run_dummy,
    plot=plot_dummy,
    claims=judge_dummy,
)


TUNING = replace(DUMMY, name="tune-dummy", convergence=plot_dummy)


@pytest.fixture(autouse=True)
def workplace(monkeypatch, tmp_path):
    """An empty current folder, two dummies as the only studies, JAX as it was afterwards."""
    monkeypatch.setattr("jaxmimo.studies.STUDIES", {DUMMY.name: DUMMY, TUNING.name: TUNING})
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("JAXMIMO_CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.delenv("COLUMNS", raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_tune_draws_convergence_too_and_so_does_show(workplace, capsys):
    assert main(["tune", "tune-dummy", "--formats", "png", "pdf"]) == 0
    pictures = [
        f"tune-dummy{kind}.{end}" for kind in ("", "-convergence") for end in ("pdf", "png")
    ]
    assert files_in(workplace / "results") == sorted(["tune-dummy.nc", *pictures])
    out = capsys.readouterr().out
    assert all(f"Wrote results/{picture}" in out for picture in pictures)
    assert main(["show", "results/tune-dummy.nc", "--out", "shown"]) == 0
    assert files_in(workplace / "shown") == ["tune-dummy-convergence.png", "tune-dummy.png"]


@pytest.fixture
def saved(workplace, capsys):
    assert main(["run", "dummy-study", "--out", "."]) == 0
    (workplace / "dummy-study.png").unlink()
    capsys.readouterr()
    return workplace / "dummy-study.nc"


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def fails(capsys, *argv):
    """Run a bad command; its one line of complaint."""
    assert main(argv) == 2
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("jaxmimo: error: ")
    return lines[0]


def test_run_writes_result_and_picture_and_says_where(workplace, capsys):
    assert main(["run", "dummy-study"]) == 0
    assert files_in(workplace) == [
        "results",
        "results/dummy-study.nc",
        "results/dummy-study.png",
    ]
    out = capsys.readouterr().out
    assert "Wrote results/dummy-study.nc" in out
    assert "Wrote results/dummy-study.png" in out


def test_run_passes_its_flags_to_the_study_and_notes_them(workplace):
    flags = "--realizations 10 --seed 3 --target-error 0.5 --out a/b --formats png pdf"
    own = "--pilot-length 50 --amplitude-mismatch 0.1 0.2 0.3"
    assert main(["run", "dummy-study", *flags.split(), *own.split()]) == 0
    folder = workplace / "a" / "b"
    assert files_in(folder) == ["dummy-study.nc", "dummy-study.pdf", "dummy-study.png"]
    dataset = xr.load_dataset(folder / "dummy-study.nc")
    assert dataset.sum_se.shape == (3, 3)
    assert dataset.sum_se.dtype == np.float32
    noted = {name: dataset.attrs[name] for name in ("study", "seed", "realizations", "precision")}
    assert noted == {
        "study": "dummy-study",
        "seed": 3,
        "realizations": 10,
        "precision": "single",
    }
    assert dataset.attrs["target_error"] == 0.5
    assert json.loads(dataset.attrs["parameters"]) == {
        "pilot_length": 50,
        "amplitude_mismatch": [0.1, 0.2, 0.3],
    }


def test_double_precision_holds_for_the_run_only(workplace):
    assert main(["run", "dummy-study", "--precision", "double"]) == 0
    dataset = xr.load_dataset(workplace / "results" / "dummy-study.nc")
    assert dataset.sum_se.dtype == np.float64
    assert dataset.attrs["precision"] == "double"
    assert jnp.zeros(1).dtype == jnp.float32


def test_the_same_seed_gives_the_same_result_and_another_another(workplace):
    for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(["run", "dummy-study", "--seed", seed, "--out", folder]) == 0
    a, b, c = (xr.load_dataset(workplace / f / "dummy-study.nc").sum_se for f in "abc")
    xr.testing.assert_equal(a, b)
    assert not a.equals(c)


def test_table_shows_means_with_errors_units_claims_and_progress(capsys):
    assert main(["run", "dummy-study"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"L = 2: 64 realizations, \S+ per second, standard error 0.78 %", out)
    assert "Sum SE [bit/s/Hz]" in out
    assert out.count("\u00b1 0.1") == 6
    assert out.count("113.542") == 6
    assert "Standard error" not in out
    for text in ("near", "2.5", "SE is positive", "does not hold", "it is [not]"):
        assert text in out
    assert "64 realizations, single precision, seed 0" in out


def test_the_summary_is_last_and_quiet_leaves_the_rest_out(capsys):
    assert main(["run", "dummy-study"]) == 0
    whole = capsys.readouterr().out
    places = [
        whole.index(text) for text in ("113.542", "SE is positive", "Wrote", "64 realizations, s")
    ]
    assert places == sorted(places)
    assert main(["run", "dummy-study", "--quiet"]) == 0
    short = capsys.readouterr().out
    assert whole.split("claim")[1].split("cpu")[0] == short.split("claim")[1].split("cpu")[0]
    assert "113.542" not in short
    assert "per second" not in short


def test_points_shorten_tables_of_runs_and_of_files(saved, capsys):
    for command in (["run", "dummy-study", "--out", "other"], ["show", str(saved)]):
        assert main([*command, "--points", "2"]) == 0
        out = capsys.readouterr().out
        assert out.count("\u00b1 0.1") == 4
        assert "20 \u2502" not in out
        assert "`--points` must be at least 2" in fails(capsys, *command, "--points", "1")


def test_a_missed_target_error_is_told(workplace, capsys):
    assert main(["run", "dummy-study", "--target-error", "0.001"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "`--target-error` 0.001 is missed: standard errors are up to 0.78 %. Add `--resume` with "
        "`--realizations 3.9e+03` or so; what is drawn counts."
    ) in out
    assert main(["show", "results/dummy-study.nc"]) == 0
    assert "`--target-error` 0.001 is missed" in " ".join(capsys.readouterr().out.split())
    assert main(["run", "dummy-study", "--target-error", "0.5", "--out", "met"]) == 0
    assert "missed" not in capsys.readouterr().out


def test_progress_bars_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["run", "dummy-study"]) == 0
    out = capsys.readouterr().out
    assert "L = 2" in out
    assert "64/64" in out
    assert "standard error 0.78 %" in out


def test_long_tables_are_cut_and_say_so(capsys, monkeypatch):
    monkeypatch.setattr("jaxmimo.cli.tables.MAX_ROWS", 1)
    assert main(["run", "dummy-study"]) == 0
    out = " ".join(capsys.readouterr().out.split())  # captions of narrow tables are wrapped
    assert out.count("1 more rows are in the file") == 3


def many_curves():
    """156 points on 12 curves, with errors, a distribution function and a fixed parameter."""
    shape = (2, 6, 13)
    values = np.linspace(1.0, 2.0, 156).reshape(shape)
    dims = ("scattering", "num_aps", "kappa")
    label = {"long_name": "SE", "units": "bit/s/Hz"}
    return xr.Dataset(
        {
            "se": (dims, values, label),
            "se_std_error": (dims, np.full(shape, 0.0123), label),
            "se_cdf": ((*dims, "level"), np.zeros((*shape, 2))),
            "se_cdf_std_error": ((*dims, "level"), np.zeros((*shape, 2))),
            "drawn": ("num_aps", np.arange(6) + 100),
        },
        coords={
            "scattering": ["none", "local"],
            "num_aps": ("num_aps", [1, 2, 4, 8, 16, 32], {"long_name": "APs Q"}),
            "kappa": ("kappa", np.arange(-20.0, 41, 5), {"long_name": "Factor", "units": "dB"}),
            "num_users": 10,
            "level": [0.0, 1.0],
        },
    )


def printed(dataset, width, points=None):
    file = io.StringIO()
    console = Console(width=width, file=file)
    for table in result_tables(dataset, width, points):
        console.print(table)
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "\u2026" not in text  # nothing is cut
    return text


def rows_of(text):
    """Cells of each row of all tables, without titles."""
    return [
        [cell.strip() for cell in line.strip("\u2502 ").split("\u2502")]
        for line in text.splitlines()
        if line.startswith("\u2502")
    ]


@pytest.mark.parametrize(("width", "tables"), [(200, 1), (120, 2), (80, 3), (40, 7)])
def test_a_table_with_too_many_points_has_a_row_a_curve_and_all_columns(width, tables):
    text = printed(many_curves(), width)
    assert "SE [bit/s/Hz] by Factor [dB]" in " ".join(text.split())
    rows = [row for row in rows_of(text) if any("(12)" in cell for cell in row)]
    cells = [cell for row in rows for cell in row if "(12)" in cell]
    assert len(cells) == 156
    assert "2.000(12)" in rows[-1]
    assert len(rows) == 12 * tables


@pytest.mark.parametrize(
    ("points", "shown"), [(5, [-20, -5, 10, 25, 40]), (2, [-20, 40]), (13, range(-20, 41, 5))]
)
def test_curves_are_shortened_evenly_on_request(points, shown):
    dataset = many_curves().isel(num_aps=slice(2))
    rows = rows_of(printed(dataset, 200, points))
    assert [int(row[2]) for row in rows] == 4 * list(shown)


def with_closed_forms():
    dataset = many_curves().drop_vars("drawn").isel(num_aps=slice(2))
    return dataset.assign(se_closed_form=dataset.se + 0.5, limit=dataset.se.isel(kappa=0) + 7.0)


def test_simulation_and_closed_form_of_a_point_stand_side_by_side():
    rows = rows_of(printed(with_closed_forms(), 80))
    assert len(rows) == 52
    assert rows[0] == ["none", "1", "-20", "1.000 \u00b1 0.012", "1.5", "8"]


def test_columns_without_room_move_to_another_table():
    dataset = with_closed_forms()
    rows = rows_of(printed(dataset, 60))
    assert rows[0] == ["none", "1", "-20", "1.000 \u00b1 0.012", "1.5"]
    assert rows[52:] == [
        ["none", "1", "8"],
        ["none", "2", f"{8 + 13 / 155:.6g}"],
        ["local", "1", f"{8 + 78 / 155:.6g}"],
        ["local", "2", f"{8 + 91 / 155:.6g}"],
    ]


def test_closed_forms_stand_below_the_simulation_in_tables_of_curves(monkeypatch):
    monkeypatch.setattr("jaxmimo.cli.tables.MAX_ROWS", 20)
    rows = rows_of(printed(with_closed_forms().drop_vars("limit"), 200))
    assert len(rows) == 8
    assert rows[0][:4] == ["none", "1", "simulated", "1.000(12)"]
    assert rows[1][:4] == ["none", "1", "calculated", "1.5"]


def test_tables_leave_out_distributions_and_fixed_parameters():
    text = printed(many_curves(), 200)
    assert "level" not in text
    assert "num_users" not in text
    assert "105" in text  # what has no values along the curves has a table of its own


def test_curves_beyond_the_most_rows_are_counted(monkeypatch):
    monkeypatch.setattr("jaxmimo.cli.tables.MAX_ROWS", 10)
    assert "2 more rows are in the file" in " ".join(printed(many_curves(), 200).split())


@pytest.mark.parametrize(
    ("value", "error", "cell"),
    [
        (1.2345, 0.0123, "1.234(12)"),
        (165.51, 6.04, "165.5(6.0)"),
        (258.6, 11.2, "259(11)"),
        (0.5, 0.00999, "0.5000(100)"),
        (1.0, 1e-17, "1"),
        (1.5, 0.0, "1.5"),
        (1.5, math.nan, "1.5"),
        (math.nan, math.nan, ""),
    ],
)
def test_a_compact_cell_has_the_error_in_units_of_the_last_digit(value, error, cell):
    assert _compact_cell(value, error) == cell


def test_an_ascii_log_does_not_fail_at_a_plus_minus_sign(monkeypatch):
    log = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", log)
    assert main(["run", "dummy-study"]) == 0
    log.flush()
    assert b"? 0.1" in log.buffer.getvalue()


def test_list_takes_one_line_a_study(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if "dummy-study" in line)
    for text in ("Sum SE against nothing", "A. Author, A Paper", "Fig. 1"):
        assert text in line


def test_show_draws_a_saved_result_again(saved, capsys):
    assert main(["show", str(saved)]) == 0
    assert files_in(saved.parent) == ["dummy-study.nc", "dummy-study.png"]
    out = capsys.readouterr().out
    assert "Sum SE [bit/s/Hz]" in out
    assert f"Wrote {saved.with_suffix('.png')}" in out


def test_show_puts_the_picture_where_it_is_told(saved, workplace):
    assert main(["show", str(saved), "--out", "pictures"]) == 0
    assert files_in(workplace) == ["dummy-study.nc", "pictures", "pictures/dummy-study.png"]


def test_info_names_versions_devices_and_cache(capsys, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "kernel").write_bytes(bytes(2_000_000))
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert jax.__version__ in out
    assert jax.devices()[0].device_kind in out
    assert str(tmp_path / "cache") in out
    assert str(tmp_path / "own") in out
    assert "2.0 MB" in out


def test_cache_follows_the_users_cache_folder_and_only_the_command_sets_it(tmp_path):
    code = (
        "import jax, jaxmimo.cli.run; from jaxmimo.cli import cache\n"
        "assert jax.config.jax_compilation_cache_dir is None\n"
        "cache.enable(); print(jax.config.jax_compilation_cache_dir)"
    )
    environment = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(tmp_path / "jaxmimo" / "kernels")


@pytest.mark.parametrize(
    ("argv", "texts"),
    [
        (["--help"], ["list", "run", "tune", "show", "info", "the paper and figure of each"]),
        (["run", "--help"], ["STUDY"]),
        (["run", "dummy-study", "--help"], ["--realizations", "--pilot-length", "64", "symbols"]),
        (["show", "--help"], ["FILE.nc", "--out"]),
    ],
)
def test_help_explains(argv, texts, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert not stop.value.code
    out = capsys.readouterr().out
    for text in texts:
        assert text in out


RUN = ("run", "dummy-study")
PILOT = [
    "error: `--pilot-length` must be at least 10, but got 3. Raise it, so that pilots-of-all-users "
    "fit-into-the-block. See"
]


@pytest.mark.parametrize(
    ("argv", "texts"),
    [
        ((), ["list", "run", "tune", "show", "info", "--help"]),
        (("paint",), ["paint", "list, run, tune, show, info"]),
        (("list", "--fast"), ["--fast", "--help"]),
        (("run",), ["STUDY", "--help"]),
        (("run", "--seed", "1", "dummy-study"), ["--seed", "jaxmimo run STUDY"]),
        (("run", "dumy-study"), ["`dumy-study`", "`dummy-study`?", "jaxmimo list"]),
        (("run", "x"), ["`x`", "dummy-study", "jaxmimo list"]),
        (("tune", "--seed", "1", "tune-dummy"), ["--seed", "jaxmimo tune STUDY"]),
        (("tune", "dummy-study"), ["only simulates", "jaxmimo run dummy-study", "tune-dummy"]),
        (("tune", "tune-dumy"), ["`tune-dumy`", "`tune-dummy`?"]),
        (("tune", "tune-dummy", "--zzz"), ["--zzz", "jaxmimo tune tune-dummy --help"]),
        ((*RUN, "--realisations", "9"), ["--realisations", "Did you mean `--realizations`"]),
        ((*RUN, "--zzz"), ["--zzz", "jaxmimo run dummy-study --help"]),
        ((*RUN, "stray"), ["stray", "jaxmimo run dummy-study --help"]),
        ((*RUN, "--realizations", "many"), ["--realizations", "many"]),
        ((*RUN, "--realizations", "1.5"), ["--realizations", "1.5"]),
        ((*RUN, "--realizations", "0"), ["error: `--realizations` must be at least 2, but got 0"]),
        ((*RUN, "--realizations", "-5"), ["`--realizations` must be at least 2, but got -5"]),
        ((*RUN, "--realizations", "1"), ["`--realizations` must be at least 2, but got 1"]),
        ((*RUN, "--seed", "-1"), ["`--seed` must lie between 0 and 4294967295, but got -1"]),
        ((*RUN, "--seed", str(2**32)), ["`--seed` must lie between 0 and 4294967295"]),
        ((*RUN, "--target-error", "0"), ["`--target-error` must lie between 0 and 1"]),
        ((*RUN, "--target-error", "1"), ["`--target-error` must lie between 0 and 1"]),
        ((*RUN, "--target-error", "nan"), ["`--target-error` must lie between 0 and 1"]),
        ((*RUN, "--target-error", "small"), ["--target-error", "small"]),
        ((*RUN, "--target-error", "None"), ["--target-error", "None"]),
        ((*RUN, "--precision", "half"), ["--precision", "half", "single", "double"]),
        ((*RUN, "--formats", "gif"), ["--formats", "gif", "png", "pdf"]),
        ((*RUN, "--formats"), ["error: `--formats` must name at least one"]),
        ((*RUN, "--pilot-length"), ["--pilot-length"]),
        ((*RUN, "--pilot-length", "3"), PILOT),
        (
            (*RUN, "--pilot-length", "13"),
            ["error: `coherence_length` must exceed `--pilot-length` = 13. Raise it."],
        ),
        ((*RUN, "--amplitude-mismatch", "0.1", "b"), ["--amplitude-mismatch", "b"]),
        ((*RUN, "--out"), ["--out"]),
        (("show",), ["FILE.nc", "--help"]),
        (("show", "missing.nc"), ["`missing.nc`", "jaxmimo run"]),
        (("show", "."), ["`.`", "jaxmimo run"]),
        (("show", "a.nc", "b.nc"), ["b.nc"]),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line_that_names_the_parameter_and_leaves_no_file(
    argv, texts, capsys, workplace
):
    line = fails(capsys, *argv)
    for text in texts:
        assert text in line
    assert files_in(workplace) == []


@pytest.mark.parametrize("out", ["file", "file/deeper", "/proc/here/results"])
def test_a_folder_that_cannot_be_written_is_told_before_the_simulation(out, capsys, workplace):
    (workplace / "file").write_text("mine")
    line = fails(capsys, *RUN, "--out", out)
    assert f"`--out` must be a folder that can be written, but `{out}` cannot" in line
    assert "realizations" not in capsys.readouterr().out
    assert files_in(workplace) == ["file"]


def test_a_folder_in_place_of_the_result_is_told_before_the_simulation(capsys, workplace):
    (workplace / "results" / "dummy-study.nc").mkdir(parents=True)
    assert "`--out` must leave room for `results/dummy-study.nc`" in fails(capsys, *RUN)


def test_show_explains_a_file_that_is_no_netcdf(capsys, workplace):
    (workplace / "notes.nc").write_text("hello")
    assert "`notes.nc` is not a NetCDF file" in fails(capsys, "show", "notes.nc")
    assert files_in(workplace) == ["notes.nc"]


def test_show_explains_a_foreign_netcdf(capsys, workplace):
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf("other.nc", engine="h5netcdf")
    assert "`other.nc` is no jaxmimo result" in fails(capsys, "show", "other.nc")
    assert files_in(workplace) == ["other.nc"]


def test_show_explains_a_study_it_does_not_know(saved, capsys):
    dataset = xr.load_dataset(saved).assign_attrs(study="future")
    dataset.to_netcdf("future.nc", engine="h5netcdf")
    line = fails(capsys, "show", "future.nc")
    assert "`future.nc` comes from the study `future`" in line


def test_show_explains_a_result_that_lacks_a_variable(saved, capsys, workplace):
    xr.load_dataset(saved).drop_vars("sum_se_std_error").to_netcdf("old.nc", engine="h5netcdf")
    line = fails(capsys, "show", "old.nc")
    assert "`old.nc` does not fit the study `dummy-study`" in line
    assert "sum_se_std_error" in line
    assert files_in(workplace) == ["dummy-study.nc", "old.nc"]


def test_interruption_is_one_line_and_leaves_no_file(capsys, workplace):
    assert main([*RUN, "--pilot-length", "14"]) == 130
    assert capsys.readouterr().err == "jaxmimo: interrupted.\n"
    assert files_in(workplace) == []


def test_the_installed_command_exits_with_the_code_and_no_traceback(workplace):
    code = "import sys; from jaxmimo.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "no-such-study"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("jaxmimo: error: STUDY must be one that `jaxmimo list` names")
    assert len(done.stderr.splitlines()) == 1


def test_help_and_typing_errors_do_not_wait_for_studies():
    code = (
        "import sys; from jaxmimo.cli import main; code = main(['lst'])\n"
        "assert code == 2; assert not {'matplotlib', 'xarray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
