"""Files that are no results, though they look like ones: `jaxmimo show` takes one line for each."""

import io
import json
import pickle
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from jaxmimo.cli import main
from jaxmimo.plotting import axis_label
from jaxmimo.simulation import results
from jaxmimo.simulation.results import open_result, save_result
from tests.test_cli_runs import STUDY
from tests.test_results import notes

FILE = "a.nc"
ESCAPES = "\x1b]0;owned\x07\x1b[31m\x9b2J\u202eb\x08"
"""Sets a window's title, turns it red and clears it, turns text around and goes back."""


@pytest.fixture(autouse=True)
def workplace(monkeypatch, tmp_path):
    monkeypatch.setattr("jaxmimo.studies.STUDIES", {STUDY.name: STUDY})
    monkeypatch.setattr("jaxmimo.cli.commands.save_figure", lambda ax, path: path.touch())
    monkeypatch.chdir(tmp_path)


def dataset(**changes):
    """What the study of two parts gives."""
    label = {"long_name": "SE", "units": "bit/s/Hz"}
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    return xr.Dataset(
        {"se": (("snr", "user"), values, label), "se_std_error": (("snr", "user"), values / 9)},
        coords={"snr": [1.0, 100.0], "user": ["near", "far"]},
        attrs={**notes(), "study": STUDY.name, **changes},
    )


def show(capsys, file=FILE):
    """What is printed, which may not hold anything that a terminal would obey."""
    code = main(["show", str(file)])
    printed = capsys.readouterr()
    assert (printed.out + printed.err).replace("\n", "").isprintable()
    if code:
        assert code == 2
        assert printed.err.startswith("jaxmimo: error: ")
        assert printed.err.count("\n") == 1
        assert not Path("a.png").exists()
    return printed.err if code else printed.out


def complaint(file=FILE):
    with pytest.raises(ValueError, match=r"^[^\n]+\Z") as error:
        open_result(file)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("study", 5),
        ("study", "two\nparts"),
        ("study", ["two-parts", "b"]),
        ("parameters", "many"),
        ("parameters", "[]"),
        ("parameters", "[" * 20_000),
        ("seed", -1),
        ("seed", "one"),
        ("seed", [1, 2]),
        ("precision", "half"),
        ("precision", 64),
        ("realizations", "many"),
        ("realizations", 0),
        ("realizations", -5),
        ("realizations", 1e3),
        ("realizations", np.nan),
        ("versions", 0.1),
        ("platform", 1),
        ("device_count", "two"),
        ("wall_time_s", "long"),
        ("wall_time_s", np.inf),
        ("created", 2024),
        ("target_error", "small"),
    ],
)
def test_provenance_that_makes_no_sense(name, value):
    save_result(dataset(**{name: value}), FILE)
    assert f"`{FILE}` is no jaxmimo result: its `{name}` is not" in complaint()


def test_show_takes_one_line_for_it(capsys):
    save_result(dataset(realizations="many"), FILE)
    assert "its `realizations` is not an integer from 1 on" in show(capsys)


def compound(file):
    file["x"] = np.zeros(3, [("a", "f4"), ("b", "f4")])


def reference(file):
    file["x"] = file["se"].ref


def nested(file):
    file.create_dataset("x", 3, h5py.vlen_dtype(np.float64))


def opaque(file):
    file["x"] = np.void(b"abc")


def empty(file):
    file["x"] = h5py.Empty("f4")


def complex_numbers(file):
    file["x"] = np.zeros(3, complex)


def never_written(file):
    file.create_dataset("x", (10**6, 10**6), "f8", chunks=(10, 10))


def many_never_written(file):
    for number in range(9):
        file.create_dataset(f"x{number}", 5 * 10**6, "f8", chunks=(1000,))


def compressed(file):
    file.create_dataset("x", (2**12, 2**14), "f8", chunks=(2**12, 2**6), compression="gzip")


def texts(file):
    file.create_dataset("x", 10**9, h5py.string_dtype(), chunks=(1000,))


def soft_link(file):
    file["x"] = h5py.SoftLink("/tallies/1/0")


def external_link(file):
    file["x"] = h5py.ExternalLink("/etc/passwd", "/x")


def external_storage(file):
    file.create_dataset("x", 3, "f8", external=[("/etc/passwd", 0, 24)])


def virtual(file):
    layout = h5py.VirtualLayout(3, "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", 3)
    file.create_virtual_dataset("x", layout)


