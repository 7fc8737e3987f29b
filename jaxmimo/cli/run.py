"""`jaxmimo run` and `jaxmimo tune`: a study from its flags to its table, file and picture."""

import difflib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, make_dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import xarray as xr
from matplotlib.axes import Axes
from tyro.conf import DisallowNone

from jaxmimo import studies
from jaxmimo.cli import cache, hosts, resume
from jaxmimo.cli.display import (
    make_console,
    print_summary,
    print_tables,
    progress_display,
    require_points,
)
from jaxmimo.cli.lock import one_run_at_a_time
from jaxmimo.cli.parsing import parse, with_flags
from jaxmimo.cli.profile import profiled
from jaxmimo.core.checks import require
from jaxmimo.core.files import IS_FOLDER, as_path, remove_drafts, why_not_writable
from jaxmimo.core.programs import programs_kept_in
from jaxmimo.plotting import save_figure
from jaxmimo.simulation.checkpoint import Checkpoint
from jaxmimo.simulation.results import provenance, save_result
from jaxmimo.studies.study import Progress, Sampling, Study


@dataclass(frozen=True)
class RunFlags:
    """The flags that all studies share: how to simulate, and where to write."""

    realizations: int
    """Channel realizations per point, or drops of users where a study drops them; the most of
    them when --target-error is given."""
    out: Path = Path("results")
    """Folder for STUDY.nc and its picture; made if missing."""
    seed: int = 0
    """Seed of all random draws, 0 to 4294967295."""
    precision: Literal["single", "double"] = "single"
    """Floating-point precision of the simulation."""
    target_error: DisallowNone[float | None] = None
    """Stop once every point has this relative standard error, such as 0.001."""
    resume: bool = False
    """Go on from an interrupted run in the folder, or extend its result."""
    force: bool = False
    """Overwrite what the folder holds of other parameters, of more realizations, or unfinished."""
    profile: bool = False
    """Trace the run, and tell what compilation, simulation and memory took."""
    formats: tuple[Literal["png", "pdf"], ...] = ("png",)
    """Formats of the picture."""
    points: DisallowNone[int | None] = None
    """Points of a curve that tables show, evenly spaced; all if not given."""
    quiet: bool = False
    """Print claims, files and time alone, without progress and tables."""

    def __post_init__(self) -> None:
        require(
            self.realizations >= 2,
            f"`--realizations` must be at least 2, but got {self.realizations}. "
            "A standard error needs two of them; the default is a good choice.",
        )
        require(
            self.realizations < 2**31,
            f"`--realizations` must be below {2**31}, but got {self.realizations}. Draw fewer.",
        )
        require(
            "\0" not in str(self.out),
            f"`--out` must be a path, but `{self.out}` holds NUL. Choose another folder.",
        )
        require(
            self.target_error is None or 0.0 < self.target_error < 1.0,
            f"`--target-error` must lie between 0 and 1, but got {self.target_error}. "
            "It is a relative standard error: 0.001 stops at 0.1 %.",
        )
        require(  # a larger seed would give other draws in single than in double precision
            0 <= self.seed < 2**32,
            f"`--seed` must lie between 0 and {2**32 - 1}, but got {self.seed}. Choose another.",
        )
        require_points(self.points)
        require(bool(self.formats), "`--formats` must name at least one format: png, pdf or both.")


def run(name: str, args: Sequence[str]) -> None:
    """Run the study `name` with the flags in `args`."""
    _run(_find_study(name, studies.STUDIES), args, "run")


def tune(name: str, args: Sequence[str]) -> None:
    """Run the study `name`, which must be one that tunes, with the flags in `args`."""
    tuning = {name: study for name, study in studies.STUDIES.items() if study.convergence}
    require(
        name in tuning or name not in studies.STUDIES,
        f"STUDY must be one that tunes, but `{name}` only simulates. "
        f"Write `jaxmimo run {name}`, or tune one of {', '.join(tuning)}.",
    )
    _run(_find_study(name, tuning), args, "tune")


def _run(study: Study, args: Sequence[str], verb: str) -> None:
    name = study.name
    with _named_as_flags(study):
        flags = _parse_flags(study, args, verb)
    folder = flags.run.out
    result, unfinished = (folder / f"{name}.{suffix}" for suffix in ("nc", "checkpoint"))
    pictures = {
        folder / f"{stem}.{suffix}": draw
        for stem, draw in study.pictures(name).items()
        for suffix in flags.run.formats
    }
    cache.enable()
    hosts.join(flags.hosts)
    _check_writable(folder, unfinished, result, *pictures)
    with one_run_at_a_time(folder, name):
        _run_alone(study, flags, unfinished, result, pictures)


