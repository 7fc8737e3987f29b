import json
from dataclasses import dataclass

import jax
import numpy as np
import pytest
import xarray as xr

from jaxmimo.core.files import atomic_path
from jaxmimo.simulation.results import (
    PROVENANCE,
    open_result,
    provenance,
    save_result,
    versions,
)


@dataclass(frozen=True)
class Parameters:
    num_aps: tuple[int, ...] = (10, 20)
    amplitudes: np.ndarray | None = None


def notes(versions=None, **changes):
    """Provenance of a result, of other versions if they are given."""
    given = {
        "study": "dummy",
        "parameters": Parameters(amplitudes=np.array([0.0, 0.2])),
        "seed": 7,
        "precision": "single",
        "realizations": 100,
        "target_error": 0.01,
        "wall_time_s": 1.23456,
    }
    made = provenance(**(given | changes))
    return made if versions is None else made | {"versions": versions}


@pytest.fixture
def dataset():
    return xr.Dataset(
        {"sum_se": (("hardware", "num_aps"), np.array([[1.0, 2.0], [0.5, np.nan]]))},
        coords={"hardware": ["perfect", "impaired"], "num_aps": [10, 20]},
        attrs=notes(),
    )


def test_provenance_suffices_to_run_again():
    attributes = notes()
    assert set(attributes) == {*PROVENANCE, "target_error"}
    parameters = json.loads(attributes["parameters"])
    assert parameters == {"num_aps": [10, 20], "amplitudes": [0.0, 0.2]}
    assert json.loads(attributes["versions"])["jax"] == jax.__version__
    assert attributes["platform"] == jax.devices()[0].platform
    assert attributes["created"].endswith("+00:00")


def test_target_error_is_left_out_where_none_was_asked_for():
    assert set(notes(target_error=None)) == set(PROVENANCE)


def test_versions_name_what_decides_the_numbers():
    assert set(versions()) == {"jaxmimo", "jax", "jaxlib", "numpy", "python"}


def test_saved_result_reads_back_the_same(dataset, tmp_path):
    path = tmp_path / "new" / "folder" / "dummy.nc"
    save_result(dataset, path)
    xr.testing.assert_identical(open_result(path), dataset)
    xr.testing.assert_identical(xr.load_dataset(path), dataset)
    assert [entry.name for entry in path.parent.iterdir()] == ["dummy.nc"]


def test_saved_result_is_readable_like_any_new_file(dataset, tmp_path):
    (tmp_path / "plain").touch()
    save_result(dataset, tmp_path / "dummy.nc")
    assert (tmp_path / "dummy.nc").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_failed_save_leaves_the_older_file_and_nothing_else(dataset, tmp_path):
    path = tmp_path / "dummy.nc"
    save_result(dataset, path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_result(dataset.assign_attrs(bad={}), path)  # NetCDF holds no dictionaries
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["dummy.nc"]


def test_interrupted_write_leaves_nothing(tmp_path):
    path = tmp_path / "picture.png"

    def write():
        with atomic_path(path) as draft:
            draft.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []


def test_atomic_path_keeps_the_name_so_that_suffixes_decide_formats(tmp_path):
    with atomic_path(tmp_path / "a.pdf") as draft:
        assert draft.name == "a.pdf"
        assert not (tmp_path / "a.pdf").exists()
        draft.write_text("whole")
    assert (tmp_path / "a.pdf").read_text() == "whole"


def write_text(path, dataset):
    path.write_text("this is no NetCDF")


def write_nothing(path, dataset):
    path.touch()


def write_truncated(path, dataset):
    save_result(dataset, path)
    path.write_bytes(path.read_bytes()[:-500])


def write_foreign(path, dataset):
    dataset.drop_attrs().to_netcdf(path, engine="h5netcdf")


def write_folder(path, dataset):
    path.mkdir()


def write_no_file(path, dataset):
    pass


@pytest.mark.parametrize(
    "write",
    [write_text, write_nothing, write_truncated, write_foreign, write_folder, write_no_file],
)
def test_open_result_explains_what_is_no_result(write, dataset, tmp_path):
    path = tmp_path / "other.nc"
    write(path, dataset)
    with pytest.raises(ValueError, match=r"other\.nc.*`jaxmimo run` has written") as caught:
        open_result(path)
    assert "\n" not in str(caught.value)
