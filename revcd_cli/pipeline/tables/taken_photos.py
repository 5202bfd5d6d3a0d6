"""Warn of a new class that resembles a seen class so much that it would take many of its photos. No torch import."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...checkpoint.calibration import Calibration
from ...checkpoint.metadata import find_checkpoint, read_metadata
from ...checkpoint.model_file import read_class_table
from ...config import Config
from ...data.classes.attributes import ClassAttributes, class_key, class_positions
from ...data.findings import WARNING, Finding
from ...errors import CheckpointError, brief, listed
from ...scoring.prototypes.photo_shares import ARRAYS, WHITENING, PhotoModel
from .advice import taken_advice, visible_differences

BOUND = 0.3  # share of a seen class's photos from which a new class is warned of
KIND = "photos taken"  # of the findings
_LISTED = 5  # findings with a sentence each; the rest share one
_PREFIX = "model.prototypes."


class Taken(NamedTuple):
    """A new class, a seen class, and the share of the latter's photos that the new class would take."""

    new: str
    seen: str
    share: float

    @property
    def text(self) -> str:
        """The share in a sentence, to the nearest 5 of 100."""
        return f"{self.new}: about {5 * round(20 * self.share)} of 100 photos of {self.seen} would be named {self.new}."


@dataclass(frozen=True, eq=False)
class SeenPhotos:
    """What a model knows of the photos of its seen classes, and its seen penalty.

    trained: classes of the training in its order. seen, known: keys of those with photos and of the known ones without.
    names, attributes, values: the model's table; reliability: of each attribute in photos, None if not measured.
    """

    model: PhotoModel
    calibration: Calibration
    trained: tuple[str, ...]
    seen: frozenset[str]
    known: frozenset[str]
    names: tuple[str, ...]
    attributes: tuple[str, ...]
    values: np.ndarray
    reliability: tuple[float | None, ...]

    def taken(self, names: Sequence[str], values: np.ndarray, given: Iterable[str] = ()) -> list[Taken]:
        """Return for each new class the seen class that it would take most photos of, the largest share first.

        names, values: all candidates, with the model's attributes in its order, (K, A). Each new class is added alone
        to the seen ones, with the seen penalty for this number of candidates. given: classes with given photos, which
        are left out, as known classes are.
        """
        keys, own = [class_key(name) for name in names], class_positions(names, self.trained)
        is_seen = np.array([key in self.seen for key in keys]) & (own >= 0)
        is_seen &= np.where(own >= 0, self.model.counts[own] > 0, False)
        skipped = self.seen | self.known | {class_key(name) for name in given}
        new, seen = np.flatnonzero([key not in skipped for key in keys]), np.flatnonzero(is_seen)
        if not len(new) or not len(seen):
            return []
        penalty = self.calibration.penalty(sum(key not in self.seen for key in keys))
        order, shares = self.model.taken(values[new], values[seen], own[seen], penalty)
        most = shares.argmax(1)
        found = [
            Taken(names[row], names[seen[order[k, place]]], float(shares[k, place]))
            for k, (row, place) in enumerate(zip(new.tolist(), most.tolist(), strict=True))
        ]
        return sorted(found, key=lambda each: -each.share)

    def unchanged(self, names: Sequence[str], values: np.ndarray) -> list[str]:
        """Return those of the names that the model's own table has, with the same values (K, A)."""
        own, spread = class_positions(names, self.names), self.values.std(axis=0)
        differ = np.abs(values.astype(np.float64) - self.values[own]) > 1e-3 * spread
        return [
            name for name, row, differs in zip(names, own, differ.any(axis=1), strict=True) if row >= 0 and not differs
        ]

    def findings(
        self, names: Sequence[str], values: np.ndarray, given: Iterable[str] = (), about: str | None = None
    ) -> list[Finding]:
        """Return a warning for each new class that takes the share `BOUND` of a class's photos or more, see `taken`.

        about: only this new class.
        """
        found = self.taken(names, values, given)
        many = [each for each in found if each.share >= BOUND and about in (None, each.new)]
        findings = [
            Finding(WARNING, KIND, each.text, self._advice(each, names, values), (each.new, each.seen))
            for each in many[:_LISTED]
        ]
        if rest := many[_LISTED:]:
            text = (
                f"{len(rest):,} more new classes would take {100 * BOUND:.0f} of 100 photos or more of a seen class: "
            )
            pairs = [f"{each.new} of {each.seen}" for each in rest]
            findings.append(Finding(WARNING, KIND, f"{text}{listed(pairs, _LISTED)}.", items=tuple(pairs)))
        return findings

    def _advice(self, each: Taken, names: Sequence[str], values: np.ndarray) -> str:
        spread = self.values.std(axis=0)
        one, other = (values[list(names).index(name)].astype(np.float64) for name in (each.new, each.seen))
        apart = np.abs(one - other) / np.where(spread > 0, spread, 1.0)
        return taken_advice(each.new, each.seen, visible_differences(self.attributes, apart, self.reliability))


def taken_findings(photos: SeenPhotos | None, table: ClassAttributes, given: Iterable[str] = ()) -> list[Finding]:
    """Return the findings about a table in the order of the model's attributes; none without `photos`."""
    return [] if photos is None else photos.findings(table.names, table.values, given)


def read_seen_photos(name_or_path: str | Path) -> SeenPhotos | None:
    """Read what a model knows of photos; None for a model without visual prototypes, or of a format before 6.

    The penalty is that of the model's own rule. Raises `CheckpointError`.
    """
    from safetensors import SafetensorError, safe_open

    path = find_checkpoint(name_or_path)
    document, table = read_metadata(path), read_class_table(path)
    try:
        with safe_open(path, framework="numpy") as opened:
            names = opened.keys()
            stored = {name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)}
            if not stored.issuperset(ARRAYS):
                return None
            arrays = {name: opened.get_tensor(_PREFIX + name) for name in stored.intersection((*ARRAYS, WHITENING))}
            unit = float(opened.get_tensor("model.prototype_unit"))
        config = Config.from_dict(document["config"])
        seen, known = set(document["classes"]["seen"]), set(document["classes"].get("known", ()))
        measured: dict[str, Any] = document["metrics"].get("attributes") or {}
        calibration = Calibration.from_json(document["calibrations"].get(config.inference.rule, {}))
    except (KeyError, TypeError, ValueError, AttributeError, SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: its metadata is incomplete or wrong ({brief(error)}).") from error
    trained = tuple(name for name in table.names if name in seen | known)
    if arrays["support"].shape != (len(trained), len(table.attributes)):
        raise CheckpointError(f"{path}: its visual prototypes do not fit its classes and attributes.")
    return SeenPhotos(
        model=PhotoModel.of(arrays, config.prototypes, unit),
        calibration=calibration,
        trained=trained,
        seen=frozenset(map(class_key, seen)),
        known=frozenset(map(class_key, known)),
        names=tuple(table.names),
        attributes=table.attributes,
        values=table.values.astype(np.float64),
        reliability=tuple(measured.get(name) for name in table.attributes),
    )
