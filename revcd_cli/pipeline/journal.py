"""The journal of a run over photos: the finished shards of an interrupted run, from which the next run resumes.

Next to the output F is the folder `F.partial/`:

- `manifest.json`: the settings that determine the result.
- `shard-000000.*`, ...: the results for the photos 0-255 of the listing, 256-511 and so on. A shard is written
  atomically, so a shard that exists is finished, and no index is needed.

A shard holds the path, the signature (size, times and inode) and the outcome of each of its photos. It is reused if it
has the digest of the settings, if the listing has the same paths and signatures at its place, and if its failed photos
fail again for the same reason. Otherwise the whole shard is computed again. Interruptions therefore change neither the
batches of photos nor any bit of the results. The folder is removed when the output is complete; other files in it are
never removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from ..data.photos.image_source import ImageSource
from ..data.photos.images import ImageFailure, decode_rgb
from ..errors import InputFileError, RevcdError, UsageError
from ..system import files
from ..system.device import choose_device
from .fingerprint import differences

SHARD_ROWS = 256  # at most this many photos are computed twice after a kill


def partial_folder(output: Path) -> Path:
    """Return the folder of the journal of an output."""
    return output.with_name(f"{output.name}.partial")


def unfinished_settings(output: Path) -> dict[str, Any]:
    """Return the settings of the interrupted run of an output, {} if there is none or they cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        settings = json.loads((partial_folder(output) / "manifest.json").read_bytes())
        if isinstance(settings, dict):
            return settings
    return {}


def kept_precision(earlier: dict[str, Any], precision: str, device: str) -> str:
    """Return the precision; for "auto" that of the interrupted run with these settings, if it was on such a device."""
    if precision == "auto" and earlier.get("device") == choose_device(device).value.type:
        record = earlier.get("backbone")
        return (isinstance(record, dict) and record.get("precision")) or "auto"
    return precision


class Shard(ABC):
    """The results of consecutive photos of the listing."""

    signatures: tuple[str, ...]

    @property
    @abstractmethod
    def paths(self) -> tuple[str, ...]:
        """The paths of its photos."""

    @abstractmethod
    def failure(self, row: int) -> str | None:
        """Return the reason of a photo that failed; None for another."""

    @abstractmethod
    def failures(self) -> list[tuple[str, str, str]]:
        """Return path, reason and detail of each photo that failed."""

    def holds(self, row: int, source: ImageSource) -> bool:
        """Return whether the row is still valid for the photo; a photo that failed is read again."""
        if row >= len(self.signatures) or (self.paths[row], self.signatures[row]) != (source.path, source.signature):
            return False
        reason = self.failure(row)
        return reason is None or _fails_as(reason, source)


def _fails_as(reason: str, source: ImageSource) -> bool:
    data = source.read()
    outcome = data if isinstance(data, ImageFailure) else decode_rgb(data)
    return isinstance(outcome, ImageFailure) and outcome.reason == reason


@dataclass(frozen=True)
class Finished:
    """A shard of an earlier run that is reused."""

    rows: int
    failed: int
    listed: int  # hash of the paths and signatures of its photos


Loaded = TypeVar("Loaded", bound=Shard)
Item = TypeVar("Item")


