"""What became of a shard, and of all shards of a run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...data.photos.passed_over import PassedOver

LISTED_FAILURES = 5
KEY = b"revcd.shard"  # of a part's metadata


@dataclass
class Tally:
    """Counts over photos."""

    statuses: Counter[str] = field(default_factory=Counter)  # "ok", "failed", "rejected"
    reasons: Counter[str] = field(default_factory=Counter)  # of failed photos
    failures: list[tuple[str, str, str]] = field(default_factory=list)  # path, reason, detail of the first few
    formats: Counter[str] = field(default_factory=Counter)  # files in archives that are no photos, by suffix

    def add(self, path: str, status: str, reason: str, detail: str) -> None:
        """Count one photo."""
        self.statuses[status] += 1
        if status == "failed":
            self.reasons[reason] += 1
            if len(self.failures) < LISTED_FAILURES:
                self.failures.append((path, reason, detail))

    def add_all(self, other: Tally) -> None:
        """Count the photos of another tally."""
        self.statuses += other.statuses
        self.reasons += other.reasons
        self.formats += other.formats
        self.failures += other.failures[: LISTED_FAILURES - len(self.failures)]

    @property
    def photos(self) -> int:
        """Number of photos, failed ones included."""
        return self.statuses.total()

    @property
    def failed(self) -> int:
        """Number of photos that failed."""
        return self.statuses["failed"]

    def to_metadata(self) -> bytes:
        """Return the tally as JSON for the metadata of a part."""
        names = ("statuses", "reasons", "failures", "formats")
        return json.dumps({name: getattr(self, name) for name in names}, sort_keys=True).encode()

    @classmethod
    def from_metadata(cls, data: bytes) -> Tally:
        """Parse the JSON of `to_metadata`. Raises ValueError, KeyError or TypeError."""
        values: Mapping[str, Any] = json.loads(data)
        return cls(
            Counter(values["statuses"]),
            Counter(values["reasons"]),
            [(path, reason, detail) for path, reason, detail in values["failures"]],
            Counter(values["formats"]),
        )


@dataclass
class ShardSummary:
    """The result of a run over shards."""

    output: str
    shards: int  # of the whole output
    assigned: int  # of this run: all, or those of its part
    tally: Tally = field(default_factory=Tally)  # of the assigned shards that are finished
    reused: int = 0  # photos, among all these, of shards that earlier runs had finished
    lost: dict[int, str] = field(default_factory=dict)  # shards that have no part, with the reason
    seconds: float = 0.0
    passed: PassedOver = field(default_factory=PassedOver)
    is_listing: bool = False  # only the listing was written

    @property
    def rate(self) -> float:
        """Photos per second, without the reused ones."""
        return (self.tally.photos - self.reused) / max(self.seconds, 1e-9)

    @property
    def exit_code(self) -> int:
        """0 if every photo succeeded, 1 if none did, 3 if some did."""
        if self.is_listing or not self.assigned:
            return 0
        if not self.tally.failed and not self.lost and self.tally.photos:
            return 0
        return 3 if self.tally.photos > self.tally.failed else 1
