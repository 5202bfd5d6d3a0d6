"""Read a split from the names of folders, such as train/zebra/1.jpg, val/zebra/2.jpg and test/okapi/1.jpg."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ...errors import InputFileError, listed
from ..classes.attributes import class_key
from ..findings import WARNING, Finding
from .splits import PARTS, Split

_WORDS = {
    "train": ("train", "training", "trn", "learn", "trainval", "train val"),
    "val": ("val", "valid", "validation", "dev", "devel", "validate"),
    "test": ("test", "testing", "tst", "eval", "evaluation", "holdout", "held out", "test seen", "test unseen"),
}
_SUFFIX = re.compile(r" (?:set|data|images?|photos?|pictures?|split|part)$")
_STATED = {word: part for part, words in _WORDS.items() for word in words}
TWO_WAYS = (
    "Put every photo below a folder train, val or test, or list the photos in images.csv with the columns path, class "
    "and split (trainval, test_seen, test_unseen)."
)


def stated_part(path: str, rows: Mapping[str, int]) -> str | None:
    """Return "train", "val" or "test" if one of the folders of a photo states it, None if none or several differ.

    rows: class number by `class_key`; a folder with the name of a class states nothing.
    """
    keys = (class_key(folder.replace("-", " ")) for folder in PurePosixPath(path).parts[:-1])
    stated = {_STATED.get(_SUFFIX.sub("", key)) for key in keys if key not in rows} - {None}
    return stated.pop() if len(stated) == 1 else None


def read_split_folders(
    root: Path, paths: Sequence[str], labels: np.ndarray, rows: Mapping[str, int]
) -> tuple[Split, str] | None:
    """Return the split that the folders state, and a note, or None if they state none.

    Photos of `val` are used for training, of which validation holds out a part. Test photos of classes that have no
    training photos are those of unseen classes. Raises `InputFileError` if the folders of some photos state a part and
    those of others none.
    """
    stated = [stated_part(path, rows) for path in paths]
    if not any(stated):
        return None
    without = [path for path, part in zip(paths, stated, strict=True) if part is None]
    if without:
        names = sorted({part for part in stated if part})
        raise InputFileError(
            root,
            f"folders of {len(paths) - len(without):,} photos state a split ({', '.join(names)}), those of "
            f"{len(without):,} do not: {listed(without, 3)}.",
            hint=TWO_WAYS,
        )
    parts = np.array(stated)
    trainval, test = np.flatnonzero(parts != "test"), np.flatnonzero(parts == "test")
    if not len(trainval):
        raise InputFileError(
            root, "its folders state test photos only, so there is nothing to train on.", hint=TWO_WAYS
        )
    is_seen = np.isin(labels[test], np.unique(labels[trainval]))
    split = Split(trainval, test[is_seen], test[~is_seen])
    validation = int((parts == "val").sum())
    of_val = f" ({validation:,} of them from the folder for validation)" if validation else ""
    note = (
        f"The split is that of the folders in {root}: {len(trainval):,} photos train{of_val}, {int(is_seen.sum()):,} "
        f"test seen and {int((~is_seen).sum()):,} test unseen classes."
    )
    return split, note


def contradictions(paths: Sequence[str], split: Split, rows: Mapping[str, int]) -> list[Finding]:
    """Return a warning if photos in folders for testing are in trainval of the list, or the reverse."""
    wrong = [
        paths[row]
        for part, members in split.parts()
        for row in members.tolist()
        if (stated := stated_part(paths[row], rows)) is not None and (stated == "test") != (part != PARTS[0])
    ]
    if not wrong:
        return []
    text = (
        f"{len(wrong):,} photos have another part in images.csv than the folder in which they are states: "
        f"{listed(wrong, 3)}."
    )
    hint = "If the folders are right, remove images.csv: the split is then read from the folders."
    return [Finding(WARNING, "split folders", text, hint, tuple(wrong))]
