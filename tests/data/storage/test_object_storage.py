"""Object storage: listings as of local folders, reads that are repeated and bounded, addresses that are refused."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from pathlib import Path

import pytest
from pyarrow import fs

from revcd_cli.data.photos.image_source import ImageSource
from revcd_cli.data.photos.passed_over import PassedOver
from revcd_cli.data.photos.sources import iter_sources
from revcd_cli.data.storage import objects, prefetch
from revcd_cli.data.storage.objects import remote_references
from revcd_cli.errors import RevcdError, UsageError
from revcd_cli.system import filesystems
from revcd_cli.system.filesystems import RemoteReadError, check_address, is_remote, open_filesystem, repeated
from revcd_cli.system.remote_file import RemoteFile
from tests.makers import s3_server
from tests.makers.s3_server import S3Server

TREE = (
    "a.jpg",
    "b 2.jpg",
    "b 10.jpg",
    "ü?#%41.png",
    "sub/c.jpg",
    "sub/deep/d.png",
    "sub/notes.txt",
    ".hidden/e.jpg",
    "x.xyz",
)


@pytest.fixture
def tree(tmp_path: Path, s3: S3Server) -> Path:
    """Return a folder whose files are in the bucket, too."""
    for name in TREE:
        path = tmp_path / "t" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        s3.objects[f"bucket/t/{name}"] = name.encode()
    s3.objects["bucket/t/empty/"] = b""  # as consoles mark an empty folder
    return tmp_path / "t"


@pytest.mark.parametrize(
    "pattern", ["", "/", "/*.jpg", "/sub/*.jpg", "/**/*.png", "/sub/**/*.png", "/s*", "/b ?.jpg", "/[ab].jpg"]
)
def test_an_address_names_the_photos_that_a_path_names(tree: Path, pattern: str):
    here = sorted(source.path.removeprefix(str(tree)).lstrip("/") for source in iter_sources([f"{tree}{pattern}"]))
    there = sorted(each.path.removeprefix("s3://bucket/t/") for each in remote_references(f"s3://bucket/t{pattern}"))
    assert here == there and here


def test_the_order_and_what_is_passed_over_are_those_of_a_folder(tree: Path):
    here, there = PassedOver(), PassedOver()
    paths = [source.path.removeprefix(f"{tree}/") for source in iter_sources([str(tree)], passed=here)]
    found = [each.path.removeprefix("s3://bucket/t/") for each in remote_references("s3://bucket/t", there)]
    assert found == paths
    assert (there.formats, there.storage) == (here.formats, here.storage) == ({".xyz": 1}, {".hidden": 1})


def test_photos_of_an_address_have_the_bytes_of_their_objects(tree: Path):
    found = {source.path: source.read() for source in iter_sources(["s3://bucket/t"])}
    assert found["s3://bucket/t/ü?#%41.png"] == "ü?#%41.png".encode()
    assert len(found) == 6


def test_a_listing_of_several_pages_is_complete(s3: S3Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(s3_server, "PAGE", 7)
    for number in range(40):
        s3.objects[f"bucket/many/{number}.jpg"] = b"x"
    names = [each.path.rpartition("/")[2] for each in remote_references("s3://bucket/many/")]
    assert names == [f"{number}.jpg" for number in range(40)]


def test_the_next_folders_are_listed_before_they_are_reached(s3: S3Server):
    for number in range(30):
        s3.objects[f"bucket/many/{number}/{number}.jpg"] = b"x"
    s3.requests.clear()
    list(remote_references("s3://bucket/many/29"))
    alone = s3.requests["GET", "bucket"]  # for a folder without subfolders
    s3.requests.clear()
    references = remote_references("s3://bucket/many")
    first = next(references)
    for _ in range(1000):
        if s3.requests["GET", "bucket"] >= alone + objects._FOLDERS_AHEAD:
            break
        time.sleep(0.01)
    assert s3.requests["GET", "bucket"] in range(alone + objects._FOLDERS_AHEAD, alone + objects._FOLDERS_AHEAD + 2)
    names = [each.path.rpartition("/")[2] for each in (first, *references)]
    assert names == [f"{number}.jpg" for number in range(30)]


def test_a_folder_that_cannot_be_listed_is_told_when_it_is_reached(s3: S3Server):
    for number in range(4):
        s3.objects[f"bucket/many/{number}/{number}.jpg"] = b"x"
    s3.fault = lambda method, key, count: (method, key) == ("GET", "bucket") and count > 3
    references = remote_references("s3://bucket/many")
    with pytest.raises(RevcdError, match="s3://bucket/many: cannot be listed"):
        list(references)


@pytest.mark.parametrize("address", ["s3://bucket/nothing", "s3://bucket/t/*.tiff"])
def test_an_address_that_names_nothing_is_refused(tree: Path, address: str):
    with pytest.raises(UsageError):
        list(remote_references(address))


@pytest.mark.parametrize("address", ["s3://key:secret@bucket/x", "s3:///x", "https://host/x"])
def test_addresses_with_credentials_or_without_a_bucket_are_refused(s3: S3Server, address: str):
    with pytest.raises(UsageError) as refused:
        check_address(address)
    assert "secret" not in str(refused.value)


def test_without_a_network_an_address_is_refused():
    assert is_remote("s3://bucket/x")
    with pytest.raises(UsageError, match="network is switched off"):
        iter_sources(["s3://bucket/x"])


def test_a_missing_or_forbidden_file_is_not_tried_again(monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []

    def fail(error: OSError) -> None:
        calls.append("")
        raise error

    monkeypatch.setattr(filesystems, "FIRST_DELAY", 0.0)
    for error, kind, times in (
        (FileNotFoundError(), FileNotFoundError, 1),
        (OSError("AWS Error ACCESS_DENIED during GetObject"), PermissionError, 1),
        (OSError("AWS Error NO_SUCH_BUCKET"), FileNotFoundError, 1),
        (OSError("timeout"), OSError, filesystems.ATTEMPTS),
    ):
        calls.clear()
        with pytest.raises(kind):
            repeated(lambda error=error: fail(error))
        assert len(calls) == times


def remote_file(s3: S3Server, data: bytes, block: int) -> io.BufferedReader:
    s3.objects["bucket/file"] = data
    filesystem, path = open_filesystem("s3://bucket/file")
    return io.BufferedReader(RemoteFile(filesystem, path, len(data), block), 16)


def test_a_remote_file_reads_as_a_local_one(s3: S3Server):
    data = bytes(range(256)) * 5
    with remote_file(s3, data, 100) as remote, io.BytesIO(data) as local:
        for offset, whence, count in ((0, 0, 10), (0, 1, 350), (-30, 2, 100), (7, 0, 1), (500, 0, -1), (3, 0, 0)):
            assert remote.seek(offset, whence) == local.seek(offset, whence)
            assert remote.read(count) == local.read(count)
            assert remote.tell() == local.tell()


def test_a_remote_file_repeats_blocks_and_says_when_it_cannot(s3: S3Server):
    s3.fault = lambda method, key, count: count <= 2
    with remote_file(s3, b"x" * 1000, 300) as stream:
        assert stream.read() == b"x" * 1000
    s3.fault = lambda method, key, count: method == "GET"
    with remote_file(s3, b"x" * 1000, 300) as stream, pytest.raises(RemoteReadError):
        stream.read()


def test_reading_ahead_is_bounded_in_number_and_bytes_and_keeps_the_order():
    held, most, lock = set(), [0], threading.Lock()

    def source(number: int) -> ImageSource:
        def read() -> bytes:
            with lock:
                held.add(number)
                most[0] = max(most[0], len(held))
            return bytes([number])

        return ImageSource(str(number), "", read)

    for sizes, ahead, budget, bound in (([1] * 50, 4, 1000, 4), ([100] * 50, 32, 300, 3), ([5000] * 5, 32, 300, 1)):
        most[0] = 0
        held.clear()
        found = []
        for each in prefetch.prefetched(
            ((source(n), size) for n, size in enumerate(sizes)), ahead=ahead, budget=budget
        ):
            found.append(each.read())
            with lock:
                held.discard(int(each.path))
        assert found == [bytes([number]) for number in range(len(sizes))]
        assert most[0] <= bound + 1  # the one that the consumer holds


def test_as_many_objects_are_on_their_way_as_are_read_ahead(s3: S3Server):
    meeting = threading.Barrier(prefetch.AHEAD)

    def fault(method: str, key: str, count: int) -> bool:
        """Answer when all requests are there, and with an error if that takes too long."""
        if method == "HEAD" and key.startswith("bucket/many/"):
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(20)
        return meeting.broken

    for number in range(prefetch.AHEAD):
        s3.objects[f"bucket/many/{number}.jpg"] = b"x"
    references = list(remote_references("s3://bucket/many"))
    s3.fault = fault
    assert [source.read() for source in objects.remote_photos(references)] == [b"x"] * prefetch.AHEAD


def test_any_file_system_of_pyarrow_will_do(tmp_path: Path):
    (tmp_path / "f").write_bytes(b"abc" * 100)
    with io.BufferedReader(
        RemoteFile(fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), "f", 300, 64)
    ) as stream:
        assert stream.read() == b"abc" * 100
