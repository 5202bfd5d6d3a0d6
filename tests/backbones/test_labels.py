"""Laws of label sets: timm's names, found by number, WordNet id and name."""

from __future__ import annotations

import subprocess
import sys

import pytest
import timm.data
import timm.data.imagenet_info as timm_info

from revcd_cli.backbones.labels import LABEL_SETS, label_set, labels_of_backbone
from revcd_cli.errors import UsageError

IMAGENET = label_set(1000)


@pytest.mark.parametrize("count", LABEL_SETS)
def test_labels_are_those_of_timm(count: int):
    found, expected = label_set(count), timm.data.ImageNetInfo(timm_info._NUM_CLASSES_TO_SUBSET[count])
    assert (found.count, list(found.ids)) == (count, expected.label_names())
    assert [", ".join(names) for names in found.names] == expected.label_descriptions()


def test_the_known_sizes_of_label_sets_are_those_of_timm():
    assert {count: name for count, (name, _) in LABEL_SETS.items()} == timm_info._NUM_CLASSES_TO_SUBSET


@pytest.mark.parametrize("text", ["340", " 340 ", "n02391049", "N02391049", "zebra", "Zebra"])
def test_a_label_is_found_by_its_number_its_wordnet_id_and_its_name(text: str):
    assert IMAGENET.find(text) == 340


def test_every_name_of_a_label_finds_it_with_any_separator():
    assert {IMAGENET.find(name) for name in ("ice bear", "polar_bear", "Ursus-Maritimus")} == {296}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1000", "labels 0 to 999"),
        ("zebrra", 'did you mean "zebra"'),
        ("crane", "several labels .*n02012849 crane; n03126707 crane"),
    ],
)
def test_a_label_that_does_not_exist_or_is_ambiguous_is_refused(text: str, reason: str):
    with pytest.raises(UsageError, match=reason):
        IMAGENET.find(text)


def test_labels_of_an_unknown_set_have_numbers_only():
    ten = label_set(10)
    assert (ten.find("9"), ten.title(9), ten.kind(9)) == (9, "9", "other")
    with pytest.raises(UsageError, match="give its number"):
        ten.find("zebra")


def test_kinds_of_things_follow_from_wordnet():
    kinds = {name: IMAGENET.kind(IMAGENET.find(name)) for name in ("puffer", "abacus", "pizza", "daisy", "scuba diver")}
    assert list(kinds.values()) == ["animal", "artifact", "food", "plant", "person"]
    assert {IMAGENET.kind(index) for index in range(398)} == {"animal"}


def test_a_backbone_has_the_label_set_of_its_published_classifier():
    assert labels_of_backbone("embedded") is labels_of_backbone("auto") is IMAGENET
    assert labels_of_backbone("vit_base_patch16_224.augreg_in21k").count == 21843
    with pytest.raises(UsageError, match="without a classifier"):
        labels_of_backbone("vit_small_patch14_dinov2.lvd142m")


def test_labels_are_read_without_torch():
    code = (
        "import sys; from revcd_cli.backbones.labels import labels_of_backbone; labels_of_backbone('auto');"
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
