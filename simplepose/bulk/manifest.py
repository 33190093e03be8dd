"""The output folder of bulk prediction: its manifest, its parts, and what is left to do.

A shard is done if its part exists. A part is written under a temporary name and renamed when it is complete, and it
contains its own numbers, so there is no moment at which a killed process leaves a shard half done, or done and not
recorded. The manifest holds the settings, which all parts of a folder share, and the sums of the parts' numbers.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simplepose.bulk.shards import PART, Shard
from simplepose.checks import brief
from simplepose.inference.config import PredictorConfig
from simplepose.io.atomic import write_json
from simplepose.io.json_text import parse_json, to_json
from simplepose.io.outputs import MARK_KEY
from simplepose.io.parquet import Counts, read_counts, read_notes

MANIFEST = "manifest.json"
FORMAT = "simplepose.bulk"
FORMAT_VERSION = 1

TEMPORARY = re.compile(r"\.(.+-[0-9a-f]{12}\.parquet|manifest\.json)\.[0-9a-f]{8}\.tmp")
"""The names under which `atomic_write` writes parts and the manifest; a killed process leaves such files."""


def settings_of(checkpoint: Path, config: PredictorConfig, shard_images: int, version: str) -> dict[str, Any]:
    """The settings that determine the rows, as JSON values; the parts of a folder have equal ones.

    Args:
        checkpoint: the file of the weights; its content is hashed.
        config: of the predictor, with its size.
        shard_images: the number of images of a shard of image files.
        version: of the package.
    """
    with checkpoint.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256") if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read())
    values = {k: v for k, v in asdict(config).items() if k != "batch_size"}
    settings = {"checkpoint_sha256": digest.hexdigest(), **values, "shard_images": shard_images, "version": version}
    plain: dict[str, Any] = parse_json(to_json(settings), "settings")
    return plain


class OutputFolder:
    """The folder of --out.

    Args:
        path: the folder, which exists.
        settings: of this run (`settings_of`).
        shards: all shards of the inputs.
        facts: further values for the manifest, such as the name of the checkpoint.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], shards: Sequence[Shard], facts: Mapping[str, Any]
    ) -> None:
        self.path = path
        self.shards = shards
        self._settings = settings
        self._facts = facts

    def check(self) -> None:
        """Compare an existing manifest and existing parts with this run.

        Raises:
            ValueError: the settings differ, or a part is of none of the shards; the message names them.
        """
        path, known = self.path / MANIFEST, {shard.part for shard in self.shards}
        if not path.exists():
            if made := known.intersection(self._parts()):
                raise ValueError(f"--out: {self.path / min(made)} exists, but {path} does not; {_ADVICE}")
            return
        stored = self._read().get("settings")
        before, now = _flat(stored if isinstance(stored, dict) else {}), _flat(self._settings)
        differing = [
            f"{name}: {brief(before.get(name))} in the manifest, now {brief(now.get(name))}"
            for name in {**before, **now}
            if before.get(name) != now.get(name)
        ]
        if differing:
            raise ValueError(f"--out: {path} was made with other settings: {'; '.join(differing)}; {_ADVICE}")
        if unknown := [name for name in self._parts() if name not in known]:
            shard = read_notes(self.path / unknown[0]).get("shard")
            others = f" and {len(unknown) - 1} more" * (len(unknown) > 1)
            raise ValueError(
                f"inputs: they do not contain {shard} in the same order and number of images, of which "
                f"{self.path / unknown[0]}{others} holds the people; {_ADVICE}"
            )

    def clear(self) -> None:
        """Remove the parts that belong to the manifest of bulk prediction, or to this run, and then the manifest.

        Raises:
            ValueError: the manifest is another program's.
        """
        path, known = self.path / MANIFEST, {shard.part for shard in self.shards}
        all_parts = path.exists() and bool(self._read())
        for name in self._parts():
            if all_parts or name in known:
                (self.path / name).unlink()
        path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        """The manifest."""
        path = self.path / MANIFEST
        manifest = parse_json(path.read_bytes(), path)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ValueError(f"--out: {path} is not a manifest of bulk prediction; choose another folder")
        return manifest

    def begin(self, retry_failed: bool) -> list[Shard]:
        """Write the manifest and return the shards that are not done.

        Args:
            retry_failed: whether shards with images that could not be read are processed again.
        """
        for name in os.listdir(self.path):
            if TEMPORARY.fullmatch(name):
                (self.path / name).unlink(missing_ok=True)
        done = self._done()
        if retry_failed:
            for name in [name for name in done if read_counts(self.path / name).failed]:
                (self.path / name).unlink()
                done.remove(name)
        left = [shard for shard in self.shards if shard.part not in done]
        self._write(Counts(), len(done), complete=False)
        return left

    def finish(self) -> tuple[Counts, int]:
        """Sum up the parts in the manifest. Returns the numbers and the number of shards that are not done."""
        done = self._done()
        counts = sum((read_counts(self.path / name) for name in done), Counts())
        left = len(self.shards) - len(done)
        self._write(counts, len(done), complete=not left)
        return counts, left

    def _write(self, counts: Counts, done: int, *, complete: bool) -> None:
        head = {MARK_KEY: self._facts[MARK_KEY], "format": FORMAT, "format_version": FORMAT_VERSION}
        state = {"complete": complete, "shards": len(self.shards), "done": done, "counts": asdict(counts)}
        write_json(self.path / MANIFEST, {**head, **state, "settings": self._settings, **self._facts})

    def _done(self) -> set[str]:
        """The parts of this run's shards that exist."""
        return {shard.part for shard in self.shards}.intersection(self._parts())

    def _parts(self) -> list[str]:
        return sorted(name for name in os.listdir(self.path) if PART.fullmatch(name))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of the folder; the system ends a lock with its process.

        Raises:
            ValueError: another run uses the folder.
        """
        if os.name != "posix":
            yield
            return
        import fcntl

        folder = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    raise ValueError(f"--out: another run is writing into {self.path}") from None
                # otherwise a file system without locks
            yield
        finally:
            os.close(folder)


_ADVICE = "choose another folder, or begin anew with --overwrite"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by names such as ``decode.peak_threshold``."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
