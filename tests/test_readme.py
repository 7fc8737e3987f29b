"""What the README tells its reader to type works."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jaxmimo import cli
from jaxmimo.cli import commands, run
from jaxmimo.studies import STUDIES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def typed(program):
    """Arguments of a program in all lines of all shells, without comments and what goes before."""
    lines = "\n".join(blocks("console") + blocks("bash")).splitlines()
    words = [shlex.split(line, comments=True) for line in lines if not line.startswith("#")]
    programs = [[Path(word).name for word in each] for each in words]
    return [w[p.index(program) + 1 :] for w, p in zip(words, programs, strict=True) if program in p]


PYTHON = blocks("python")
JAXMIMO = typed("jaxmimo")


def title(block):
    """The first call of jaxmimo's own, for the name of the test."""
    return next(line for line in block.splitlines() if "jaxmimo" in line)


@pytest.mark.parametrize("block", PYTHON, ids=title)
def test_python_runs_as_it_stands(block, tmp_path):
    """Each in a process of its own, where warnings are errors, and files stay in a folder."""
    command = [sys.executable, "-W", "error", "-c", block]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Parsed(Exception):
    """Raised in place of what a command would do."""


@pytest.mark.parametrize("args", JAXMIMO, ids=" ".join)
def test_every_command_parses(args, monkeypatch):
    """Up to where it would begin to work."""

    def stop(*_, **__):
        raise Parsed

    for name in ("list_studies", "show", "info"):
        monkeypatch.setattr(commands, name, stop)
    monkeypatch.setattr(run.cache, "enable", stop)  # what a run does first
    with pytest.raises(Parsed):
        cli.main(args)


def test_a_wrong_flag_does_not_parse():
    assert cli.main(["run", "iqi-aps", "--no-such-flag"]) == 2


def test_every_study_is_in_the_table():
    row = r"^\| <img [^|]+/([a-z][\w-]+)\.png[^|]+ \| `([a-z][\w-]+)` \| [^|]+ \| [^|]+ \|$"
    rows = re.findall(row, README, re.MULTILINE)
    assert rows == [(name, name) for name in STUDIES]  # its own picture, and its name


@pytest.mark.parametrize("target", typed("make"), ids=" ".join)
def test_make_targets_exist(target):
    command = ["make", "--dry-run", "--always-make", *target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_that_are_linked_exist():
    links = re.findall(r"\]\((?!https?:)([^)#]+)|src=\"([^\"]+)", README)
    links = ["".join(each) for each in links]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