def _run_alone(
    study: Study,
    flags: Any,
    unfinished: Path,
    result: Path,
    pictures: Mapping[Path, Callable[..., Axes]],
) -> None:
    """Simulate and write, where no other process does."""
    about = {**asdict(flags.study), "seed": flags.run.seed, "precision": flags.run.precision}
    with _named_as_flags(study):
        checkpoint = resume.prepare(
            unfinished,
            result,
            about,
            realizations=flags.run.realizations,
            target_error=flags.run.target_error,
            resume=flags.run.resume,
            force=flags.run.force,
        )
    is_first = jax.process_index() == 0
    console = make_console(quiet=not is_first)
    trace = result.with_suffix(".profile")
    try:
        for file in (unfinished, result, *pictures) if is_first else ():
            remove_drafts(file)
        with (
            _named_as_flags(study),
            programs_kept_in(cache.traces()),
            profiled(trace) if flags.run.profile else nullcontext() as profile,
            progress_display(make_console(quiet=flags.run.quiet or not is_first)) as progress,
        ):
            dataset = _simulate(study, flags, checkpoint, progress)
        if not is_first:
            return
        save_result(dataset, result, also=partial(checkpoint.write_to, compress=True))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted.{_how_to_go_on(unfinished)}") from None
    except OSError as error:
        raise OSError(f"{error}{_how_to_go_on(unfinished)}") from error
    unfinished.unlink(missing_ok=True)
    for file, draw in pictures.items():
        save_figure(draw(dataset), file)
    if not flags.run.quiet:
        print_tables(console, study, dataset, flags.run.points)
    if profile is not None:
        profile.show(console, sum(each.realizations for each in checkpoint.records.values()))
    print_summary(console, study, dataset, (result, *pictures))


@contextmanager
def _named_as_flags(study: Study) -> Iterator[None]:
    """Let complaints of the body name the flags that were typed."""
    try:
        yield
    except (ValueError, FloatingPointError) as error:
        kind = ValueError if isinstance(error, ValueError) else FloatingPointError
        own = study.parameters.__dataclass_fields__
        named = with_flags(str(error), [*own, "realizations", "seed", "precision"])
        raise kind(named) from error


def _how_to_go_on(unfinished: Path) -> str:
    if not unfinished.is_file():
        return ""
    return f" The same command with `--resume` goes on from `{unfinished}`."


def _find_study(name: str, known: Mapping[str, Study]) -> Study:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean `{close[0]}`? " if close else ""
    require(
        name in known,
        f"STUDY must be one that `jaxmimo list` names, but got `{name}`. {hint}"
        f"There are {', '.join(known)}.",
    )
    return known[name]


def _parse_flags(study: Study, args: Sequence[str], verb: str) -> Any:
    """Common flags as `.run` and `.hosts`, the study's own as `.study`; one help page for all."""
    flags = make_dataclass(
        "Flags",
        [
            ("run", RunFlags, field(default=RunFlags(realizations=study.realizations))),
            ("hosts", hosts.HostFlags, field(default=hosts.HostFlags())),
            ("study", study.parameters, field(default=study.parameters())),
        ],
        frozen=True,
    )
    about = f"{study.summary.rstrip('.')}. {study.paper}, {study.figure}."
    return parse(flags, prog=f"jaxmimo {verb} {study.name}", args=args, description=about)


def _check_writable(folder: Path, *files: Path) -> None:
    """Refuse a folder that cannot be written before an hour of simulation, leaving no trace."""
    as_path("--out", folder)
    for file in files:
        obstacle = why_not_writable(file)
        require(
            obstacle != IS_FOLDER,
            f"`--out` must leave room for `{file}`, but that is a folder. Choose another folder.",
        )
        require(
            obstacle is None,
            f"`--out` must be a folder that can be written, but `{folder}` cannot: {obstacle}. "
            "Choose another folder.",
        )


def _simulate(
    study: Study, flags: Any, checkpoint: Checkpoint, progress: Callable[[Progress], None]
) -> xr.Dataset:
    """Run the study and note how that was done; what the study itself noted stands."""
    common: RunFlags = flags.run
    errors: dict[str, float] = {}

    def note_errors(now: Progress) -> None:
        errors[now.label] = now.relative_error
        progress(now)

    start = time.perf_counter()
    with jax.enable_x64(True) if common.precision == "double" else nullcontext():
        sampling = Sampling(
            key=jax.random.key(common.seed),
            realizations=common.realizations,
            target_error=common.target_error,
            progress=note_errors,
            checkpoint=checkpoint,
        )
        dataset = study.run(flags.study, sampling)
    notes = provenance(
        study=study.name,
        parameters=flags.study,
        seed=common.seed,
        precision=common.precision,
        realizations=common.realizations,
        target_error=common.target_error,
        wall_time_s=time.perf_counter() - start,
    )
    reached = max(errors.values(), default=0.0)
    if common.target_error is not None and not reached <= common.target_error:
        notes["error_reached"] = reached
    return dataset.assign_attrs({**notes, **dataset.attrs})
