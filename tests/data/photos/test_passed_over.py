"""Files that are no photos of the user are skipped in folders and archives, and counted."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from revcd_cli.data.photos.passed_over import PassedOver, is_own_picture
from revcd_cli.data.photos.sources import count_sources, iter_sources
from revcd_cli.errors import UsageError
from revcd_cli.reports.plots.figures import new_figure, picture
from tests.makers.pictures import PNG

STORAGE = (
    *(
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "#recycle/a.jpg",
        "@Recycle/b.jpg",
        ".@__thumb/s800a.jpg",
        "#snapshot/a.jpg",
    ),
    *("$RECYCLE.BIN/$R1.jpg", "System Volume Information/x.jpg", ".Trashes/501/a.jpg", ".Trash-1000/files/a.jpg"),
    *("__MACOSX/._a.jpg", ".thumbnails/1.jpg", "._a.jpg", "Thumbs.db", "lost+found/1.jpg", "SYNOFILE_THUMB_M_a.jpg"),
    *(
        "Catalogue Previews.lrdata/0/1.jpg",
        "a.sync-conflict-20260101-1.jpg",
        "@Recently-Snapshot/a.jpg",
        "#snapshot/a.jpg",
    ),
)


def write(root: Path, *names: str, data: bytes = b"x") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


@pytest.mark.parametrize("name", STORAGE)
def test_what_a_storage_system_made_is_skipped_and_counted(tmp_path: Path, name: str):
    write(tmp_path, "a.jpg", "cats/b.jpg", f"cats/{name}", name)
    passed = PassedOver()
    found = [
        Path(source.path).relative_to(tmp_path).as_posix() for source in iter_sources([str(tmp_path)], passed=passed)
    ]
    assert found == ["a.jpg", "cats/b.jpg"]
    assert passed.storage.total() == 2
    assert name.split("/")[0] in passed.findings()[0].text


def test_names_like_those_of_storage_systems_are_photos(tmp_path: Path):
    names = [
        "recycle/a.jpg",
        "eaDir/a.jpg",
        "#1.jpg",
        "@home/a.jpg",
        "thumbs/a.jpg",
        "$5.jpg",
        "lost/a.jpg",
        "icon.jpg",
    ]
    write(tmp_path, *names)
    assert count_sources([str(tmp_path)]) == len(names)


def test_a_photo_in_such_a_folder_is_used_if_it_is_named(tmp_path: Path):
    write(tmp_path, "@eaDir/a.jpg")
    assert count_sources([str(tmp_path / "@eaDir" / "a.jpg")]) == 1


def test_other_formats_are_counted_by_suffix_and_companions_are_not(tmp_path: Path):
    write(
        tmp_path,
        "a.jpg",
        *(f"{k}.NEF" for k in range(3)),
        "b.jxl",
        "b.jp2",
        "c.zip",
        "noext",
        "attributes.csv",
        "a.xmp",
    )
    passed = PassedOver()
    assert count_sources([str(tmp_path)], passed) == 1
    (finding,) = passed.findings()
    sentence = finding.text
    assert finding.rank == "warning"
    assert sentence.startswith("7 files are no photos")
    assert "3 .NEF" in sentence and "1 without a suffix" in sentence and "raw format" in sentence
    assert "1 .csv" not in sentence and ".xmp" not in sentence


def test_members_of_an_archive_are_counted_too(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a/1.jpg", "a/1.CR2", "@eaDir/1.jpg", "__MACOSX/a/._1.jpg", "readme.txt"):
            archive.writestr(name, b"x")
    passed = PassedOver()
    assert count_sources([str(tmp_path / "a.zip")], passed) == 1
    assert passed.formats == {".CR2": 1} and passed.storage == {"@eaDir": 1, "__MACOSX": 1}


def test_a_plot_of_revcd_is_skipped_under_any_name(tmp_path: Path):
    with new_figure((2, 2)) as drawn:
        drawn.subplots().plot([1, 2])
        (tmp_path / "renamed.PNG").write_bytes(picture(drawn, "png", 50))
    write(tmp_path, "photo.png", data=PNG)
    assert is_own_picture(str(tmp_path / "renamed.PNG")) and not is_own_picture(str(tmp_path / "photo.png"))
    passed = PassedOver()
    assert count_sources([str(tmp_path)], passed) == 1
    assert [finding.text for finding in passed.findings()] == ["Skipped, because revcd drew them: 1 PNG file."]


@pytest.mark.parametrize(
    "address", ["https://example.org/a.jpg", "http://x/y?z=1", "s3://bucket/a.jpg", "gs://b/*.jpg"]
)
def test_an_address_is_refused_as_one(address: str):
    with pytest.raises(UsageError, match="is an address"):
        iter_sources([address])


def test_a_file_address_is_refused_with_its_path():
    with pytest.raises(UsageError) as caught:
        iter_sources(["file:///photos/a.jpg"])
    assert caught.value.hint == "Write /photos/a.jpg instead."


def test_an_address_among_several_inputs_is_a_failure_that_says_so(tmp_path: Path):
    write(tmp_path, "a.jpg")
    *_, last = iter_sources([str(tmp_path / "a.jpg"), "https://example.org/a.jpg"])
    failure = last.read()
    assert (failure.reason, "address" in failure.detail) == ("not_found", True)
