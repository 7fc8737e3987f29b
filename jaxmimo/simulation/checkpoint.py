"""Tallies on disk: what a killed run goes on from, and a finished one is extended from.

A checkpoint is an HDF5 file, or a group in a NetCDF result, with a group per part of a study:
numbers and text, nothing that is executed when it is read.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np
from jax.experimental.multihost_utils import broadcast_one_to_all

from jaxmimo.core.checks import require
from jaxmimo.core.files import atomic_path
from jaxmimo.simulation.model import Model
from jaxmimo.simulation.results import versions
from jaxmimo.simulation.tally import Tally

FORMAT = 1
GROUP = "tallies"


@dataclass(frozen=True)
class Record:
    """The tally of one part, as it is on disk."""

    realizations: int
    fingerprint: str
    leaves: tuple[np.ndarray, ...]


def _record(part: Any) -> Record:
    return Record(
        realizations=int(part.attrs["realizations"]),
        fingerprint=str(part.attrs["fingerprint"]),
        leaves=tuple(part[str(i)][()] for i in range(len(part))),
    )


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
            with atomic_path(self.path) as draft, h5py.File(draft, "w") as file:
                self.write_to(file)

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
            ValueError: If it is no checkpoint, or one of another run.
        """
        remedy = "Delete it, name another place, or repeat what it was made with."
        try:
            with h5py.File(io.BytesIO(content), "r") as file:
                group: Any = file[GROUP]
                theirs = json.loads(group.attrs["about"])
                records = {name: _record(part) for name, part in group.items()}
                readable = bool(group.attrs["format"] == FORMAT)
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"`{source}` holds no tallies to go on from. {remedy}") from error
        require(readable, f"`{source}` has another format than this version's. {remedy}")
        ours = json.loads(json.dumps(self._identity()))
        for name in sorted({*ours, *theirs}):
            require(
                ours.get(name) == theirs.get(name),
                f"`{source}` belongs to another run: it has `{name}` = {theirs.get(name)}, this "
                f"one has {ours.get(name)}. {remedy}",
            )
        self.records, self.source = records, source

    def _identity(self) -> dict[str, Any]:
        return {**self.about, **{f"version of {k}": v for k, v in versions().items()}}


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
            record.fingerprint == model.fingerprint,
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


def open_checkpoint(path: str | Path) -> Checkpoint:
    """The checkpoint of a single run, with what `path` holds if it exists."""
    path = Path(path)
    checkpoint = Checkpoint(path if jax.process_index() == 0 else None)
    content = content_on_all_hosts(path)
    if content is not None:
        checkpoint.read(content, str(path))
    return checkpoint


def content_on_all_hosts(path: Path) -> bytes | None:
    """Content of a file that the first process sees, on all hosts; None if there is none."""
    is_first = jax.process_index() == 0
    content = path.read_bytes() if is_first and path.is_file() else None
    if jax.process_count() == 1:
        return content
    size = int(broadcast_one_to_all(np.int32(-1 if content is None else len(content))))
    if size < 0:
        return None
    buffer = np.frombuffer(content or bytes(size), np.uint8)
    return np.asarray(broadcast_one_to_all(buffer)).tobytes()
