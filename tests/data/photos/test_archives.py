"""Photos in valid, damaged and malicious zip and tar archives; nothing is written to disk."""

from __future__ import annotations

import io
import os
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from revcd_cli.data.photos import archives
from revcd_cli.data.photos.images import ImageFailure
from revcd_cli.data.photos.sources import count_sources, iter_sources
from tests.makers.archives import BAD_ZIPS, Content, in_directory, make_tar, make_zip, open_tar


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder; after each test it contains only the files written by the test itself."""
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    yield place
    assert all(path.suffix in (".zip", ".tar", ".gz", ".bz2", ".xz", ".tgz") for path in place.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def make(path: str, content: Content) -> bytes:
    return make_zip(path, content) if path.endswith(".zip") else make_tar(path, content)


def results(*inputs: str) -> dict[str, bytes | str]:
    """Read every source in order; return the bytes, or the reason of a failure."""
    found = {}
    for source in iter_sources(inputs):
        data = source.read()
        assert source.path not in found
        found[source.path] = data.reason if isinstance(data, ImageFailure) else data
    return found


KINDS = ["z.zip", "z.tar", "z.tar.gz", "z.tgz", "z.tar.bz2", "z.tar.xz"]
every_kind = pytest.mark.parametrize("path", KINDS)


@every_kind
def test_the_photos_of_an_archive_are_sources(path: str):
    make(path, {"a/1.jpg": b"one", "a/2.JPG": b"two" * 9999, "b/empty.png": b"", "readme.txt": b"no photo"})
    assert results(path) == {f"{path}/a/1.jpg": b"one", f"{path}/a/2.JPG": b"two" * 9999, f"{path}/b/empty.png": b""}


@every_kind
def test_hidden_members_and_archives_in_archives_are_skipped(path: str):
    make(path, {".x/a.jpg": b"", "._b.jpg": b"", "__MACOSX/c.jpg": b"", "in.zip": b"PK", "./d.jpg": b"d"})
    assert results(path) == {f"{path}/d.jpg": b"d"}


@every_kind
def test_member_names_that_point_outside_the_archive_are_used_as_names_only(path: str):
    make(path, {"../evil.jpg": b"1", "/abs/evil.jpg": b"2", "C:\\evil.jpg": b"3", "a/../../e.jpg": b"4"})
    assert results(path) == {
        f"{path}/{name}": data
        for name, data in {
            "../evil.jpg": b"1",
            "abs/evil.jpg": b"2",
            "C:\\evil.jpg": b"3",
            "a/../../e.jpg": b"4",
        }.items()
    }


@every_kind
def test_members_of_the_same_name_have_different_paths(path: str):
    make(path, {"a.jpg": b"1", "a.jpg!": b"2", "./a.jpg": b"3", "b.jpg": b"4"})
    assert sorted(results(path)) == [f"{path}/{name}" for name in ("a.jpg", "a.jpg#2", "a.jpg#3", "b.jpg")]


def test_a_zip_is_listed_in_natural_order_and_a_tar_in_stored_order():
    content = {"p10.jpg": b"", "p2.jpg": b"", "a/z.jpg": b""}
    make("z.zip", content)
    make("z.tar", content)
    assert list(results("z.zip")) == ["z.zip/a/z.jpg", "z.zip/p2.jpg", "z.zip/p10.jpg"]
    assert list(results("z.tar")) == ["z.tar/p10.jpg", "z.tar/p2.jpg", "z.tar/a/z.jpg"]


@pytest.mark.parametrize("path", ["z.zip", "z.tar"])
def test_random_access_archives_may_be_read_in_any_order_after_listing(path: str):
    make(path, {f"{number}.jpg": b"x" * number for number in range(5)})
    sources = list(iter_sources([path]))
    assert [len(source.read()) for source in reversed(sources)] == [4, 3, 2, 1, 0]


def test_reading_a_compressed_tar_out_of_order_is_a_programming_error():
    make("z.tar.gz", {"a.jpg": b"a" * 600, "b.jpg": b"b"})
    sources = iter_sources(["z.tar.gz"])
    first, second = next(sources), next(sources)
    with pytest.raises(RuntimeError, match="in order"):
        first.read()
    assert list(sources) == []
    with pytest.raises(RuntimeError, match="in order"):
        second.read()


def test_photos_of_a_compressed_tar_may_be_skipped():
    make("z.tar.gz", {f"{number}.jpg": bytes([number]) * 2000 for number in range(6)})
    read = [source.read() for number, source in enumerate(iter_sources(["z.tar.gz"])) if number % 2]
    assert read == [bytes([number]) * 2000 for number in (1, 3, 5)]


def test_photos_of_zip_and_tar_are_counted_and_those_of_a_compressed_tar_are_not():
    for path in KINDS:
        make(path, {"a.jpg": b"a", "b.jpg": b"b", "c.txt": b"c"})
    assert count_sources(["z.zip", "z.tar"]) == 4
    for path in KINDS[2:]:
        assert count_sources([path]) is None


@every_kind
def test_signatures_differ_between_members_and_after_a_change_of_the_archive(path: str):
    make(path, {"a.jpg": b"1", "b.jpg": b"2"})
    first, second = (source.signature for source in iter_sources([path]))
    os.utime(path, ns=(5, 5))
    touched, _ = (source.signature for source in iter_sources([path]))
    assert len({first, second, touched}) == 3


@every_kind
def test_the_same_archive_twice_is_listed_once(path: str):
    make(path, {"a.jpg": b"1"})
    assert results(path, path) == {f"{path}/a.jpg": b"1"}


@every_kind
def test_a_member_beyond_the_byte_limit_is_a_failed_row(path: str, monkeypatch: pytest.MonkeyPatch):
    make(path, {"bomb.jpg": bytes(5001), "fits.jpg": bytes(5000)})
    monkeypatch.setattr(archives, "MAX_BYTES", 5000)
    assert results(path) == {f"{path}/bomb.jpg": "too_large", f"{path}/fits.jpg": bytes(5000)}


@pytest.mark.parametrize(("offset", "new", "reason"), BAD_ZIPS.values(), ids=BAD_ZIPS)
def test_a_damaged_zip_member_is_a_failed_row_and_the_others_are_read(offset: int, new: bytes, reason: str):
    data = make_zip("z.zip", {"a.jpg": b"a" * 500, "b.jpg": b"b" * 500})
    Path("z.zip").write_bytes(in_directory(data, offset, new))
    assert results("z.zip") == {"z.zip/a.jpg": reason, "z.zip/b.jpg": b"b" * 500}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_inside_a_zip_member_is_a_failed_row_with_any_compression(method: int):
    photo = os.urandom(3000)
    data = bytearray(make_zip("z.zip", {"a.jpg": photo, "b.jpg": photo}, method))
    data[400:420] = bytes(byte ^ 0xFF for byte in data[400:420])
    Path("z.zip").write_bytes(data)
    assert results("z.zip") == {"z.zip/a.jpg": "corrupt", "z.zip/b.jpg": photo}


def test_a_link_in_a_zip_is_a_failed_row():
    with zipfile.ZipFile("z.zip", "w") as archive:
        link = zipfile.ZipInfo("passwd.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("folder.jpg/", "")
        archive.writestr("a.jpg", b"a")
    assert results("z.zip") == {"z.zip/a.jpg": b"a", "z.zip/passwd.jpg": "not_a_file"}


@pytest.mark.parametrize("path", KINDS[1:])
def test_links_devices_and_pipes_in_a_tar_are_failed_rows(path: str):
    with open_tar(path) as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"{kind.decode()}.jpg")
            member.type, member.linkname = kind, "../../etc/passwd"
            archive.addfile(member)
        directory = tarfile.TarInfo("folder.jpg")
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
        photo = tarfile.TarInfo("a.jpg")
        photo.size = 1
        archive.addfile(photo, io.BytesIO(b"a"))
    assert results(path) == {**{f"{path}/{kind}.jpg": "not_a_file" for kind in "21346"}, f"{path}/a.jpg": b"a"}


@every_kind
@pytest.mark.parametrize(("data", "reason"), [(b"", "empty_file"), (b"nothing of that kind " * 90, "corrupt")])
def test_a_file_that_is_not_an_archive_is_one_failed_row(path: str, data: bytes, reason: str):
    Path(path).write_bytes(data)
    assert results(path) == {path: reason}


@every_kind
def test_a_truncated_archive_is_reported_and_gives_no_partial_photo(path: str):
    data = make(path, {f"{number}.jpg": os.urandom(3000) for number in range(20)})
    for share in (0.3, 0.5, 0.52, 0.7, 0.85):
        Path(path).write_bytes(data[: int(len(data) * share)])
        found = results(path)
        assert found[path] in ("truncated", "corrupt")
        assert all(len(value) == 3000 for value in found.values() if isinstance(value, bytes))


def cut_inside_header(data: bytes) -> bytes:
    return data[: 1024 + 100]


def cut_before_header(data: bytes) -> bytes:
    return data[:1024]


def garble_header(data: bytes) -> bytes:
    return data[:1024] + b"\xff" * 512 + data[1536:]


@pytest.mark.parametrize("damage", [cut_inside_header, cut_before_header, garble_header])
def test_a_damaged_header_of_a_tar_is_reported(damage: Callable[[bytes], bytes]):
    data = make_tar("z.tar", {"a.jpg": b"a", "b.jpg": b"b", "c.jpg": b"c"})
    Path("z.tar").write_bytes(damage(data))
    found = results("z.tar")
    assert found.pop("z.tar") in ("truncated", "corrupt")
    assert found == {"z.tar/a.jpg": b"a"}


def test_photos_of_a_tar_that_is_deleted_are_failed_rows():
    make("z.tar", {"a.jpg": b"a" * 2000, "b.jpg": b"b"})
    first, second = iter_sources(["z.tar"])
    os.truncate("z.tar", 1000)
    assert first.read().reason == "truncated"
    Path("z.tar").unlink()
    assert second.read().reason == "vanished"


@every_kind
def test_listing_an_archive_keeps_only_one_photo_in_memory(path: str):
    make(path, {f"{number}.jpg": bytes(1 << 20) for number in range(24)})
    tracemalloc.start()
    try:
        assert sum(len(source.read()) for source in iter_sources([path])) == 24 << 20
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()
