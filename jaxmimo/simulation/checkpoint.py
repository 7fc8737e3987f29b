"""Tallies on disk: what a killed run goes on from, and a finished one is extended from.

A checkpoint is an HDF5 file, or a group in a NetCDF result, with a group per part of a study:
numbers and text, nothing that is executed when it is read. The file ends with a digest of all that
is before it, which is checked before the HDF5 library, which damage can crash, sees any of it.
"""

import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np

from jaxmimo.core.checks import require
from jaxmimo.core.files import (
    as_path,
    atomic_path,
    remove_drafts,
    seal_of,
    sealed,
    why_not_writable,
)
from jaxmimo.core.text import printable
from jaxmimo.simulation.hosts import content_on_all_hosts, on_first_host
from jaxmimo.simulation.model import Model
from jaxmimo.simulation.results import versions
from jaxmimo.simulation.tally import Tally

FORMAT = 2
GROUP = "tallies"
ABANDONED = 600.0
"""Seconds after which a draft of a checkpoint is of a process that was killed."""


@dataclass(frozen=True)
class Record:
    """The tally of one part, as it is on disk."""

    realizations: int
    fingerprint: str
    leaves: tuple[np.ndarray, ...]

    def fits(self, model: Model) -> bool:
        """Whether the sums have the shapes and dtypes that the model's have."""
        empty = jax.tree.leaves(Tally.empty(model.shapes, len(self.leaves[0])).sums)
        theirs = [(leaf.shape, leaf.dtype) for leaf in self.leaves]
        return theirs == [(leaf.shape, leaf.dtype) for leaf in empty]


def _record(part: Any) -> Record:
    leaves = tuple(part[str(i)][()] for i in range(len(part)))
    record = Record(int(part.attrs["realizations"]), str(part.attrs["fingerprint"]), leaves)
    require(record.realizations > 0, "There is no tally of no realizations.")
    for leaf in leaves:
        is_sum = leaf.dtype in (np.float64, np.complex128) and np.isfinite(leaf).all()
        require(is_sum and len(leaf) == len(leaves[0]), "These are no sums per block.")
    return record


@dataclass
class Checkpoint:
    """Tallies of the parts of a study, in the order in which it simulates them.

    Attributes:
        path: File that `save` writes; None where another process writes it.
        about: What the run is, besides its model: compared when a checkpoint is read.
        records: Tallies by part.
    """

    path: Path | None
    about: Mapping[str, Any] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    source: str = ""
    """File that the records were read from, for messages."""
    _begun: int = 0

    def next_part(self) -> "Part":
        """The part that the study simulates next."""
        self._begun += 1
        return Part(self, str(self._begun))

    def write(self) -> None:
        """Write the file, whole or not at all."""
        if self.path is not None:
            content = io.BytesIO()  # so that a full disk is met by Python, not by the HDF5 library
            with h5py.File(content, "w") as file:
                self.write_to(file)
            with atomic_path(self.path) as draft:
                draft.write_bytes(sealed(content.getvalue()))

    def write_to(self, file: h5py.File, *, compress: bool = False) -> None:
        """Write a group into a file that is open."""
        # Sums of indicators, which fill the largest arrays, shrink to a fraction.
        packing = {"compression": "gzip", "compression_opts": 1} if compress else {}
        group = file.create_group(GROUP, track_order=True)
        group.attrs["format"] = FORMAT
        group.attrs["about"] = json.dumps(self._identity())
        for name, record in self.records.items():
            part = group.create_group(name, track_order=True)
            part.attrs["realizations"] = record.realizations
            part.attrs["fingerprint"] = record.fingerprint
            for i, leaf in enumerate(record.leaves):
                part.create_dataset(str(i), data=leaf, **packing)

    def read(self, content: bytes, source: str) -> None:
        """Take over what a file holds.

        Args:
            content: The file's bytes.
            source: Its name, for messages.

        Raises:
            ValueError: If it is no checkpoint, is damaged, or is one of another run.
        """
        remedy = "Delete it, name another place, or repeat what it was made with."
        seal = seal_of(content)
        require(
            seal != "broken",
            f"`{source}` is damaged: its digest does not fit it. Delete it, and "
            "start anew, or restore it from a copy.",
        )
        require(
            seal == "whole",
            f"`{source}` holds no tallies to go on from: it does not end with the digest that "
            "this version writes. Delete it, and start anew, or name another place.",
        )
        try:
            with h5py.File(io.BytesIO(content), "r") as file:
                group: Any = file[GROUP]
                readable = bool(group.attrs["format"] == FORMAT)
                theirs = dict(json.loads(group.attrs["about"]))
                records = {name: _record(part) for name, part in group.items()}
        except Exception as error:  # whatever comes of a file that something else has sealed
            raise ValueError(f"`{source}` holds no tallies to go on from. {remedy}") from error
        require(readable, f"`{source}` has another format than this version's. {remedy}")
        require_same_run(source, self._identity(), theirs, remedy)
        self.records, self.source = records, source

    def _identity(self) -> dict[str, Any]:
        return {**self.about, **{f"version of {k}": v for k, v in versions().items()}}


def require_same_run(
    source: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], remedy: str
) -> None:
    """Refuse what a file tells of its run, in JSON, if it is not what this run is."""
    ours = json.loads(json.dumps(ours))
    for name in sorted({*ours, *theirs}):
        require(
            ours.get(name) == theirs.get(name),
            printable(
                f"`{source}` belongs to another run: it has `{name}` = {theirs.get(name)}, this "
                f"one has {ours.get(name)}. {remedy}"
            ),
        )


@dataclass(frozen=True)
class Part:
    """One part of a checkpoint."""

    checkpoint: Checkpoint
    name: str

    def load(self, model: Model, blocks: int, realizations: int) -> Tally | None:
        """The tally to go on from, if there is one with as many blocks.

        Raises:
            ValueError: If it is one of another model, or of more realizations.
        """
        record = self.checkpoint.records.get(self.name)
        if record is None:
            return None
        source = self.checkpoint.source
        require(
            record.fingerprint == model.fingerprint and record.fits(model),
            f"`{source}` belongs to another model, or to other numbers in it. Delete it, or name "
            "another file.",
        )
        require(
            record.realizations <= realizations,
            f"`realizations` = {realizations} must not be less than the {record.realizations} that "
            f"`{source}` holds. Ask for as many, or name another file.",
        )
        if len(record.leaves[0]) != blocks:
            return None
        return Tally(
            record.realizations,
            jax.tree.unflatten(jax.tree.structure(model.shapes), record.leaves),
        )

    def save(self, model: Model, tally: Tally) -> None:
        """Note the tally, and write all that is known."""
        leaves = tuple(jax.tree.leaves(tally.sums))
        record = Record(tally.realizations, model.fingerprint, leaves)
        self.checkpoint.records[self.name] = record
        self.checkpoint.write()


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """The checkpoint of a single run, with what `path` holds if it exists."""
    path = as_path("checkpoint", path)
    on_first_host(lambda: _require_place(path))
    checkpoint = Checkpoint(path if jax.process_index() == 0 else None)
    content = content_on_all_hosts(path)
    if content is not None:
        checkpoint.read(content, str(path))
    return checkpoint


def _require_place(path: Path) -> None:
    """Refuse, before anything is simulated, a place where no checkpoint can be written."""
    obstacle = why_not_writable(path)
    require(
        obstacle is None,
        f"`checkpoint` must be a file that can be written, but `{path}` cannot: {obstacle}. "
        "Name another file.",
    )
    remove_drafts(path, ABANDONED)
