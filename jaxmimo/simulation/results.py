"""Results on disk, and where they came from."""

import json
import platform
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
import xarray as xr

from jaxmimo.core.files import atomic_path

PROVENANCE = (
    "study",
    "parameters",
    "seed",
    "precision",
    "realizations",
    "versions",
    "platform",
    "device_kind",
    "device_count",
    "wall_time_s",
    "created",
)
"""Attributes of every result; `target_error` joins them if one was asked for."""


def versions() -> dict[str, str]:
    """Versions of jaxmimo and of what decides its numbers."""
    packages = {name: metadata.version(name) for name in ("jaxmimo", "jax", "jaxlib", "numpy")}
    return {**packages, "python": platform.python_version()}


def provenance(
    *,
    study: str,
    parameters: Any,
    seed: int,
    precision: str,
    realizations: int,
    target_error: float | None,
    wall_time_s: float,
) -> dict[str, Any]:
    """Attributes that say how a result was made, and suffice to make it again.

    Args:
        study: Name of the study.
        parameters: Its parameters, a dataclass instance; kept as JSON.
        seed: Seed of the random key.
        precision: `"single"` or `"double"`.
        realizations: Channel realizations asked for.
        target_error: Relative standard error asked for; the attribute is left out if None.
        wall_time_s: Duration of the run, compilation included [s].

    Returns:
        Values that NetCDF can hold: strings and numbers.
    """
    device = jax.devices()[0]
    attributes = {
        "study": study,
        "parameters": json.dumps(asdict(parameters), default=_plain),
        "seed": seed,
        "precision": precision,
        "realizations": realizations,
        "target_error": target_error,
        "versions": json.dumps(versions()),
        "platform": device.platform,
        "device_kind": device.device_kind,
        "device_count": jax.device_count(),
        "wall_time_s": round(wall_time_s, 3),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {name: value for name, value in attributes.items() if value is not None}


def save_result(
    dataset: xr.Dataset, path: str | Path, also: Callable[[h5py.File], None] | None = None
) -> None:
    """Write `dataset` to `path` as NetCDF, whole or not at all.

    Args:
        dataset: The result.
        path: Where the file shall be.
        also: Writes groups of its own into the file.
    """
    with atomic_path(path) as draft:
        dataset.to_netcdf(draft, engine="h5netcdf")
        if also is not None:
            with h5py.File(draft, "r+") as file:
                also(file)


def open_result(path: str | Path) -> xr.Dataset:
    """Read a result of `save_result` into memory.

    Args:
        path: The NetCDF file.

    Returns:
        The dataset, with its provenance in `attrs`.

    Raises:
        ValueError: if there is no such file, or it is not a jaxmimo result.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"`{path}` is not a file. Name a result that `jaxmimo run` has written.")
    remedy = "Name a .nc file that `jaxmimo run` has written."
    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
    except PermissionError:
        raise ValueError(f"`{path}` cannot be read: permission denied.") from None
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"`{path}` is not a NetCDF file. {remedy}") from error
    missing = [name for name in PROVENANCE if name not in dataset.attrs]
    if missing:
        raise ValueError(f"`{path}` is no jaxmimo result: it lacks `{missing[0]}`. {remedy}")
    return dataset


def _plain(value: Any) -> Any:
    """What JSON cannot hold itself: arrays and NumPy numbers."""
    return np.asarray(value).tolist()
