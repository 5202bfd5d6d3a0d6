"""Label sets of classifiers: WordNet ids, names and definitions of ImageNet's labels.

The files are timm's; they are read without importing timm or torch (`timm.data.ImageNetInfo` needs both).
"""

from __future__ import annotations

import functools
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError, WeightsError, did_you_mean, listed

# The label set of a classifier by its number of labels, and timm's file of its WordNet ids, as in timm.data.
LABEL_SETS = {
    1000: ("imagenet-1k", "imagenet_synsets.txt"),
    11221: ("imagenet-21k-miil", "imagenet21k_miil_synsets.txt"),
    11821: ("imagenet-12k", "imagenet12k_synsets.txt"),
    21841: ("imagenet-22k", "imagenet22k_synsets.txt"),
    21842: ("imagenet-22k-ms", "imagenet22k_ms_synsets.txt"),
    21843: ("imagenet-21k-goog", "imagenet21k_goog_synsets.txt"),
}
IMAGENET = 1000  # labels of the usual label set, which the embedded backbone has
# Kinds of things by the first number above their WordNet ids. WordNet 3.0 numbers its nouns kind by kind.
_KINDS = (
    (1_310_000, "other"),
    (2_666_000, "animal"),
    (4_616_000, "artifact"),
    (7_550_000, "other"),
    (8_000_000, "food"),
    (9_600_000, "other"),
    (10_800_000, "person"),
    (11_500_000, "other"),
    (13_200_000, "plant"),
)
_LISTED = 5  # labels that a message lists


@dataclass(frozen=True, eq=False)
class LabelSet:
    """The L labels of a classifier, numbered from 0. All fields but `name` and `count` are empty if it is not known."""

    name: str
    count: int
    ids: tuple[str, ...] = ()  # (L,) WordNet ids such as "n02391049"
    names: tuple[tuple[str, ...], ...] = ()  # (L,) all names of each label
    definitions: tuple[str, ...] = ()  # (L,)

    @functools.cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, names in enumerate(self.names):
            for name in dict.fromkeys(map(label_key, names)):
                found.setdefault(name, []).append(index)
        return found

    @functools.cached_property
    def _by_id(self) -> dict[str, int]:
        return {identifier: index for index, identifier in enumerate(self.ids)}

    def title(self, index: int) -> str:
        """Return a label's WordNet id and first name, "n02391049 zebra", or its number if the names are not known."""
        return f"{self.ids[index]} {self.names[index][0]}" if self.ids else str(index)

    def kind(self, index: int) -> str:
        """Return the kind of thing of a label: "animal", "artifact", "food", "person", "plant" or "other"."""
        number = int(self.ids[index][1:]) if self.ids else 0
        return next((kind for end, kind in _KINDS if number < end), "other")

    def named(self, name: str) -> list[int]:
        """Return the labels of which this is a name, in any case, with spaces, hyphens or underscores."""
        return self._by_name.get(label_key(name), [])

    def ending_in(self, name: str) -> list[int]:
        """Return the labels with a name that ends in this word or these words: "fox" finds "red fox"."""
        end = f" {label_key(name)}"
        return sorted({index for each, found in self._by_name.items() if each.endswith(end) for index in found})

    def find(self, text: str) -> int:
        """Return the label that a number from 0, a WordNet id or a name means. Raises `UsageError`."""
        text = text.strip()
        if re.fullmatch(r"[0-9]+", text):
            if int(text) < self.count:
                return int(text)
            raise UsageError(f"there is no label {text}: {self.name} has the labels 0 to {self.count - 1}.")
        if not self.ids:
            raise UsageError(f'the names of {self.name} are not known, so "{text}" cannot be found; give its number.')
        if text.lower() in self._by_id:
            return self._by_id[text.lower()]
        found = self.named(text)
        if len(found) == 1:
            return found[0]
        if found:
            titles = listed([self.title(index) for index in found], _LISTED, separator="; ")
            raise UsageError(f'several labels of {self.name} are called "{text}": {titles}. Give the WordNet id.')
        raise UsageError(f'{self.name} has no label "{text}"{did_you_mean(text, self._by_name)}.')


def label_key(name: str) -> str:
    """Return the normalised name with which names of classes and labels are compared."""
    return " ".join(re.split(r"[\s_+-]+", name.strip().casefold()))


@functools.cache
def label_set(count: int) -> LabelSet:
    """Return the label set of a classifier with this number of labels; without names if it is none of ImageNet's."""
    if count not in LABEL_SETS:
        return LabelSet(f"this classifier of {count:,} labels", count)
    name, file = LABEL_SETS[count]
    ids = tuple(_lines(file))
    texts = [
        dict(line.split("\t", 1) for line in _lines(f"imagenet_synset_to_{part}.txt"))
        for part in ("lemma", "definition")
    ]
    names, definitions = (tuple(text.get(identifier, "").strip('"') for identifier in ids) for text in texts)
    return LabelSet(name, count, ids, tuple(tuple(each.split(", ")) for each in names), definitions)


def _lines(file: str) -> list[str]:
    found = importlib.util.find_spec("timm")
    path = Path(str(found and found.origin)).parent / "data" / "_info" / file
    try:
        return path.read_text("utf-8").splitlines()
    except OSError as error:
        raise WeightsError(
            f"{path}: the names of ImageNet's labels are not installed.", hint="Run: pip install --force-reinstall timm"
        ) from error


def labels_of_backbone(tag: str) -> LabelSet:
    """Return the label set of the classifier that timm publishes for a backbone.

    "auto" and "embedded" need no import of timm: both networks that they may mean have ImageNet-1k's labels. Raises
    `UsageError` for an unknown tag or a network without a classifier.
    """
    from .source import AUTO, EMBEDDED, full_tag, split_side

    tag, _ = split_side(tag)
    if tag in (AUTO, EMBEDDED):
        return label_set(IMAGENET)
    import timm

    published = timm.models.get_pretrained_cfg(full_tag(tag))
    if published is None or not published.classifier or not published.num_classes:
        raise UsageError(f"{tag}: was published without a classifier, so it knows no labels.")
    return label_set(int(published.num_classes))
