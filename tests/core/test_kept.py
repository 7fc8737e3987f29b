"""What is kept on disk is used only where it is what was written, by this user."""

import os
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmimo import programs_kept_in
from jaxmimo.core import kept, programs
from jaxmimo.core.programs import kept_jit

RNG = np.random.default_rng(0)


def doubled(x):
    return {"value": 2 * x, "name": "doubled"}


def halved(x):
    return {"value": x / 2, "name": "halved"}


@pytest.fixture(autouse=True)
def _at_home(monkeypatch):
    """Functions whose home is jaxmimo, where names look for them."""
    for function in (doubled, halved):
        monkeypatch.setattr(function, "__module__", programs.__name__)
        monkeypatch.setattr(programs, function.__name__, function, raising=False)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "kept"


def run(function, folder):
    with programs_kept_in(folder):
        return float(kept_jit(function)(jnp.float32(4.0))["value"])


def only_file(folder):
    (file,) = folder.glob("*.program")
    return file


def test_files_and_folders_are_for_this_user_alone(folder):
    before = os.umask(0o002)
    try:
        run(doubled, folder)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert only_file(folder).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_others_may_write_is_passed_over(folder, what):
    run(doubled, folder)
    file = only_file(folder)
    file.write_bytes(b"of another user")
    (file if what == "file" else folder).chmod(0o777)
    assert run(doubled, folder) == 8.0
    if what == "folder":
        assert file.read_bytes() == b"of another user"


def test_what_others_own_is_passed_over(folder, monkeypatch):
    run(doubled, folder)
    name, user = only_file(folder).name, os.geteuid()
    assert kept.read(folder, name) is not None
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert kept.read(folder, name) is None


def test_files_in_each_others_place_count_as_missing(folder, tmp_path):
    other = tmp_path / "other"
    run(doubled, folder)
    run(halved, other)
    right, wrong = only_file(folder), only_file(other)
    right.write_bytes(wrong.read_bytes())
    assert run(doubled, folder) == 8.0
    assert right.read_bytes() != wrong.read_bytes()


@pytest.mark.parametrize("places", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_flipped_bit_is_seen_and_mended(folder, places):
    run(doubled, folder)
    file = only_file(folder)
    whole = file.read_bytes()
    for place in RNG.integers(8 * len(whole), size=places):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        assert kept.read(folder, file.name) is None, place
    assert run(doubled, folder) == 8.0
    assert kept.read(folder, file.name) is not None


@pytest.mark.parametrize("length", [0, 10, 100, -1])
def test_a_torn_file_is_written_anew(folder, length):
    run(doubled, folder)
    file = only_file(folder)
    whole = file.read_bytes()
    file.write_bytes(whole[:length])
    assert run(doubled, folder) == 8.0
    assert kept.read(folder, file.name) is not None


def test_nothing_that_is_read_is_run(folder, monkeypatch):
    run(doubled, folder)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.delattr(pickle, name)
    monkeypatch.setattr(programs, "_exported", None)
    assert run(doubled, folder) == 8.0


@pytest.mark.parametrize(
    "tree",
    [
        None,
        3,
        2.5,
        float("inf"),
        "text",
        (1, (2, None)),
        [1, "a", (kept.Place(3),)],
        {"place": 1, "class": {"dict": [True]}},
        jax.ShapeDtypeStruct((2, 3), jnp.complex64, weak_type=True),
    ],
)
def test_trees_come_back_as_they_were(tree):
    back = kept.from_json(kept.to_json(tree))
    assert back == tree
    assert jax.tree.structure(back) == jax.tree.structure(tree)


@pytest.mark.parametrize("thing", [print, object(), {1: 2}, jnp.ones(2), 1j])
def test_what_json_cannot_tell_is_refused(thing):
    with pytest.raises(TypeError):
        kept.to_json([thing])


def test_classes_of_others_are_not_built():
    with pytest.raises(TypeError, match="subprocess"):
        kept.from_json('{"class": ["subprocess", "Popen"], "fields": {"dict": {}}}')
