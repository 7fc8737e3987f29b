"""A long run of the command, interrupted and resumed: nothing grows, and nothing is left behind.

It takes a minute; `JAXMIMO_LONG_RUN=600` makes it ten, and prints what it measured.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SECONDS = float(os.environ.get("JAXMIMO_LONG_RUN", "60"))
INTERRUPTIONS = 5
STUDY = "squint-gain"
CHECKPOINT = f"results/{STUDY}.checkpoint"


def start(realizations, folder):
    """The command, in a session of its own and at the lowest priority."""
    homes = {"TMPDIR": "temporary", "XDG_CACHE_HOME": "cache"}
    for name in homes.values():
        (folder / name).mkdir(exist_ok=True)
    environment = {**os.environ, **{key: str(folder / name) for key, name in homes.items()}}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    flags = ["--resume", "--realizations", str(realizations)]
    with (folder / "log").open("w") as log:
        return subprocess.Popen(
            ["nice", "-n", "19", sys.executable, "-m", "jaxmimo", "run", STUDY, *flags],
            cwd=folder,
            env=environment,
            start_new_session=True,
            stdout=log,
            stderr=log,
        )


def drawn(folder):
    """Realizations that the checkpoint holds."""
    file = folder / CHECKPOINT
    if not file.exists():
        return 0
    with h5py.File(file) as opened:
        return int(opened["tallies/1"].attrs["realizations"])


def wait_until(condition, process):
    while not condition():
        assert process.poll() is None
        time.sleep(0.2)


def used(process):
    """What a process holds at its least within a second, since files and buffers come and go."""
    home, samples = Path("/proc") / str(process.pid), []
    for _ in range(20):
        status = dict(line.split(":", 1) for line in (home / "status").read_text().splitlines())
        samples.append(
            (
                int(status["VmRSS"].split()[0]) / 1024,
                int(status["Threads"]),
                len(list((home / "fd").iterdir())),
            )
        )
        time.sleep(0.05)
    return dict(zip(("MiB", "threads", "files"), map(min, zip(*samples, strict=True)), strict=True))


def alive(session):
    """Processes of a session."""
    stats = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats.append(file.read_text().rpartition(")")[2].split())
        except OSError:  # it has ended
            continue
    return [fields for fields in stats if fields[3] == str(session)]


def left(folder):
    """Files in the folders where files could pile up."""
    places = ("results", "temporary", "cache")
    return {name: sorted(map(str, (folder / name).rglob("*"))) for name in places}


def live(folder, seconds):
    """One life of the run, ended by Ctrl-C: what it held early and late, and what it left."""
    before = drawn(folder)
    process = start(2 * 10**9, folder)
    wait_until(lambda: drawn(folder) > before, process)
    time.sleep(2)
    early = used(process)
    time.sleep(seconds)
    late = used(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert alive(process.pid) == []
    assert CHECKPOINT in (folder / "log").read_text()
    assert drawn(folder) > before
    return {"early": early, "late": late, "left": left(folder), "drawn": drawn(folder)}


def test_nothing_grows_and_nothing_is_left(tmp_path):
    lives = [live(tmp_path, SECONDS / (INTERRUPTIONS + 1)) for _ in range(INTERRUPTIONS)]
    last = start(drawn(tmp_path) * (INTERRUPTIONS + 1) // INTERRUPTIONS, tmp_path)
    assert last.wait(1800) == 0
    assert alive(last.pid) == []
    figures = [{key: life[key] for key in ("drawn", "early", "late")} for life in lives]
    print(json.dumps(figures, indent=1))
    for life in lives:
        assert [Path(name).name for name in life["left"]["results"]] == [f"{STUDY}.checkpoint"]
        assert life["left"] == lives[0]["left"]
        for earlier in (life["early"], lives[0]["late"]):
            assert life["late"]["threads"] <= earlier["threads"]
            assert life["late"]["files"] <= earlier["files"]
            assert life["late"]["MiB"] <= 1.05 * earlier["MiB"]
    files = [Path(name).name for name in left(tmp_path)["results"]]
    assert files == [f"{STUDY}.nc", f"{STUDY}.png"]
    assert left(tmp_path)["temporary"] == []
