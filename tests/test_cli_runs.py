"""Long runs by the command: interrupted, resumed, extended, shared, watched."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from jax.tree_util import Partial

from jaxmimo.cli import display, main
from jaxmimo.core.randomness import complex_normal
from jaxmimo.plotting import new_axes
from jaxmimo.simulation import tally
from jaxmimo.simulation.monte_carlo import identity
from jaxmimo.studies import common
from jaxmimo.studies.study import Study

SNR = (1.0, 100.0)


@dataclass(frozen=True)
class Parameters:
    """Parameters of a study of two parts."""

    scale: float = 1.0
    """Scale of the SNR."""


def rate(snr, key):
    return jnp.log2(1 + snr * jnp.abs(complex_normal(key, (2,))) ** 2)


def run_study(parameters, sampling):
    estimates = [
        common.simulate(
            Partial(rate, jnp.asarray(parameters.scale * snr)), identity, sampling, f"{snr}"
        )
        for snr in SNR
    ]
    return common.make_dataset(
        {"snr": SNR, "user": [0, 1]},
        {
            "se": (("snr", "user"), np.stack([each.mean for each in estimates])),
            "se_std_error": (("snr", "user"), np.stack([each.std_error for each in estimates])),
            "simulated": (("snr",), [each.realizations for each in estimates]),
        },
        {
            "se": ("SE", "bit/s/Hz"),
            "snr": ("SNR", "1"),
            "user": ("User", "1"),
            "simulated": ("Realizations drawn", "1"),
        },
    )


def plot(dataset, ax=None):
    ax = new_axes(ax)
    ax.plot(dataset.snr, dataset.se)
    return ax


STUDY = Study(
    name="two-parts",
    summary="SE of two users.",
    paper="A. Author, A Paper",
    figure="Fig. 1",
    parameters=Parameters,
    realizations=2000,
    run=run_study,
    plot=plot,
    claims=lambda _: [],
)


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr("jaxmimo.studies.STUDIES", {STUDY.name: STUDY})
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder / "results"


def run(*flags):
    return main(["run", "two-parts", *map(str, flags)])


def press_ctrl_c_at(realizations, times, monkeypatch):
    """Ctrl-C during the chunk that ends at `realizations`, of the part number `times`."""
    add, seen = tally.Tally.add, []

    def add_and_press(self, chunk, sums):
        add(self, chunk, sums)
        if chunk.stop == realizations:
            seen.append(chunk)
            if len(seen) == times:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tally.Tally, "add", add_and_press)


def variables(path):
    with xr.open_dataset(path) as dataset:
        return {name: values.values.tobytes() for name, values in dataset.variables.items()}


@pytest.fixture
def whole(folder):
    assert run("--out", "whole") == 0
    return variables("whole/two-parts.nc")


@pytest.mark.parametrize("part", [1, 2])
def test_an_interrupted_run_says_how_to_go_on_and_ends_with_the_same_bytes(
    part, whole, folder, capsys, monkeypatch
):
    with monkeypatch.context() as patch:
        press_ctrl_c_at(640, part, patch)
        assert run() == 130
    assert capsys.readouterr().err == (
        "jaxmimo: interrupted. The same command with `--resume` goes on from "
        "`results/two-parts.checkpoint`.\n"
    )
    assert [file.name for file in folder.iterdir()] == ["two-parts.checkpoint"]
    assert run("--resume") == 0
    assert variables(folder / "two-parts.nc") == whole
    assert sorted(file.name for file in folder.iterdir()) == ["two-parts.nc", "two-parts.png"]


def test_an_unfinished_run_is_not_thrown_away(folder, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        press_ctrl_c_at(640, 1, patch)
        run()
    capsys.readouterr()
    before = (folder / "two-parts.checkpoint").read_bytes()
    assert run() == 2
    assert "is of an unfinished run. Add `--resume` to go on with it" in capsys.readouterr().err
    assert (folder / "two-parts.checkpoint").read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--scale", "2"], "it has `--scale` = 1.0, this one has 2.0"),
        (["--seed", "1"], "it has `--seed` = 0, this one has 1"),
        (["--precision", "double"], "it has `--precision` = single, this one has double"),
        (["--realizations", "300"], "`--realizations` = 300 must not be less than the 640"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(flags, text, folder, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        press_ctrl_c_at(640, 1, patch)
        run()
    capsys.readouterr()
    assert run("--resume", *flags) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1
    assert not (folder / "two-parts.nc").exists()


def test_a_result_is_extended_and_without_one_resume_begins(folder):
    assert run("--resume", "--realizations", "1024") == 0
    assert run("--resume") == 0
    run("--out", "whole")
    assert variables(folder / "two-parts.nc") == variables("whole/two-parts.nc")
    with xr.open_dataset(folder / "two-parts.nc") as dataset:
        assert dataset.attrs["realizations"] == 2000
        assert not [name for name in dataset.variables if "tall" in str(name)]


def test_extending_draws_only_what_is_new(folder, monkeypatch):
    run("--realizations", "1024")
    first = []
    add = tally.Tally.add
    monkeypatch.setattr(
        tally.Tally, "add", lambda self, chunk, sums: first.append(chunk) or add(self, chunk, sums)
    )
    assert run("--resume", "--realizations", "1088") == 0
    assert [chunk.start for chunk in first] == [1024, 1024]


def test_a_result_of_an_older_format_cannot_be_extended(folder, capsys):
    run("--realizations", "100")
    with xr.open_dataset(folder / "two-parts.nc") as dataset:
        dataset = dataset.load()
    dataset.to_netcdf(folder / "two-parts.nc", engine="h5netcdf")
    capsys.readouterr()
    assert run("--resume") == 2
    assert "`results/two-parts.nc` holds no tallies to go on from" in capsys.readouterr().err


def test_points_that_meet_the_target_end_their_part(folder):
    assert run("--target-error", "0.02", "--realizations", "100000") == 0
    with xr.open_dataset(folder / "two-parts.nc") as dataset:
        assert float((dataset.se_std_error / dataset.se).max()) <= 0.02
        drawn = dataset.simulated.values
        assert drawn[0] > 2 * drawn[1]


def test_logs_have_a_line_every_few_seconds(monkeypatch, capsys):
    monkeypatch.setattr(display, "LINE_INTERVAL", 0.0)
    monkeypatch.setattr(tally, "Pace", type("Always", (tally.Pace,), {"due": lambda self: True}))
    assert run() == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("1.0: ")]
    assert len(lines) > 20
    assert re.fullmatch(
        r"1.0: \d+ of 2000, \S+ per second, \d+ s left, standard error \S+ %", lines[-2]
    )
    assert re.fullmatch(r"1.0: 2000 realizations, \S+ per second, standard error \S+ %", lines[-1])


def test_profile_tells_times_and_memory_and_leaves_a_trace(folder, capsys):
    assert run("--profile") == 0
    out = capsys.readouterr().out
    for pattern in (
        r"compilation +\d+\.\d+ s",
        r"simulation +\d+\.\d+ s",
        r"realizations +\S+ per second",
        r"peak memory +\d+ MiB",
        r"trace +results/two-parts.profile",
    ):
        assert re.search(pattern, out), pattern
    assert list((folder / "two-parts.profile").rglob("*.xplane.pb"))


def test_a_realization_that_is_not_finite_is_named(folder, capsys, monkeypatch):
    bad = jax.random.key_data(jax.random.fold_in(jax.random.key(0), 77))
    fine = rate

    def sometimes_nan(snr, key):
        return jnp.where(jnp.all(jax.random.key_data(key) == bad), jnp.nan, fine(snr, key))

    monkeypatch.setattr(sys.modules[__name__], "rate", sometimes_nan)
    assert run() == 2
    error = capsys.readouterr().err
    assert "1 of realizations 64 to 127 is not finite, the first is number 77" in error
    assert error.count("\n") == 1
    assert not folder.exists() or not list(folder.glob("*.nc"))


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--processes", "2"], "Add `--distributed`"),
        (["--distributed", "--processes", "2"], "belong together"),
        (["--distributed"], "`--distributed` did not find the other processes"),
    ],
)
def test_incomplete_flags_of_hosts_are_refused(flags, text, capsys, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_", "KUBERNETES")):
            monkeypatch.delenv(name)
    assert run(*flags) == 2
    error = capsys.readouterr().err
    assert text in error
    assert error.count("\n") == 1


@pytest.mark.timeout(300)
def test_two_processes_give_the_result_of_one(tmp_path):
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jaxmimo", "run", "squint-gain", "--realizations", "300"]
    shared = ["--distributed", "--coordinator", f"localhost:{port}", "--processes", "2"]
    alone = subprocess.Popen([*command, "--out", "alone"], stdout=subprocess.PIPE)
    both = [
        subprocess.Popen(
            [*command, "--out", str(number), *shared, "--process-id", str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for number in (0, 1)
    ]
    outputs = [process.communicate(timeout=200)[0] for process in (alone, *both)]
    assert [process.returncode for process in (alone, *both)] == [0, 0, 0], outputs
    one, two = (xr.load_dataset(f"{name}/squint-gain.nc") for name in ("alone", "0"))
    assert two.attrs["device_count"] == 2
    assert json.loads(two.attrs["parameters"]) == json.loads(one.attrs["parameters"])
    for name in one.data_vars:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, err_msg=name)
    assert b"Wrote 0/squint-gain.nc" in outputs[1]
    assert b"Wrote" not in outputs[2]
    assert not Path("1").exists()
