"""Read `att_splits.mat` of the xlsa17 benchmarks: class names, class descriptions and the split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputFileError, brief
from ...system.files import file_sha256
from ..classes.attributes import ClassAttributes, class_key, fill_missing
from ..formats.mat_file import load_mat, numbers_from_one, texts
from .registry import SPLITS_FILE
from .splits import PARTS, Split

# Files of the benchmarks' authors that list attribute names, one per line.
NAME_FILES = ("predicates.txt", "attributes.txt", "attribute_names.txt")

# The 85 predicates of Animals with Attributes (Lampert et al., CVPR 2009), in the order of att's rows.
_AWA = """
black white blue brown gray orange red yellow patches spots stripes furry hairless toughskin big small bulbous lean
flippers hands hooves pads paws longleg longneck tail chewteeth meatteeth buckteeth strainteeth horns claws tusks
smelly flys hops swims tunnels walks fast slow strong weak muscle bipedal quadrapedal active inactive nocturnal
hibernate agility fish meat plankton vegetation insects forager grazer hunter scavenger skimmer stalker newworld
oldworld arctic coastal desert bush plains forest fields jungle mountains ocean ground water tree cave fierce timid
smart group solitary nestspot domestic
"""
AWA_ATTRIBUTES = tuple(_AWA.split())


@dataclass(frozen=True)
class PublishedSplit:
    """The content of `att_splits.mat`. Rows are zero-based; `read_benchmark` checks that they exist."""

    path: Path
    classes: ClassAttributes
    split: Split
    train: np.ndarray | None  # train_loc as published, with test_seen rows
    val: np.ndarray | None  # val_loc as published, with test_seen rows
    notes: tuple[str, ...]

    @property
    def largest_row(self) -> int:
        """The largest zero-based row number of the split; -1 if it has no rows."""
        return max(int(rows.max(initial=-1)) for _, rows in self.split.parts())


def read_published_split(folder: Path) -> PublishedSplit:
    """Read `att_splits.mat`. Raises `InputFileError`.

    Class descriptions are `att` (length 1 per class), as usual in the literature. Values that `original_att` marks as
    missing (-1, in AwA) are replaced by the attribute's mean over the other classes.
    """
    path = folder / SPLITS_FILE
    parts = [f"{part}_loc" for part in PARTS]
    arrays = load_mat(path, ["att", *parts], ["original_att", "allclasses_names", "train_loc", "val_loc"])
    values, names, notes = _descriptions(path, arrays)
    attributes, named = _attribute_names(folder, names, values.shape[1])
    notes.append(named)
    values, filled = fill_missing(values, path, attributes)
    if filled:
        notes.append(
            f"{filled} of {values.size:,} values are missing in {path.name} (-1 in original_att); the attribute's mean "
            "over the other classes is used."
        )
    classes = ClassAttributes(names, attributes, values, str(path), file_sha256(path), filled)
    rows = {
        name: np.sort(numbers_from_one(path, name, arrays[name]))
        for name in (*parts, "train_loc", "val_loc")
        if name in arrays
    }
    trainval, test_seen, test_unseen = (rows[name] for name in parts)
    split = Split(trainval, test_seen, test_unseen)
    return PublishedSplit(path, classes, split, rows.get("train_loc"), rows.get("val_loc"), tuple(filter(None, notes)))


def _descriptions(path: Path, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Return values (C, A) float32 with NaN where missing, class names (C,), and notes."""
    att = arrays["att"]
    if att.ndim != 2 or att.dtype.kind not in "fiu":
        raise InputFileError(path, f"att is {att.dtype} {att.shape}; expected numbers (attributes, classes).")
    notes = []
    if "allclasses_names" in arrays:
        names = tuple(name.replace("+", " ") for name in texts(path, "allclasses_names", arrays["allclasses_names"]))
    else:
        names = tuple(f"class_{number:03d}" for number in range(1, att.shape[1] + 1))
        notes.append(f"{path.name} has no allclasses_names; classes are named by their number.")
    if att.shape[1] != len(names):
        turned = " It is transposed." if att.shape[0] == len(names) else ""
        raise InputFileError(
            path,
            f"att is {att.shape[0]} x {att.shape[1]}; expected one column for each of {len(names)} classes.{turned}",
        )
    if len({class_key(name) for name in names}) != len(names):
        raise InputFileError(path, "allclasses_names contains a class twice.")
    with np.errstate(over="ignore"):
        values = att.T.astype(np.float32)
    if not np.isfinite(values).all():
        raise InputFileError(path, f"att has {np.count_nonzero(~np.isfinite(values))} values that are not finite.")
    original = arrays.get("original_att")
    if original is None:
        return values, names, notes
    if original.shape != att.shape:
        raise InputFileError(path, f"original_att is {original.shape}, but att is {att.shape}.")
    notes.append("Class descriptions are att (length 1 per class), as is usual on the benchmarks, not original_att.")
    marks_missing = (original[original != -1] >= 0).all()  # otherwise -1 is a value
    if not marks_missing:
        return values, names, notes
    return np.where(original.T == -1, np.float32(np.nan), values), names, notes


def _attribute_names(folder: Path, classes: Sequence[str], count: int) -> tuple[tuple[str, ...], str]:
    """Return the attribute names, which the .mat lacks, and a note if they are numbered."""
    for name in NAME_FILES:
        if (folder / name).is_file():
            return _read_names(folder / name, count), ""
    if count == len(AWA_ATTRIBUTES) and {"grizzly bear", "persian cat"} <= {class_key(name) for name in classes}:
        return AWA_ATTRIBUTES, ""
    names = tuple(f"attribute_{number:03d}" for number in range(1, count + 1))
    return names, (
        f"{SPLITS_FILE} does not name its attributes, so they are named {names[0]} to {names[-1]}; put the dataset's "
        f"attributes.txt into {folder} to use its names."
    )


def _read_names(path: Path, count: int) -> tuple[str, ...]:
    """Read lines such as `1 has_bill_shape::curved` or `black`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(path, f"cannot be read ({brief(error)}).") from error
    names: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = re.sub(r"^\s*[0-9]+\s+", "", line).strip()
        if name and names.setdefault(name, number) != number:
            raise InputFileError(path, f'"{name}" is on line {names[name]} and on line {number}.', line=number)
    if len(names) != count:
        raise InputFileError(path, f"names {len(names)} attributes; {SPLITS_FILE} has {count}.")
    return tuple(names)
