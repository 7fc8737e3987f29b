"""Results on disk, and where they came from."""

import io
import json
import math
import os
import platform
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from numbers import Integral, Real
from typing import Any

import h5py
import jax
import numpy as np
import xarray as xr

from jaxmimo.core.checks import require
from jaxmimo.core.files import as_path, atomic_path, reason, seal_of, sealed
from jaxmimo.core.text import printable

LARGEST_FILE = 2**32
"""Bytes of a file beyond which it is not opened as a result."""

LARGEST_RESULT = 2**28
"""Bytes that the variables of a result may say they have; tables take many times that."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_mapping(value: Any) -> bool:
    try:
        return isinstance(value, str) and isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, Integral) and int(value) >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(float(value))


PROVENANCE: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "study": ("text", _is_text),
    "parameters": ("a JSON object", _is_mapping),
    "seed": ("an integer from 0 on", partial(_is_count, least=0)),
    "precision": ("single or double", lambda value: str(value) in ("single", "double")),
    "realizations": ("an integer from 1 on", _is_count),
    "versions": ("a JSON object", _is_mapping),
    "platform": ("text", _is_text),
    "device_kind": ("text", _is_text),
    "device_count": ("an integer from 1 on", _is_count),
    "wall_time_s": ("a number", _is_number),
    "created": ("text", _is_text),
}
"""Attributes of every result, with what they must be; `target_error` joins them if one was asked
for."""


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
        "parameters": as_json(parameters),
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


def as_json(parameters: Any) -> str:
    """Parameters of a study as results keep them."""
    return json.dumps(asdict(parameters), default=_plain)


def save_result(
    dataset: xr.Dataset,
    path: str | os.PathLike[str],
    also: Callable[[h5py.File], None] | None = None,
) -> None:
    """Write `dataset` to `path` as NetCDF, whole or not at all.

    After the end of the NetCDF file, where its readers do not look, stands a digest of it.

    Args:
        dataset: The result.
        path: Where the file shall be.
        also: Writes groups of its own into the file.
    """
    content = io.BytesIO()  # so that a full disk is met by Python, not by the HDF5 library
    dataset.to_netcdf(content, engine="h5netcdf")
    if also is not None:
        with h5py.File(content, "r+") as file:
            also(file)
    with atomic_path(path) as draft:
        draft.write_bytes(sealed(content.getvalue()))


def open_result(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a result of `save_result` into memory, if it is as it was written.

    A file without digest, which another program has written since, is read if it has what a result
    must have. What does not print is taken out of all text.

    Args:
        path: The NetCDF file.

    Returns:
        The dataset, with its provenance in `attrs`.

    Raises:
        ValueError: if there is no such file, it is damaged, or it is not a jaxmimo result.
    """
    path = as_path("path", path)
    remedy = "Name a .nc file that `jaxmimo run` has written."
    try:
        require(path.is_file(), f"`{path}` is not a file. {remedy}")
        small = path.stat().st_size <= LARGEST_FILE
        require(small, f"`{path}` is larger than any result. {remedy}")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"`{path}` cannot be read: {reason(error)}. {remedy}") from None
    require(
        seal_of(content) != "broken",
        f"`{path}` is damaged: its digest does not fit it. Restore it from a copy, or run its "
        "study again.",
    )
    try:
        complaint, dataset = _why_no_result(content), xr.Dataset()
        if complaint is None:
            dataset = _load(content)
    except Exception as error:  # whatever the libraries raise where bytes make no sense
        raise ValueError(f"`{path}` is not a NetCDF file. {remedy}") from error
    complaint = complaint or _why_no_provenance(dataset.attrs)
    require(complaint is None, f"`{path}` is no jaxmimo result: {complaint}. {remedy}")
    return dataset.assign_attrs({name: _scalar(value) for name, value in dataset.attrs.items()})


def _scalar(value: Any) -> Any:
    """A number as the run had it, which NetCDF gives back as NumPy's."""
    return value.item() if isinstance(value, np.generic) else value


def _why_no_result(content: bytes) -> str | None:
    """What is wrong with the variables of a file, found out before any of them is read."""
    size = 0
    with h5py.File(io.BytesIO(content), "r") as file:
        for name in map(str, file):
            link = file.get(name, getlink=True)
            if not name.isprintable() or not isinstance(link, h5py.HardLink):
                return "it has a variable that is not its own, or whose name does not print"
            variable: Any = file[name]
            if isinstance(variable, h5py.Group):
                continue
            is_text = h5py.check_string_dtype(variable.dtype) is not None
            if variable.shape is None or not (is_text or variable.dtype.kind in "fiub"):
                return f"`{name}` holds neither numbers nor text"
            if variable.external or variable.is_virtual:
                return f"`{name}` is kept in another file"
            size += variable.nbytes
    return None if size <= LARGEST_RESULT else f"its variables say that they have {size:.3g} bytes"


def _load(content: bytes) -> xr.Dataset:
    """The variables and attributes of a file, where all text is such that it prints."""
    with warnings.catch_warnings(action="ignore"):
        dataset = xr.load_dataset(io.BytesIO(content), engine="h5netcdf", decode_times=False)
    dataset.attrs = _printable(dataset.attrs)
    for name, variable in list(dataset.variables.items()):
        if variable.dtype.kind not in "fiub":
            texts = np.vectorize(_printable, otypes=[object])(variable.values)
            dataset[name] = (variable.dims, texts.astype(variable.dtype))
        dataset[name].attrs = _printable(variable.attrs)
    return dataset


def _why_no_provenance(attributes: Mapping[str, Any]) -> str | None:
    """What is missing or makes no sense in the attributes of a file."""
    for name, (kind, fits) in PROVENANCE.items():
        if name not in attributes:
            return f"it lacks `{name}`"
        if not fits(attributes[name]):
            return f"its `{name}` is not {kind}"
    if not _is_number(attributes.get("target_error", 0.0)):
        return "its `target_error` is not a number"
    return None


def _printable(value: Any) -> Any:
    """`value`, which NetCDF may have, with all text in it such that it prints."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable(name): _printable(each) for name, each in value.items()}
    if isinstance(value, list | np.ndarray) and np.asarray(value).dtype.kind not in "fiub":
        return [_printable(each) for each in value]
    return value


def _plain(value: Any) -> Any:
    """What JSON cannot hold itself: arrays and NumPy numbers."""
    return np.asarray(value).tolist()
