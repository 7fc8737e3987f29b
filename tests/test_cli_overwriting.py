"""Results that took work are not overwritten, and a study runs once at a time in a folder."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import xarray as xr

from jaxmimo.cli import main, resume
from jaxmimo.cli.lock import one_run_at_a_time
from jaxmimo.simulation.results import open_result, save_result
from tests.test_cli_runs import STUDY, press_ctrl_c_at
from tests.test_results import notes

RESULT = Path("results/two-parts.nc")


@pytest.fixture(autouse=True)
def workplace(monkeypatch, tmp_path):
    monkeypatch.setattr("jaxmimo.studies.STUDIES", {STUDY.name: STUDY})
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("jaxmimo.cli.run.save_figure", lambda ax, path: path.touch())


def run(*flags):
    """The command, short unless told."""
    return main(["run", "two-parts", "--realizations", "1000", *map(str, flags)])


def refused(capsys, *flags):
    """The one line of a run that ends before it begins, and leaves everything as it was."""
    before = {path: path.read_bytes() for path in Path("results").iterdir()}
    capsys.readouterr()
    assert run(*flags) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert {path: path.read_bytes() for path in Path("results").iterdir()} == before
    return printed.err


ABOUT = {"num_aps": [10, 20], "amplitudes": [0.0, 0.2], "seed": 7, "precision": "single"}


def prepare(*, force=False, about=(), realizations=100, target_error=0.01):
    """A run that `notes` of the tests of results describes, but for what is said."""
    about = {**ABOUT, **dict(about)}
    amount = {"realizations": realizations, "target_error": target_error}
    return resume.prepare(Path("none"), Path("a.nc"), about, **amount, resume=False, force=force)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"realizations": 99}, "holds 100 realizations, and this run draws 99 at most. Ask for"),
        ({"about": {"num_aps": [10]}}, "it has `num_aps` = [10, 20], this one has [10]"),
        ({"about": {"new": 1}}, "it has `new` = None, this one has 1"),
        ({"about": {"seed": 1}}, "it has `seed` = 7, this one has 1"),
        ({"about": {"precision": "double"}}, "it has `precision` = single, this one has double"),
        ({"target_error": 0.02}, "was drawn to `--target-error` 0.01, and this run ends at 0.02"),
    ],
)
def test_other_work_is_overwritten_by_force_only(changes, text):
    save_result(xr.Dataset(attrs=notes()), "a.nc")
    with pytest.raises(
        ValueError, match=r"^`a\.nc` [^\n]+, or add `--force` to overwrite it\.$"
    ) as e:
        prepare(**changes)
    assert text in str(e.value)
    prepare(**changes, force=True)


@pytest.mark.parametrize(
    "changes", [{}, {"realizations": 101}, {"target_error": 0.005}, {"target_error": None}]
)
def test_the_same_work_or_more_needs_no_force(changes):
    save_result(xr.Dataset(attrs=notes(versions="{}")), "a.nc")
    prepare(**changes)


def test_a_result_without_target_is_not_overwritten_by_one_with():
    save_result(xr.Dataset(attrs=notes(target_error=None)), "a.nc")
    prepare(target_error=None)
    with pytest.raises(ValueError, match=r"to `--target-error` 0, and this run ends at 0\.01"):
        prepare()


def test_what_is_no_whole_result_is_overwritten_by_force_only():
    Path("a.nc").write_text("mine")
    with pytest.raises(ValueError, match=r"`a\.nc` is there, and is no whole result"):
        prepare()
    prepare(force=True)


def test_the_same_command_runs_again_and_a_shorter_one_does_not(capsys):
    for realizations in (300, 300, 320):
        assert run("--realizations", realizations) == 0
    assert f"`{RESULT}` holds 320 realizations" in refused(capsys, "--realizations", 300)
    assert "it has `--seed` = 0, this one has 5" in refused(capsys, "--seed", 5)


def test_an_unfinished_run_is_thrown_away_by_force_only(capsys, monkeypatch):
    with monkeypatch.context() as patch:
        press_ctrl_c_at(640, 1, patch)
        assert run("--seed", 1) == 130
    assert "`--resume` to go on with it, or `--force` to begin anew" in refused(capsys)
    assert run("--force") == 0
    assert [path.name for path in sorted(Path("results").iterdir())] == [
        "two-parts.nc",
        "two-parts.png",
    ]


def test_what_goes_on_overwrites_other_work_by_force_only(capsys, monkeypatch):
    assert run("--seed", 1) == 0
    with monkeypatch.context() as patch:
        press_ctrl_c_at(640, 1, patch)
        assert run("--force") == 130
    assert "it has `--seed` = 1, this one has 0" in refused(capsys, "--resume")
    assert run("--resume", "--force") == 0
    assert open_result(RESULT).attrs["seed"] == 0


def test_a_full_disk_says_how_to_go_on(capsys, monkeypatch):
    def no_space(self, content):
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr("jaxmimo.cli.run.save_result", lambda *_, **__: no_space(RESULT, b""))
        assert run() == 2
    error = capsys.readouterr().err
    assert "The same command with `--resume` goes on from `results/two-parts.checkpoint`" in error
    assert error.count("\n") == 1
    assert run("--resume") == 0


def test_a_second_run_in_the_folder_is_refused_with_the_first_ones_process(capsys):
    with one_run_at_a_time(Path("results"), STUDY.name):
        line = refused(capsys)
        assert f"`results` is in use: process {os.getpid()} on " in line
        with one_run_at_a_time(Path("results"), "another-study"):
            pass
    assert not Path("results").exists()


def test_a_killed_process_leaves_no_lock():
    code = (
        "import time; from pathlib import Path; from jaxmimo.cli.lock import one_run_at_a_time\n"
        "with one_run_at_a_time(Path('results'), 'two-parts'): print(flush=True); time.sleep(99)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    other.stdout.readline()
    assert run() == 2
    os.kill(other.pid, signal.SIGKILL)
    other.communicate()
    Path("results/.jaxmimo-x").mkdir()
    Path("results/.jaxmimo-x/two-parts.checkpoint").write_text("half")  # killed while it wrote
    assert run() == 0
    assert [path.name for path in sorted(Path("results").iterdir())] == [
        "two-parts.nc",
        "two-parts.png",
    ]


def test_never_two_at_a_time(tmp_path):
    inside, seen = [], []

    def work(_):
        with suppress(ValueError), one_run_at_a_time(tmp_path / "new" / "folder", "study"):
            inside.append(1)
            seen.append(len(inside))
            inside.pop()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(400)))
    assert set(seen) == {1}
