"""Features of photos as the rest of revcd sees them, and the checks that every feature file passes at the door."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import __version__
from ...config import BackboneRecord
from ...errors import ConfigError, InputFileError, listed

FORMAT = 1  # of feature files; raised when a reader of the old form would misunderstand the new one
OK, FAILED = "ok", "failed"

# What a feature file may grow by when it is read. Feature vectors hardly compress, so more is damage or an attack.
_MAX_EXPANSION = 64
_NAMED = 3  # paths that a message lists


@dataclass(frozen=True)
class FeatureSet:
    """One feature vector per photo, in the order of the input; a photo that failed keeps its row, filled with NaN."""

    paths: tuple[str, ...]  # (N)
    features: np.ndarray  # (N, D) float32
    status: tuple[str, ...]  # (N) "ok" or "failed"
    reason: tuple[str, ...]  # (N) code of the failure, "" where ok
    sha256: tuple[str, ...]  # (N) of the photo's bytes, "" where unknown
    backbone: BackboneRecord

    def __post_init__(self) -> None:
        rows = (len(self.paths), self.backbone.feature_dim)
        if self.features.shape != rows or self.features.dtype != np.float32:
            raise ValueError(f"features are {self.features.dtype} {self.features.shape}, expected float32 {rows}")
        for name in ("status", "reason", "sha256"):
            if len(getattr(self, name)) != rows[0]:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries for {rows[0]} photos")

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def ok(self) -> np.ndarray:
        """(N,) bool: which rows hold a feature."""
        return np.array([status == OK for status in self.status], dtype=bool)


def header(backbone: BackboneRecord) -> str:
    """Return the JSON that travels with features: the format, the version of revcd and the backbone's record."""
    return json.dumps({"format": FORMAT, "revcd": __version__, "backbone": backbone.to_dict()}, sort_keys=True)


def parse_header(path: Path, text: str) -> BackboneRecord:
    """Read what `header` wrote. Raises `InputFileError` if it is damaged or of a newer format."""
    try:
        values = json.loads(text)
        form = values["format"]
        if type(form) is not int or form < 1:
            raise TypeError
        if form > FORMAT:
            raise InputFileError(
                path,
                f"has feature format {form}, newer than the {FORMAT} that revcd {__version__} reads.",
                hint="Update revcd, or extract the features again.",
            )
        record = BackboneRecord(**values["backbone"])
        if set(map(type, (record.tag, record.weights_sha256, record.precision))) != {str}:
            raise TypeError
        if type(record.preprocessing) is not dict or {type(record.feature_dim), type(record.tokens)} != {int}:
            raise TypeError
        return record
    except (ValueError, TypeError, KeyError, RecursionError, ConfigError) as error:
        raise InputFileError(path, "its description of the backbone is damaged.", hint=EXTRACT_AGAIN) from error


EXTRACT_AGAIN = "Extract the features again: revcd extract IMAGES... -o FILE"


def check_expansion(path: Path, claimed: int, stored: int) -> None:
    """Refuse, before memory is taken, a file that claims far more bytes of features than it stores."""
    if claimed > _MAX_EXPANSION * max(stored, 1):
        raise InputFileError(
            path, f"claims {claimed:,} bytes of features but stores {stored:,}; it is damaged or not a feature file."
        )


def check_rows(path: Path, features: FeatureSet, *, unique: bool = True) -> FeatureSet:
    """Return the features if every row makes sense, or raise `InputFileError` naming the first that do not."""
    wrong = [status for status in features.status if status not in (OK, FAILED)]
    if wrong:
        raise InputFileError(path, f'status is "ok" or "failed" for each photo; found "{wrong[0]}".')
    bad = np.flatnonzero(features.ok & ~np.isfinite(features.features).all(axis=1))
    if len(bad):
        names = listed([features.paths[row] or f"row {row + 1}" for row in bad[:_NAMED]], _NAMED, total=len(bad))
        raise InputFileError(path, f"{len(bad):,} features are not finite (NaN or infinite): {names}.")
    if unique and len(set(features.paths)) != len(features):
        seen: set[str] = set()
        repeated = [name for name in features.paths if name in seen or seen.add(name)]
        raise InputFileError(path, f"{len(repeated):,} photos are listed more than once: {listed(repeated, _NAMED)}.")
    return features
