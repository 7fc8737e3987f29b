"""`jaxmimo list`, `show` and `info`."""

from pathlib import Path

import jax
from rich.table import Table

from jaxmimo import studies
from jaxmimo.cli import cache
from jaxmimo.cli.display import make_console, print_summary, print_tables, require_points
from jaxmimo.plotting import save_figure
from jaxmimo.simulation.results import open_result, versions


def list_studies() -> None:
    """Print the studies, one line each."""
    table = Table(box=None, pad_edge=False)
    for title in ("study", "what it shows", "published as"):
        table.add_column(title)
    for name, study in studies.STUDIES.items():
        table.add_row(name, study.summary, f"{study.paper}, {study.figure}")
    make_console().print(table)


def show(file: Path, out: Path | None, points: int | None = None) -> None:
    """Print the table of a saved result and write its picture."""
    require_points(points)
    dataset = open_result(file)
    name = dataset.attrs["study"]
    if name not in studies.STUDIES:
        raise ValueError(
            f"`{file}` comes from the study `{name}`, which this jaxmimo does not know. "
            "Install the version that wrote it; `ncdump -h` or xarray show its attributes."
        )
    study = studies.STUDIES[name]
    console = make_console()
    folder = out or file.parent
    pictures = {folder / f"{stem}.png": draw for stem, draw in study.pictures(file.stem).items()}
    try:
        for picture, draw in pictures.items():
            save_figure(draw(dataset), picture)
        print_tables(console, study, dataset, points)
        print_summary(console, study, dataset, pictures)
    except OSError:  # the picture cannot be written
        raise
    except Exception as error:  # a variable is missing, or is not what the study would write
        raise ValueError(
            f"`{file}` does not fit the study `{name}` of this version: {error}. "
            f"Run `jaxmimo run {name}` again."
        ) from error


def info() -> None:
    """Print versions, devices and the cache."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, version in versions().items():
        table.add_row(name, version)
    for device in jax.devices():
        table.add_row("device", f"{device.platform}:{device.id} {device.device_kind}")
    table.add_row("compiled kernels", str(cache.compiled()))
    table.add_row("their traces", str(cache.traces()))
    table.add_row("size of both", f"{cache.size() / 1e6:.1f} MB")
    make_console().print(table, soft_wrap=True)
