"""From a predictions page to a better model: photos marked as wrong are saved, added to the list, and trained on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from revcd_cli.data.datasets.folder import read_folder
from tests.makers.shapes import SMALL_OPTIONS, make_folder

pytestmark = pytest.mark.slow


def test_photos_that_are_marked_as_wrong_become_training_photos(
    tmp_path: Path, open_page, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = make_folder(tmp_path / "shapes")
    (folder / "new").mkdir()
    for number in range(3):  # photos of the class "red" that the list does not have
        shutil.copy(folder / "red" / f"{number}.png", folder / "new" / f"{number}, #.png")
        with (folder / "new" / f"{number}, #.png").open("ab") as stream:
            stream.write(bytes([number + 1]))  # other bytes than the original
    monkeypatch.chdir(folder)
    train = ["train", "--dataset", ".", "-o", str(tmp_path / "m.safetensors"), *SMALL_OPTIONS]
    assert main([*train, "-q"]) == 0
    assert (
        main(["predict", "new", "--model", str(tmp_path / "m.safetensors"), "-o", str(tmp_path / "p.html"), "-q"]) == 0
    )
    page = open_page(tmp_path / "p.html")
    for box in page.locator(".pick").all():
        box.check()
    page.get_by_label("Right class of the selected photos").fill("red")
    page.get_by_role("button", name="Mark as wrong").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save corrections.csv").click()
    assert waiting.value.suggested_filename == "corrections.csv"
    waiting.value.save_as(tmp_path / "corrections.csv")
    assert main(["data", "update", ".", "--add", str(tmp_path / "corrections.csv")]) == 0
    dataset = read_folder(folder)
    rows = [row for row in dataset.split.trainval if dataset.paths[row].startswith("new/")]
    assert [dataset.classes.names[dataset.labels[row]] for row in rows] == ["red"] * 3
    capsys.readouterr()
    assert main([*train, "--overwrite"]) == 0
    assert "27 photos to train on" in capsys.readouterr().err
