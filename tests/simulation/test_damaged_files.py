"""Checkpoints and results that are not as they were written: refused in one line, or read right."""

import io
import json
import os
import random
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from jaxmimo.core.files import sealed
from jaxmimo.simulation.checkpoint import open_checkpoint
from jaxmimo.simulation.monte_carlo import monte_carlo
from jaxmimo.simulation.results import open_result, save_result
from tests.simulation.models import KEY, power, rate, rich
from tests.test_results import notes

PLACES = 170
"""Of which 102 are flipped bits."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A checkpoint as it was written."""
    file = tmp_path_factory.mktemp("whole") / "run"
    monte_carlo(rich, KEY, 200, statistic=rate, checkpoint=file)
    return file.read_bytes()


@pytest.fixture
def result(tmp_path, whole):
    """A result with tallies in it, as the command writes them."""
    values = np.random.default_rng(3).normal(size=(2, 40))
    dataset = xr.Dataset(
        {"se": (("layout", "snr"), values, {"long_name": "SE", "units": "bit/s/Hz"})},
        coords={"layout": ["near", "far"], "snr": np.arange(40.0)},
        attrs=notes(),
    )
    with h5py.File(io.BytesIO(whole), "r") as tallies:
        save_result(dataset, tmp_path / "a.nc", also=lambda file: tallies.copy("tallies", file))
    return tmp_path / "a.nc", dataset


def damaged(content, seed):
    """The content with a random bit flipped, a stretch of it lost, or its end."""
    pick = random.Random(seed)
    place = pick.randrange(len(content))
    kind = seed % 5
    if kind == 3:
        return content[:place]
    if kind == 4:
        return content[:place] + bytes(pick.randrange(1, 64)) + content[place:]
    return content[:place] + bytes([content[place] ^ 1 << pick.randrange(8)]) + content[place + 1 :]


def complaint(read, *args):
    with pytest.raises(ValueError, match=r"^[^\n]+\Z") as error:
        read(*args)
    return str(error.value)


def read_or_complain(file):
    try:
        return open_result(file)
    except ValueError as error:
        return str(error)


def test_a_damaged_checkpoint_is_refused(whole, tmp_path):
    file = tmp_path / "run"
    for seed in range(PLACES):
        file.write_bytes(damaged(whole, seed))
        assert str(file) in complaint(open_checkpoint, file)


def test_a_damaged_result_is_refused_or_read_right(result):
    file, dataset = result
    content = file.read_bytes()
    for seed in range(PLACES):
        file.write_bytes(damaged(content, seed))
        found = read_or_complain(file)
        if isinstance(found, str):
            assert "\n" not in found
        else:  # the digest was hit, and the rest is as it was
            xr.testing.assert_identical(found, dataset)


def test_a_flipped_bit_is_called_damage(whole, result, tmp_path):
    file = tmp_path / "run"
    file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    assert "is damaged: its digest does not fit it. Delete it" in complaint(open_checkpoint, file)
    file, _ = result
    content = file.read_bytes()
    file.write_bytes(content[:3000] + bytes([content[3000] ^ 4]) + content[3001:])
    assert "is damaged: its digest does not fit it. Restore it" in complaint(open_result, file)


def edit(content, change):
    """The checkpoint after somebody changed it by the HDF5 library, and has sealed it or not."""
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as opened:
        change(opened["tallies"])
    return file.getvalue()


def set_attribute(name, value, part=None):
    def change(tallies):
        (tallies[part] if part else tallies).attrs[name] = value

    return change


def replace_sums(values):
    def change(tallies):
        del tallies["1/0"]
        if values is not None:
            tallies["1/0"] = values

    return change


EDITS = {
    "realizations -5": set_attribute("realizations", -5, "1"),
    "realizations 0": set_attribute("realizations", 0, "1"),
    "realizations many": set_attribute("realizations", "many", "1"),
    "realizations of NaN": set_attribute("realizations", np.nan, "1"),
    "about []": set_attribute("about", "[]"),
    "about [1]": set_attribute("about", "[1]"),
    "about null": set_attribute("about", "null"),
    "about no JSON": set_attribute("about", "{"),
    "about deep": set_attribute("about", "[" * 50_000),
    "about bytes": set_attribute("about", np.bytes_(b"\xff")),
    "format 7": set_attribute("format", 7),
    "format []": set_attribute("format", [2, 2]),
    "sums of text": replace_sums("text"),
    "sums that are one number": replace_sums(1.0),
    "sums in single precision": replace_sums(np.ones((64, 4), np.float32)),
    "sums of NaN": replace_sums(np.full((64, 4), np.nan)),
    "sums of other blocks": replace_sums(np.ones((63, 4))),
    "sums that are gone": replace_sums(None),
    "a part that is a number": lambda tallies: tallies.__setitem__("2", 1.0),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_checkpoint_that_makes_no_sense_is_refused(name, whole, tmp_path):
    """Even with a digest that fits."""
    file = tmp_path / "run"
    file.write_bytes(edit(whole, EDITS[name]))
    assert "does not end with the digest" in complaint(open_checkpoint, file)
    file.write_bytes(sealed(file.read_bytes()))
    text = complaint(open_checkpoint, file)
    assert "holds no tallies" in text or "has another format" in text or "another run" in text


def test_sums_of_other_shapes_than_the_models_are_refused(whole, tmp_path):
    file = tmp_path / "run"
    file.write_bytes(sealed(edit(whole, replace_sums(np.ones((64, 5))))))
    with pytest.raises(ValueError, match="belongs to another model"):
        monte_carlo(rich, KEY, 300, statistic=rate, checkpoint=file)


def test_edited_sums_are_refused(whole, tmp_path):
    def double(tallies):
        tallies["1/1"][...] *= 2

    file = tmp_path / "run"
    file.write_bytes(edit(whole, double))
    assert "does not end with the digest" in complaint(open_checkpoint, file)


def test_what_a_checkpoint_tells_of_itself_prints(whole, tmp_path):
    file = tmp_path / "run"
    about = json.dumps({"\x1b[2J": "\x07"})
    file.write_bytes(sealed(edit(whole, set_attribute("about", about))))
    assert complaint(open_checkpoint, file).isprintable()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".", "but `.` cannot: it is a folder"),
        ("a\0b", "holds the character NUL"),
        ("a" * 300, "File name too long"),
        ("/proc/1/run", "cannot: "),
    ],
)
def test_a_place_where_no_checkpoint_can_be_is_told_before_anything_is_drawn(
    path, text, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert text in complaint(lambda: monte_carlo(never, KEY, 100, checkpoint=path))
    assert list(tmp_path.iterdir()) == []


def never(key):
    """Traced, but not drawn."""
    return power(key)


class Place(os.PathLike):
    """A path that is neither a string nor a `pathlib.Path`."""

    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def test_checkpoints_are_at_paths_of_any_kind(whole, tmp_path):
    file = tmp_path / "run"
    file.write_bytes(whole)
    for kind in (str, Place):
        found = monte_carlo(rich, KEY, 200, statistic=rate, checkpoint=kind(file))
        assert found.realizations == 200


def test_a_full_disk_leaves_the_checkpoint_that_was_whole(whole, tmp_path, monkeypatch):
    file = tmp_path / "run"
    file.write_bytes(whole)

    def no_space(self, content):
        with self.open("wb") as half:
            half.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", no_space)
        with pytest.raises(OSError, match=r"No space left on device\. Make room") as error:
            monte_carlo(rich, KEY, 300, statistic=rate, checkpoint=file)
    assert "\n" not in str(error.value)
    assert file.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [file]
    assert open_checkpoint(file).records["1"].realizations == 200