def hostile_name(file):
    file[f"x{ESCAPES}"] = 1.0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (compound, "`x` holds neither numbers nor text"),
        (reference, "`x` holds neither numbers nor text"),
        (nested, "`x` holds neither numbers nor text"),
        (opaque, "`x` holds neither numbers nor text"),
        (empty, "`x` holds neither numbers nor text"),
        (complex_numbers, "`x` holds neither numbers nor text"),
        (never_written, "its variables say that they have 8e+12 bytes"),
        (many_never_written, "its variables say that they have 3.6e+08 bytes"),
        (compressed, "its variables say that they have 5.37e+08 bytes"),
        (texts, "its variables say that they have"),
        (soft_link, "it has a variable that is not its own"),
        (external_link, "it has a variable that is not its own"),
        (external_storage, "`x` is kept in another file"),
        (virtual, "`x` is kept in another file"),
        (hostile_name, "it has a variable that is not its own, or whose name does not print"),
    ],
)
def test_variables_that_no_result_has(change, text, monkeypatch):
    """Found out before they are read: reading would take all memory, or other files."""
    content = io.BytesIO()
    dataset().to_netcdf(content, engine="h5netcdf")
    with h5py.File(content, "r+") as file:
        change(file)
    Path(FILE).write_bytes(content.getvalue())
    monkeypatch.delattr(results, "_load")
    assert f"`{FILE}` is no jaxmimo result: {text}" in complaint()


def test_a_sparse_file_of_8_tb_is_not_read():
    with Path(FILE).open("wb") as file:
        file.truncate(8 * 10**12)
    assert f"`{FILE}` is larger than any result" in complaint()


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"\x89HDF\r\n\x1a\n", b"CDF\x01" + bytes(99), pickle.dumps(print), bytes(5000)],
)
def test_what_is_no_netcdf(content):
    Path(FILE).write_bytes(content)
    assert f"`{FILE}` is not a NetCDF file" in complaint()


@pytest.mark.parametrize("part", ["begin", "middle", "end"])
def test_truncated_files(part):
    dataset().to_netcdf(FILE, engine="h5netcdf")
    content = Path(FILE).read_bytes()
    size = {"begin": 50, "middle": len(content) // 2, "end": len(content) - 1}[part]
    Path(FILE).write_bytes(content[:size])
    assert f"`{FILE}` is not a NetCDF file" in complaint()


def test_text_that_does_not_print_is_taken_out(capsys):
    hostile = dataset(history=f"first\nsecond{ESCAPES}", device_kind=ESCAPES)
    hostile["user"] = ["near", f"far{ESCAPES}"]
    hostile.se.attrs = {"long_name": f"SE{ESCAPES}", "units": [ESCAPES, "W"]}
    hostile["label"] = ("user", np.array([b"\x1b[1m", b"b"]))
    save_result(hostile, FILE)
    out = show(capsys)
    for text in ("far?]0;owned??[31m?2J?b?", "SE?]0;owned", "?]0;owned??[31m?2J?b? x 1"):
        assert text in " ".join(out.split())
    found = open_result(FILE)
    assert axis_label(found.se).isprintable()  # what pictures say
    assert found.attrs["history"] == "first\nsecond" + found.user.values[1].removeprefix("far")


def test_a_name_of_a_file_that_does_not_print(capsys):
    save_result(dataset(), f"{ESCAPES}.nc")
    assert "Wrote" in show(capsys, f"{ESCAPES}.nc")
    assert "`?]0;owned??[31m?2J?b?` is not a file" in show(capsys, ESCAPES)


def test_a_study_that_does_not_know_the_file_is_named(capsys):
    save_result(dataset(study="[red]future"), FILE)
    assert "comes from the study `[red]future`" in show(capsys)


WRONG = {
    "no variable": lambda data: data.drop_vars("se"),
    "other dimensions": lambda data: data.isel(snr=0).expand_dims(x=2, y=3, z=4),
    "text": lambda data: data.assign(se=(("snr", "user"), [["a", "b"], ["c", "d"]])),
    "nothing": lambda data: data[[]],
}


@pytest.mark.parametrize("name", WRONG)
def test_variables_of_another_study(name, capsys, monkeypatch):
    def judge(data):
        assert data.se.sel(user="far").mean() > 0
        return []

    monkeypatch.setattr("jaxmimo.studies.STUDIES", {STUDY.name: replace(STUDY, claims=judge)})
    save_result(WRONG[name](dataset()), FILE)
    assert f"`{FILE}` does not fit the study `two-parts` of this version: " in show(capsys)


def test_a_result_that_another_program_has_written_is_read(capsys):
    save_result(dataset(), FILE)
    again = xr.load_dataset(FILE)
    again.to_netcdf(FILE, engine="h5netcdf", encoding={"se": {"zlib": True, "dtype": "f4"}})
    xr.testing.assert_allclose(open_result(FILE), dataset())
    assert json.loads(open_result(FILE).parameters)["num_aps"] == [10, 20]
    assert "SE [bit/s/Hz]" in show(capsys)


@pytest.mark.parametrize("name", ["a\0b", "a" * 300, ".", "/proc/1/mem"])
def test_names_that_are_no_files(name, capsys):
    assert show(capsys, name)
