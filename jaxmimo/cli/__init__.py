"""The command `jaxmimo`: list, run, tune and show studies.

This module answers `--help` and typing errors without importing JAX; what computes is imported
once a command is known.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import DisallowNone, Positional, arg, subcommand

from jaxmimo.cli.parsing import one_line, parse


@dataclass(frozen=True)
class ListStudies:
    """Studies, with the paper and figure of each."""


@dataclass(frozen=True)
class RunStudy:
    """Simulate a study: print its table, write STUDY.nc and its picture.

    `jaxmimo run STUDY --help` shows the flags of a study; `jaxmimo list` names the studies.
    """

    study: Annotated[Positional[str], arg(metavar="STUDY")]
    """Name of the study. Its flags follow it."""


@dataclass(frozen=True)
class TuneStudy:
    """Tune powers or user groups: as run, for a study that searches. Its convergence is drawn, too.

    `jaxmimo tune STUDY --help` shows the flags of a study; the names of these begin with `tune-`.
    """

    study: Annotated[Positional[str], arg(metavar="STUDY")]
    """Name of the study. Its flags follow it."""


@dataclass(frozen=True)
class ShowResult:
    """Print the table of a saved result and draw its picture."""

    file: Annotated[Positional[Path], arg(metavar="FILE.nc")]
    """Result that `jaxmimo run` has written."""
    out: DisallowNone[Path | None] = None
    """Folder for the picture; beside FILE.nc if not given."""
    points: DisallowNone[int | None] = None
    """Points of a curve that tables show, evenly spaced; all if not given."""


@dataclass(frozen=True)
class Info:
    """Versions, devices and the cache of compiled kernels."""


Command = (
    Annotated[ListStudies, subcommand("list")]
    | Annotated[RunStudy, subcommand("run")]
    | Annotated[TuneStudy, subcommand("tune")]
    | Annotated[ShowResult, subcommand("show")]
    | Annotated[Info, subcommand("info")]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after the program's name; those of the process if None.

    Returns:
        Exit code: 0, 2 for bad input, 130 when interrupted.
    """
    try:
        _dispatch(list(sys.argv[1:] if argv is None else argv))
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"jaxmimo: error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(
            "jaxmimo: error: memory must hold the arrays of a study, but is exhausted: "
            f"{one_line(str(error))[:200]}. Simulate fewer antennas, users or points.",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt as stop:
        print(f"jaxmimo: {stop or 'interrupted.'}", file=sys.stderr)
        return 130
    return 0


def _dispatch(args: list[str]) -> None:
    if len(args) > 1 and args[0] in ("run", "tune"):
        verb, name = args[:2]
        if not name.startswith("-"):
            from jaxmimo.cli import run  # what follows the study's name is for the study to parse

            {"run": run.run, "tune": run.tune}[verb](name, args[2:])
            return
        if name not in ("-h", "--help"):
            raise ValueError(
                f"`jaxmimo {verb}` needs the study before its flags, but got `{name}` first. "
                f"Write `jaxmimo {verb} STUDY [flags]`; `jaxmimo list` names the studies."
            )
    command = parse(Command, prog="jaxmimo", args=args, description=(__doc__ or "").split("\n")[0])
    from jaxmimo.cli import commands

    match command:
        case ListStudies():
            commands.list_studies()
        case ShowResult(file, out, points):
            commands.show(file, out, points)
        case Info():
            commands.info()
