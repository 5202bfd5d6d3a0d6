"""Image features in memory with their backbone, and the checks that apply to every format of feature file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...config import BackboneRecord
from ...errors import ConfigError, InputFileError, listed
from ...version import __version__

FORMAT = 1  # version of feature files; increased for incompatible changes
OK, FAILED = "ok", "failed"

_MAX_EXPANSION = 64  # of a file when read; feature vectors hardly compress, so more is damage or an attack
_NAMED = 3  # paths that a message lists


@dataclass(frozen=True)
class FeatureSet:
    """One feature vector per photo, in the order of the input; the row of a photo that failed is NaN."""

    paths: tuple[str, ...]  # (N)
    features: np.ndarray  # (N, D) float32
    status: tuple[str, ...]  # (N) "ok" or "failed"
    reason: tuple[str, ...]  # (N) code of the failure, "" if ok
    sha256: tuple[str, ...]  # (N) of the photo's bytes, "" if unknown
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
        """(N,) bool: rows with a feature."""
        return np.array([status == OK for status in self.status], dtype=bool)


def header(backbone: BackboneRecord) -> str:
    """Return the JSON stored with features: the format, the version of revcd and the backbone's record."""
    return json.dumps({"format": FORMAT, "revcd": __version__, "backbone": backbone.to_dict()}, sort_keys=True)


def parse_header(path: Path | str, text: str) -> BackboneRecord:
    """Parse the JSON of `header`. Raises `InputFileError` if it is invalid or of a newer format."""
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
        raise InputFileError(path, "its description of the backbone is invalid.", hint=EXTRACT_AGAIN) from error


EXTRACT_AGAIN = "Extract the features again: revcd extract IMAGES... -o FILE"


def check_expansion(path: Path | str, claimed: int, stored: int) -> None:
    """Raise `InputFileError`, before memory is allocated, if a file declares far more bytes than it stores."""
    if claimed > _MAX_EXPANSION * max(stored, 1):
        raise InputFileError(
            path, f"claims {claimed:,} bytes of features but stores {stored:,}; it is damaged or not a feature file."
        )


def check_rows(path: Path | str, features: FeatureSet, *, unique: bool = True) -> FeatureSet:
    """Return the features if all rows are valid, or raise `InputFileError` with the first invalid ones."""
    wrong = [status for status in features.status if status not in (OK, FAILED)]
    if wrong:
        raise InputFileError(path, f'status is "ok" or "failed" for each photo; found "{wrong[0]}".')
    bad = np.flatnonzero(features.ok & ~np.isfinite(features.features).all(axis=1))
    if len(bad):
        names = listed([features.paths[row] or f"row {row + 1}" for row in bad[:_NAMED]], _NAMED, total=len(bad))
        raise InputFileError(path, f"{len(bad):,} features are not finite (NaN or infinite): {names}.")
    if unique and len(set(features.paths)) != len(features):
        seen: set[str] = set()
        repeated = []
        for name in features.paths:
            if name in seen:
                repeated.append(name)
            seen.add(name)
        raise InputFileError(path, f"{len(repeated):,} photos are listed more than once: {listed(repeated, _NAMED)}.")
    return features
