"""Photo sources of the arguments: their order, and paths that are not photos."""

from __future__ import annotations

import io
import os
import random
import socket
import zipfile
from pathlib import Path

import pytest

from revcd_cli.data.photos.image_source import natural_key
from revcd_cli.data.photos.images import PHOTO_SUFFIXES, ImageFailure
from revcd_cli.data.photos.sources import count_sources, iter_sources
from revcd_cli.errors import RevcdError, UsageError

NOT_AS_ROOT = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may read everything")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, so that arguments are short relative paths."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*names: str) -> None:
    """Make files whose bytes are their own names."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(os.fsencode(name))


def paths(*inputs: str) -> list[str]:
    found = [source.path for source in iter_sources(inputs)]
    assert count_sources(inputs) == len(found)
    return found


def listed(text: bytes, **options: bool) -> list[str]:
    return [source.path for source in iter_sources(["-"], stdin=io.BytesIO(text), **options)]


def reason(*inputs: str) -> str:
    """Return the reason of the only failure among the sources."""
    (failure,) = [result for source in iter_sources(inputs) if isinstance(result := source.read(), ImageFailure)]
    return failure.reason


def test_a_folder_is_searched_recursively_in_natural_order():
    write("d/photo10.jpg", "d/photo2.jpg", "d/Photo3.jpg", "d/b2/z.png", "d/b10/a.png", "d/photo02.jpg")
    assert paths("d") == [
        *("d/b2/z.png", "d/b10/a.png"),
        *("d/photo02.jpg", "d/photo2.jpg", "d/Photo3.jpg", "d/photo10.jpg"),
    ]


def test_natural_order_does_not_depend_on_the_initial_order():
    names = ["a1", "a01", "A1", "a10", "a9", "1", "01", "b", "a/2", "a/10", "é", "a" + "9" * 5000, "a٣", "²"]
    ordered = sorted(names, key=natural_key)
    for seed in range(5):
        shuffled = random.Random(seed).sample(names, len(names))
        assert sorted(shuffled, key=natural_key) == ordered


def test_in_a_folder_only_files_with_photo_suffixes_count_in_any_case():
    write("d/a.JPG", "d/b.Jpeg", "d/c.txt", "d/noext", "d/e.zip", "d/jpg", "d/f.hEiC")
    assert paths("d") == ["d/a.JPG", "d/b.Jpeg", "d/f.hEiC"]


def test_hidden_files_and_system_files_are_skipped_in_a_folder():
    write("d/.a.jpg", "d/._b.jpg", "d/__MACOSX/c.jpg", "d/.git/d.jpg", "d/Thumbs.db", "d/.DS_Store", "d/e.jpg")
    assert paths("d") == ["d/e.jpg"]


def test_a_file_given_by_path_is_used_under_any_name():
    names = ["._a.jpg", "Thumbs.db", "__MACOSX/c.jpg", "noext", ".hidden/d.jpg"]
    write(*names)
    sources = list(iter_sources(names))
    assert [source.path for source in sources] == names
    assert [source.read() for source in sources] == [name.encode() for name in names]
    assert paths(".hidden") == [".hidden/d.jpg"]


def test_a_path_is_the_argument_as_given_and_the_path_below_it(folder: Path):
    write("d/sub/x.jpg", "e/sub/x.jpg")
    assert paths("./d/") == ["./d/sub/x.jpg"]
    assert paths("d", "e") == ["d/sub/x.jpg", "e/sub/x.jpg"]
    assert paths(str(folder / "d")) == [f"{folder.as_posix()}/d/sub/x.jpg"]
    assert paths(".") == ["./d/sub/x.jpg", "./e/sub/x.jpg"]


def test_a_photo_given_twice_is_one_source_at_its_first_position():
    write("d/a.jpg", "d/b.jpg")
    assert paths("d/b.jpg", "d", "d/b.jpg", "d") == ["d/b.jpg", "d/a.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        *("a b.jpg", 'it\'s "x".jpg', "two\nlines.jpg", "tab\t.jpg", "-x.jpg", "🐘.jpg", "فيل.jpg", "a%20#b.jpg"),
        *("[red].jpg", "a[/bold].jpg", ":dog:.jpg", "*.jpg", "~.jpg", "~", "x" * 251 + ".jpg"),
    ],
)
def test_unusual_names_are_kept_unchanged(name: str):
    write(name, f"d/{name}.jpg"[:257])
    (source,) = iter_sources([name])
    assert (source.path, source.read()) == (name, name.encode())
    assert paths("d") == [f"d/{name}.jpg"[:257]]


def test_a_name_that_is_not_utf_8_keeps_its_bytes():
    write(os.fsdecode(b"d/caf\xe9.jpg"))
    (source,) = iter_sources(["d"])
    assert source.path == "d/caf\udce9.jpg"
    assert source.read() == b"d/caf\xe9.jpg"
    assert listed(b"d/caf\xe9.jpg\n") == ["d/caf\udce9.jpg"]


def test_composed_and_decomposed_names_are_two_photos():
    write("d/caf\u00e9.jpg", "d/cafe\u0301.jpg")
    assert len(set(paths("d"))) == 2


def test_the_signature_changes_if_and_only_if_the_file_changes():
    write("a.jpg")
    (before,), (again,) = iter_sources(["a.jpg"]), iter_sources(["a.jpg"])
    os.utime("a.jpg", ns=(1, 1))
    (touched,) = iter_sources(["a.jpg"])
    assert before.signature == again.signature != touched.signature
    assert touched.signature.startswith("5:1:")


def test_deep_folders_and_many_files_are_listed_one_by_one():
    deep = "/".join(["d"] * 50)
    write(f"{deep}/x.jpg", *(f"many/{number}.jpg" for number in range(2000)))
    assert paths("d") == [f"{deep}/x.jpg"]
    assert paths("many") == [f"many/{number}.jpg" for number in range(2000)]


def test_listing_is_lazy():
    write("d/a.jpg", "d/b/c.jpg")
    sources = iter_sources(["d"])
    assert next(sources).path == "d/a.jpg"
    write("d/b/later.jpg")
    assert [source.path for source in sources] == ["d/b/c.jpg", "d/b/later.jpg"]


def test_a_folder_reached_by_several_links_is_visited_once():
    write("d/real/a.jpg")
    Path("d/loop").symlink_to(".")
    Path("d/real/up").symlink_to("..")
    Path("d/zlink").symlink_to("real")
    assert paths("d") == ["d/real/a.jpg"]


def test_links_to_files_and_to_folders_elsewhere_are_followed():
    write("elsewhere/a.jpg", "d/b.jpg")
    Path("d/link.jpg").symlink_to("b.jpg")
    Path("d/other").symlink_to(Path("elsewhere").resolve())
    assert paths("d") == ["d/b.jpg", "d/link.jpg", "d/other/a.jpg"]


def make_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


NOT_FILES = {
    "pipe": lambda: os.mkfifo("d/x.jpg"),
    "socket": lambda: make_socket("d/x.jpg"),
    "dangling-link": lambda: Path("d/x.jpg").symlink_to("gone.jpg"),
    "link-to-itself": lambda: Path("d/x.jpg").symlink_to("x.jpg"),
    "link-to-a-device": lambda: Path("d/x.jpg").symlink_to("/dev/zero"),
    "empty-folder": lambda: Path("d/x.jpg").mkdir(),
}


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX file types")
@pytest.mark.parametrize("make", NOT_FILES.values(), ids=NOT_FILES)
def test_a_path_that_is_not_a_file_is_a_failed_row_and_never_blocks(make):
    Path("d").mkdir()
    make()
    assert paths("d") == ["d/x.jpg"] == paths("d/x.jpg")
    assert reason("d") == reason("d/x.jpg") == "not_a_file"


@pytest.mark.skipif(os.name == "nt", reason="needs pipes")
@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x"])
def test_a_pipe_with_an_archives_name_never_blocks(name: str):
    os.mkfifo(name)
    assert count_sources([name]) == 1
    assert reason(name) == "not_a_file"


def test_a_folder_with_a_photos_name_is_searched():
    write("d/x.jpg/inside.png")
    assert paths("d") == ["d/x.jpg/inside.png"]


def test_a_file_that_disappears_after_listing_has_vanished():
    write("d/a.jpg", "d/b.jpg")
    first, second = iter_sources(["d"])
    Path("d/a.jpg").unlink()
    assert first.read().reason == "vanished"
    assert second.read() == b"d/b.jpg"


@NOT_AS_ROOT
def test_an_unreadable_file_is_a_failed_row():
    write("d/a.jpg", "e/b.jpg")
    Path("d/a.jpg").chmod(0)
    assert reason("d/a.jpg") == "permission"
    Path("e").chmod(0)
    assert reason("e") == "permission"
    Path("e").chmod(0o700)


def test_a_file_beyond_the_byte_limit_is_not_read_completely():
    with Path("big.jpg").open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: takes no room on the disk
    assert reason("big.jpg") == "too_large"


def test_a_missing_path_is_a_failed_row_among_others_and_a_usage_error_alone():
    write("a.jpg", "file")
    assert paths("gone.jpg", "a.jpg", "", "file/x.jpg") == ["gone.jpg", "a.jpg", "", "file/x.jpg"]
    assert reason("gone.jpg", "a.jpg") == reason("file/x.jpg", "a.jpg") == reason("", "a.jpg") == "not_found"
    for call in (iter_sources, count_sources):
        with pytest.raises(UsageError, match=r"gone\.jpg"):
            call(["gone.jpg"])


def test_a_path_too_long_for_the_system_is_not_found():
    write("a.jpg")
    assert reason("x" * 300, "a.jpg") == "not_found"


def test_no_input_at_all_is_a_usage_error():
    with pytest.raises(UsageError):
        iter_sources([])


@pytest.mark.parametrize("inputs", [["empty"], ["texts"], ["empty", "texts"], ["none.zip"]])
def test_folders_without_photos_are_an_error_that_lists_the_supported_types(inputs: list[str]):
    write("texts/a.txt", "texts/sub/b.csv")
    Path("empty").mkdir()
    with zipfile.ZipFile("none.zip", "w") as archive:
        archive.writestr("a.txt", "")
    for listing in (lambda: list(iter_sources(inputs)), lambda: count_sources(inputs)):
        with pytest.raises(RevcdError) as caught:
            listing()
        assert caught.value.exit_code == 1
        assert inputs[0] in caught.value.message
        assert all(suffix in caught.value.hint for suffix in PHOTO_SUFFIXES)


def test_an_empty_folder_among_photos_is_not_a_row():
    write("a.jpg")
    Path("empty").mkdir()
    assert paths("empty", "a.jpg") == ["a.jpg"]


def test_patterns_are_expanded_in_natural_order():
    write("d/p10.jpg", "d/p2.jpg", "d/sub/p1.jpg", "d/sub/deep/p3.png", "d/.hidden.jpg", "q.jpg")
    assert paths("d/*.jpg") == ["d/p2.jpg", "d/p10.jpg"]
    assert paths("d/p?.jpg") == ["d/p2.jpg"]
    assert paths("**/p[13].*") == ["d/sub/deep/p3.png", "d/sub/p1.jpg"]
    assert paths("d/**") == ["d/p2.jpg", "d/p10.jpg", "d/sub/deep/p3.png", "d/sub/p1.jpg"]
    assert paths("d/*", "q.jpg") == ["d/p2.jpg", "d/p10.jpg", "d/sub/deep/p3.png", "d/sub/p1.jpg", "q.jpg"]


@pytest.mark.parametrize("inputs", [["*.jpg"], ["a.png", "*.jpg"]])
def test_a_pattern_that_matches_nothing_is_a_usage_error_with_a_hint_about_quoting(inputs: list[str]):
    write("a.png")
    with pytest.raises(UsageError, match=r"\*\.jpg") as caught:
        iter_sources(inputs)
    assert "quote" in caught.value.hint


def test_the_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("USERPROFILE", str(folder / "home"))
    write("home/d/a.jpg")
    expected = [f"{folder.as_posix()}/home/d/a.jpg"]
    assert paths("~/d") == paths("~/d/*.jpg") == listed(b"~/d\n") == expected


LISTS = {
    "plain": (b"a.jpg\nb.jpg\n", False),
    "windows": (b"a.jpg\r\nb.jpg\r\n", False),
    "no-final-newline": (b"a.jpg\nb.jpg", False),
    "blank-lines": (b"\n\na.jpg\n  \n\r\nb.jpg\n\n", False),
    "byte-order-mark": (b"\xef\xbb\xbfa.jpg\nb.jpg\n", False),
    "nul": (b"a.jpg\0b.jpg\0", True),
    "nul-unfinished": (b"a.jpg\0\0b.jpg", True),
    "repeated": (b"a.jpg\nb.jpg\na.jpg\n", False),
}


@pytest.mark.parametrize(("text", "null_separated"), LISTS.values(), ids=LISTS)
def test_a_list_on_standard_input_names_photos(text: bytes, null_separated: bool):
    write("a.jpg", "b.jpg")
    assert listed(text, null_separated=null_separated) == ["a.jpg", "b.jpg"]


def test_a_list_may_name_folders_archives_and_missing_files():
    write("d/a.jpg", "two\nlines.jpg", "[1].jpg")
    with zipfile.ZipFile("z.zip", "w") as archive:
        archive.writestr("b.jpg", "b")
    assert listed(b"d\nz.zip\ngone*.jpg\n[1].jpg\n") == ["d/a.jpg", "z.zip/b.jpg", "gone*.jpg", "[1].jpg"]
    assert listed(b"two\nlines.jpg\0", null_separated=True) == ["two\nlines.jpg"]
    (source,) = iter_sources(["-"], stdin=io.BytesIO(b"gone.jpg\n"))
    assert source.read().reason == "not_found"


def test_a_long_nul_separated_list_is_split_only_at_nul_bytes():
    names = [f"{'x' * (number % 90)}{number}.jpg" for number in range(4000)]
    assert listed("\0".join(names).encode(), null_separated=True) == names


@pytest.mark.parametrize("text", [b"a.jpg\0b.jpg\0", "a.jpg\n".encode("utf-16")], ids=["nul", "utf-16"])
def test_a_list_with_nul_bytes_needs_its_option(text: bytes):
    with pytest.raises(UsageError, match="NUL"):
        listed(text)


def test_an_empty_list_is_an_error():
    with pytest.raises(RevcdError, match="standard input") as caught:
        listed(b"\n")
    assert caught.value.exit_code == 1


def test_a_terminal_in_place_of_the_list_is_a_usage_error_without_waiting():
    class Terminal(io.BytesIO):
        def isatty(self) -> bool:
            return True

    with pytest.raises(UsageError, match="terminal") as caught:
        iter_sources(["-"], stdin=Terminal())
    assert "Pipe a list" in caught.value.hint


def test_a_list_on_standard_input_is_not_counted():
    assert count_sources(["-"]) is None
