"""`revcd data check` on inputs with errors placed by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revcd_cli.checkpoint.calibration import Calibration
from revcd_cli.checkpoint.model_file import Checkpoint, save_checkpoint
from revcd_cli.config import BackboneRecord, Config
from revcd_cli.data.classes.attributes import read_attribute_csv
from revcd_cli.data.features.files import FeatureSet, write_features
from revcd_cli.errors import RevcdError, UsageError
from revcd_cli.pipeline.tables.check import check_input
from revcd_cli.scoring.model import build_model

TABLE = "class,stripes,hooves,wings\nzebra,9,8,0\nhorse,1,8,0\nbat,0,0.5,9\nfox,2,0,0\n"
BACKBONE = BackboneRecord(tag="tiny", weights_sha256="ab", preprocessing={}, feature_dim=3, precision="float32")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "attributes.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture
def model(table: Path, tmp_path: Path) -> str:
    classes = read_attribute_csv(table)
    settings = Config.from_dict({"encoder": {"n_tokens": 1, "width": 8, "heads": 1}, "denoiser": {"width": 8}})
    checkpoint = Checkpoint(
        model=build_model(settings, 3, 3, 2),
        classes=classes,
        seen=frozenset(("zebra", "horse")),
        backbone=BACKBONE,
        calibrations={"evidence": Calibration()},
        dataset={},
        metrics={},
        seed=0,
    )
    save_checkpoint(tmp_path / "tiny.safetensors", checkpoint)
    return str(tmp_path / "tiny.safetensors")


def _warned(report, text: str) -> bool:
    return any(text in warning for warning in report.warnings)


def test_a_valid_table_has_facts_and_no_warnings(table: Path):
    report = check_input(str(table))
    assert report.error is None and report.warnings == ()
    assert report.facts == {"classes": 4, "attributes": 3, "range": [0.0, 9.0], "empty_cells": 0}


@pytest.mark.parametrize(
    ("rows", "warning"),
    [
        ("zebra,1,2\nfox,0,0\nbat,2,1\n", 'All attributes are 0 for "fox"'),
        (
            "zebra,1,2\nfox,2,1\nbat,1,2\n",
            '"zebra", "bat" have equal descriptions',
        ),
        ("zebra,1,2\n", "The table has one class"),
    ],
)
def test_an_unusual_table_is_valid_and_has_a_warning(rows: str, warning: str, tmp_path: Path):
    path = tmp_path / "odd.csv"
    path.write_text("class,stripes,hooves\n" + rows)
    report = check_input(str(path))
    assert report.error is None
    assert _warned(report, warning)


def test_empty_cells_are_counted_and_refused_unless_filled(tmp_path: Path):
    path = tmp_path / "holes.csv"
    path.write_text("class,stripes,hooves\nzebra,,2\nfox,1,\nbat,2,1\n")
    refused, filled = check_input(str(path)), check_input(str(path), missing="mean")
    assert refused.facts["empty_cells"] == filled.facts["empty_cells"] == 2
    assert any("were filled" in note for note in filled.notes) and not refused.notes
    assert refused.error is not None and "holes.csv:2:2" in refused.error.message
    assert filled.error is None


@pytest.mark.parametrize("content", ["", "class\nzebra\n", "class,a\nzebra,yes\n", "class,a\nzebra,1\nZebra,2\n"])
def test_an_invalid_table_gives_a_report_with_the_error_of_the_reader(content: str, tmp_path: Path):
    path = tmp_path / "broken.csv"
    path.write_text(content)
    report = check_input(str(path))
    assert report.facts == {} and report.error is not None and report.error.exit_code == 4
    assert report.to_dict()["valid"] is False


def test_a_table_with_the_attributes_of_the_model_has_no_warning(table: Path, model: str):
    report = check_input(str(table), model=model)
    assert report.error is None and report.warnings == ()
    assert (report.facts["seen_classes"], report.facts["unseen_classes"]) == (2, 2)


def test_a_table_in_another_unit_than_the_models_is_an_error(model: str, tmp_path: Path):
    path = tmp_path / "percent.csv"
    path.write_text("class,wings,stripes,hooves\nzebra,0,90,80\nunicorn,10,0,80\n")
    report = check_input(str(path), model=model)
    assert report.error is None  # the file itself is valid
    assert any('The rows of "zebra", "unicorn" are on another scale' in error for error in report.errors)
    assert (report.exit_code(), report.to_dict()["valid"]) == (4, False)
    assert check_input(str(path), model=model, rescale=True).errors == ()


def test_other_attributes_than_those_of_the_model_are_an_error(model: str, tmp_path: Path):
    path = tmp_path / "other.csv"
    path.write_text("class,stripes,hoofs,wings\nzebra,9,8,0\nfox,1,2,3\n")
    report = check_input(str(path), model=model)
    assert report.error is not None and "hooves" in report.error.message
    assert report.facts["classes"] == 2


def test_failed_repeated_and_zero_features_are_counted(tmp_path: Path):
    vectors = np.array([[1, 2, 3], [np.nan] * 3, [1, 2, 3], [0, 0, 0]], dtype=np.float32)
    reasons = ("", "truncated", "", "")
    status = tuple("failed" if reason else "ok" for reason in reasons)
    found = FeatureSet(("a.jpg", "b.jpg", "c.jpg", "d.jpg"), vectors, status, reasons, ("",) * 4, BACKBONE)
    write_features(tmp_path / "f.npz", [found])
    report = check_input(str(tmp_path / "f.npz"))
    assert report.error is None
    assert (report.facts["photos"], report.facts["failed"], report.facts["width"]) == (4, {"truncated": 1}, 3)
    assert report.facts["range"] == [0.0, 3.0] and report.facts["backbone"] == "tiny"
    assert _warned(report, "photos without features (1): b.jpg")
    assert _warned(report, "features that repeat another one exactly (1): c.jpg = a.jpg")
    assert _warned(report, "features that are all zeros (1): d.jpg")


@pytest.mark.parametrize("name", ["f.npz", "f.parquet", "f.mat", "none.npz"])
def test_other_files_than_feature_files_give_an_error(name: str, tmp_path: Path):
    for known in ("f.npz", "f.parquet", "f.mat"):
        (tmp_path / known).write_bytes(b"nothing of the kind")
    assert check_input(str(tmp_path / name)).error is not None


@pytest.fixture
def folder(table: Path) -> Path:
    lines = ["path,class,split"]
    parts = [("zebra", "trainval"), ("zebra", "test_seen"), ("horse", "trainval"), ("bat", "test_unseen")]
    for number, (name, part) in enumerate(parts):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(table.parent / f"{number}.png")
        lines.append(f"{number}.png,{name},{part}")
    (table.parent / "images.csv").write_text("\n".join(lines) + "\n")
    return table.parent


def test_a_dataset_folder_has_facts_about_its_parts(folder: Path):
    report = check_input(str(folder))
    assert report.error is None and report.kind == "dataset"
    assert report.facts["photos"] == {"trainval": 2, "test_seen": 1, "test_unseen": 1}
    assert (report.facts["seen_classes"], report.facts["unseen_classes"]) == (2, 2)
    assert report.facts["photos_per_class"] == [1, 2]
    assert len(report.facts["split_sha256"]) == 64
    assert _warned(report, "Seen classes with fewer than 10 photos to train on (2)")


def test_missing_photos_of_a_dataset_give_a_warning(folder: Path):
    (folder / "1.png").unlink()
    report = check_input(str(folder))
    assert _warned(report, "1 of 4 photos of images.csv are not in") and any("all 1 photos" in e for e in report.errors)


def test_a_split_that_leaks_is_an_error(folder: Path):
    with (folder / "images.csv").open("a") as stream:
        stream.write("4.png,bat,trainval\n")
    Image.new("RGB", (8, 8)).save(folder / "4.png")
    error = check_input(str(folder)).error
    assert error is not None and error.exit_code == 4 and "bat" in error.message


def test_a_report_is_plain_json(folder: Path, table: Path, model: str):
    for report in (check_input(str(folder)), check_input(str(table), model=model)):
        assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["valid"] is True


@pytest.mark.parametrize("source", ["x.txt", "no-such-folder", "model.safetensors"])
def test_inputs_of_other_kinds_are_usage_errors(source: str):
    with pytest.raises(UsageError, match="is neither"):
        check_input(source)


def test_a_model_is_compared_with_class_tables_only(folder: Path):
    with pytest.raises(UsageError, match="class tables"):
        check_input(str(folder), model="animals")


def test_a_missing_benchmark_says_where_its_files_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / "user")
    with pytest.raises(RevcdError) as caught:
        check_input("awa2", data_root=tmp_path)
    assert str(tmp_path / "AWA2") in (caught.value.hint or "")


@pytest.mark.slow
def test_the_real_animals_are_refused_for_their_four_empty_cells(shared_data: Path):
    report = check_input(str(shared_data / "animals"))
    assert report.error is not None and report.facts["empty_cells"] == 4
    filled = check_input(str(shared_data / "animals"), missing="mean")
    assert filled.error is None
    assert filled.facts["photos"] == {"trainval": 3087, "test_seen": 1010, "test_unseen": 1043}


@pytest.mark.slow
def test_the_real_cub_is_also_read_by_its_splits_file(shared_data: Path):
    source = shared_data / "xlsa17" / "CUB" / "att_splits.mat"
    report = check_input(str(source), features="vgg19.mat")
    assert report.error is None
    assert (report.facts["seen_classes"], report.facts["unseen_classes"], report.facts["width"]) == (150, 50, 4096)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (("zebra,zebra", "fox,zebrra"), 'known.csv:3:2: imagenet-1k has no label "zebrra" .did you mean "zebra"'),
        (("zebra,zebra", "fox,n02391049"), "known.csv:3:2: the label n02391049 zebra is on line 2"),
    ],
)
def test_labels_of_known_classes_that_do_not_exist_are_an_error_with_their_line(
    labels: tuple[str, ...], says: str, folder: Path
):
    (folder / "known.csv").write_text("\n".join(["class,label", *labels]))
    report = check_input(str(folder))
    assert report.error is not None and re.search(says, str(report.error)) and report.exit_code(strict=False) == 4