class Journal(ABC, Generic[Loaded, Item]):
    """The shards of one output. `Loaded` is a shard that was read, `Item` the result of one photo."""

    suffix: str  # of the files of shards

    def __init__(self, output: Path, settings: dict[str, Any], shard_rows: int) -> None:
        self.folder = partial_folder(output)
        self.settings = json.loads(json.dumps(settings))  # as read back, where tuples have become lists
        self.digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        self.shard_rows = shard_rows
        self.finished: dict[int, Finished] = {}  # of earlier runs

    @abstractmethod
    def load(self, number: int) -> Loaded:
        """Read a shard. Raises `InputFileError` if it is missing, corrupt or of other settings."""

    @abstractmethod
    def _write_items(self, stream: BinaryIO, items: Sequence[Item]) -> None:
        """Write the results of the photos of a shard."""

    @property
    def is_empty(self) -> bool:
        return not any(self.folder.glob(f"shard-*{self.suffix}"))

    @property
    def reused(self) -> int:
        """The number of photos that an interrupted run had finished."""
        return sum(shard.rows for shard in self.finished.values())

    @property
    def reused_failures(self) -> int:
        """The number of photos among them that failed."""
        return sum(shard.failed for shard in self.finished.values())

    def changes(self) -> list[str]:
        """Return one phrase for each setting that is another than that of the interrupted run; [] without one.

        Raises `UsageError` if the manifest cannot be read.
        """
        earlier = self._manifest()
        return [] if earlier is None or earlier == self.settings else differences(earlier, self.settings)

    def open(self, *, fresh: bool) -> None:
        """Start or resume. Raises `UsageError` if the shards have other settings; `fresh` removes them first."""
        if fresh:
            self.remove()
        changed = "\n".join(f"  {difference}" for difference in self.changes())
        if changed:
            raise UsageError(
                f"{self.folder}: holds an unfinished run with other settings:\n{changed}",
                hint="Repeat the earlier settings to resume, add --fresh to start over, or choose another output.",
            )
        for leftover in self.folder.glob(".revcd-*.tmp"):  # of a killed run: this run holds the lock
            leftover.unlink(missing_ok=True)

    def survey(self, sources: Iterable[ImageSource]) -> None:
        """Read the listing and record which shards can be reused."""
        sources = iter(sources)
        for number in count():
            shard = self._current(number)
            listed, holds = [], True
            for row, source in enumerate(islice(sources, self.shard_rows)):
                listed.append((source.path, source.signature))
                holds = holds and shard is not None and shard.holds(row, source)
            if not listed:
                return
            if shard is not None and holds and len(listed) == len(shard.signatures):
                self.finished[number] = Finished(len(listed), len(shard.failures()), hash(tuple(listed)))

    def unfinished(self, sources: Iterable[ImageSource], numbers: deque[int]) -> Iterator[ImageSource]:
        """Yield the sources of the shards to compute; append the number of each shard to `numbers` before its first."""
        sources = iter(sources)
        for number in count():
            group = islice(sources, self.shard_rows)
            if number in self.finished:
                if hash(tuple((source.path, source.signature) for source in group)) != self.finished[number].listed:
                    raise RevcdError("The photos changed while they were listed.", hint="Run the command again.")
                continue
            first = next(group, None)
            if first is None:
                return
            numbers.append(number)
            yield first
            yield from group

    def begin(self) -> None:
        """Write the manifest, unless it is there."""
        if not (self.folder / "manifest.json").exists():
            manifest = json.dumps(self.settings, indent=1, sort_keys=True)
            files.write_bytes(self.folder / "manifest.json", manifest.encode())

    def write(self, number: int, items: Sequence[Item]) -> None:
        """Write one shard; the first also writes the manifest."""
        self.begin()
        with files.atomic_write(self.path(number)) as stream:
            self._write_items(stream, items)

    def _current(self, number: int) -> Loaded | None:
        with contextlib.suppress(InputFileError):
            return self.load(number)
        return None

    def remove(self) -> None:
        """Remove the files of the journal, and the folder unless it holds other files."""
        for pattern in (f"shard-*{self.suffix}", ".revcd-*.tmp", "manifest.json"):  # the manifest last: shards need it
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _manifest(self) -> dict[str, Any] | None:
        path = self.folder / "manifest.json"
        try:
            settings = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValueError, OSError, RecursionError):
            settings = None
        if not isinstance(settings, dict):
            raise UsageError(f"{path}: cannot be read.", hint="Add --fresh to start over, or choose another output.")
        return settings

    def path(self, number: int) -> Path:
        """Return the file of a shard."""
        return self.folder / f"shard-{number:06d}{self.suffix}"
