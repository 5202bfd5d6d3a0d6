"""Faults 31 to 44: paths, folders and file names."""

from __future__ import annotations

import os
import socket
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..runner import MEGABYTE, Fault, Process, Run, Workspace

TERMINAL = "Standard input is a terminal"


def tree(*names: str | bytes, given: Sequence[str] = ("",)) -> Callable[[Workspace], list[str]]:
    """Write valid photos of these names; the command gets their folder, or the paths `given` in it."""

    def make(workspace: Workspace) -> list[str]:
        for name in names:
            workspace.good(name)
        return workspace.predict(*(workspace.inputs / name for name in given))

    return make


def found(number: int, case: str, *names: str | bytes, given: Sequence[str] = ("",), only: Sequence[str] = ()) -> Fault:
    """Return the case of photos that are all found and predicted (or `only` some of them)."""
    rows = dict.fromkeys(only or map(os.fsdecode, names), "ok")
    return Fault(number, case, tree(*names, given=given), 0, rows)


def missing(workspace: Workspace) -> list[str]:
    return workspace.predict(workspace.inputs / "none.jpg")


def missing_beside(workspace: Workspace) -> list[str]:
    return workspace.predict(workspace.inputs / "none.jpg", workspace.good())


def folder_of(*names: str) -> Callable[[Workspace], list[str]]:
    def make(workspace: Workspace) -> list[str]:
        for name in names:
            workspace.write(name, "not a photo")
        return workspace.predict(workspace.inputs)

    return make


DEEP = "/".join(f"level {depth}" for depth in range(50))
MANY = 10_000


def very_many(workspace: Workspace) -> list[str]:
    for number in range(MANY):
        folder = workspace.inputs / DEEP / str(number // 1000)
        folder.mkdir(parents=True, exist_ok=True) if number % 1000 == 0 else None
        (folder / f"{number}.jpg").touch()
    return [*workspace.predict(workspace.inputs), "-q"]


def no_more_memory_than_a_few(workspace: Workspace, run: Run) -> None:
    few = workspace.run([*workspace.predict(workspace.inputs / DEEP / "0"), "-q", "--overwrite"])
    assert few.code == 1
    assert run.memory < few.memory + 30 * MEGABYTE


def loops(workspace: Workspace) -> list[str]:
    workspace.good("a/b/photo.png")
    for link, target in (("a/b/up", ".."), ("a/self", "."), ("again", "a"), ("x.jpg", "x.jpg")):
        (workspace.inputs / link).symlink_to(target)
    return workspace.predict(workspace.inputs)


def not_files(workspace: Workspace) -> list[str]:
    (workspace.inputs / "dangling.jpg").symlink_to("nowhere")
    (workspace.inputs / "folder.jpg").mkdir()
    os.mkfifo(workspace.inputs / "pipe.jpg")
    (workspace.inputs / "zero.jpg").symlink_to("/dev/zero")
    here = Path.cwd()
    os.chdir(workspace.inputs)  # a socket's address has about a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket.jpg")
    finally:
        os.chdir(here)
    workspace.good()
    return workspace.predict(workspace.inputs)


NOT_FILES = ("dangling.jpg", "folder.jpg", "pipe.jpg", "zero.jpg", "socket.jpg")
HIDDEN = ("._a.jpg", ".hidden.jpg", "__MACOSX/b.jpg", "Thumbs.db", ".DS_Store")
ODD = (
    "a b.jpg",
    'it\'s "quoted".jpg',
    "two\nlines.jpg",
    "tab\t.jpg",
    "carriage\rreturn.jpg",
    "emoji \U0001f993.jpg",
    "\u0641\u064a\u0644.jpg",
    "gpj.\u202eexe.jpg",
    "100%.jpg",
    "a#b.jpg",
    "\x1b[31mred\x1b[0m.jpg",
    "bell\x07.jpg",
    "back\\slash.jpg",
    " leading and trailing .jpg",
    "=cmd|' A0'.jpg",
    "x" * 251 + ".jpg",
)
MARKUP = ("a[/bold].jpg", "[red].jpg", "[a].jpg", ":dog:.jpg")
NFC, NFD = (unicodedata.normalize(form, "café.png") for form in ("NFC", "NFD"))


def dashed(workspace: Workspace) -> list[str]:
    workspace.good("-x.jpg")
    return [*workspace.predict(), "--", "-x.jpg"]


def shown_literally(workspace: Workspace, run: Run) -> None:
    """Assert that the printed table shows each name literally, and that every output format accepts the names."""
    printed = workspace.run(["predict", str(workspace.inputs), "--format", "table"])
    assert printed.code == 0
    for name in MARKUP:
        assert name in printed.stdout
    for form in ("json", "html", "jsonl", "parquet"):
        assert (
            workspace.run(["predict", str(workspace.inputs), "-o", f"{workspace.root}/answers.{form}", "-q"]).code == 0
        )


def listing(*parts: str, null: bool = False) -> Callable[[Workspace], list[str]]:
    """Write good.png, other.png and a list of `parts`, in which {} is the folder."""

    def make(workspace: Workspace) -> list[str]:
        workspace.good()
        workspace.good("other.png", seed=1)
        text = "".join(parts).replace("{}", str(workspace.inputs))
        (workspace.root / "list").write_bytes(text.encode())
        return [*workspace.predict("-"), *(["--null"] if null else [])]

    return make


def from_list(workspace: Workspace) -> Process:
    return Process(streams=(str(workspace.root / "list"), "", ""))


def stdin(
    case: str, make: Callable[[Workspace], list[str]], rows: Mapping[str, str] | None, *says: str, code: int = 0
) -> Fault:
    return Fault(44, case, make, code, rows, says, process=from_list)


def from_keyboard(workspace: Workspace) -> Process:
    _, workspace.keyboard = os.openpty()
    return Process(streams=(os.ttyname(workspace.keyboard), "", ""))


BOTH = {"good.png": "ok", "other.png": "ok"}
FAULTS: Sequence[Fault] = (
    Fault(31, "the only path does not exist", missing, 2, says=("none.jpg: no such file or folder",)),
    Fault(31, "one of two paths does not exist", missing_beside, 3, {"none.jpg": "not_found", "good.png": "ok"}),
    Fault(32, "an empty folder", folder_of(), 1, says=("no photo found", "JPEG, PNG", ".jpeg")),
    Fault(32, "a folder without photos", folder_of("a.txt", "b.mp4"), 1, says=("no photo found",)),
    Fault(
        33,
        "10,000 files 50 folders deep",
        very_many,
        1,
        {f"{DEEP}/{number // 1000}/{number}.jpg": "empty_file" for number in range(MANY)},
        then=no_more_memory_than_a_few,
    ),
    Fault(34, "circular links", loops, 3, {"a/b/photo.png": "ok", "x.jpg": "not_a_file"}),
    Fault(
        35,
        "dangling link, folder, pipe, socket and device",
        not_files,
        3,
        {**dict.fromkeys(NOT_FILES, "not_a_file"), "good.png": "ok"},
    ),
    found(36, "hidden files in a folder", *HIDDEN, "good.png", only=["good.png"]),
    found(36, "hidden files given by name", *HIDDEN, given=HIDDEN),
    found(37, "suffixes in any case", "a.JPG", "b.Jpeg", "none", only=["a.JPG", "b.Jpeg"]),
    found(37, "no suffix, given by name", "none", given=["none"]),
    found(38, "odd names", *ODD),
    found(38, "odd names given by name", *ODD, given=ODD),
    Fault(38, "a leading dash", dashed, 0, {"-x.jpg": "ok"}, process=Process(inside=True)),
    Fault(39, "names that look like markup", tree(*MARKUP), 0, dict.fromkeys(MARKUP, "ok"), then=shown_literally),
    found(40, "a name that is not UTF-8", b"caf\xe9.jpg", "a literal \\udce9.jpg"),
    found(41, "one name in two normal forms of Unicode", NFC, NFD),
    found(42, "the same name in two folders", "a/x.jpg", "b/x.jpg"),
    Fault(
        43,
        "a pattern without a match",
        lambda workspace: workspace.predict(workspace.inputs / "*.jpg"),
        2,
        says=("quote",),
    ),
    stdin("an empty list", listing(), None, "no photo found", code=1),
    stdin("blank lines", listing("\n\n{}/good.png\n  \n{}/other.png\n\n"), BOTH),
    stdin("CRLF", listing("{}/good.png\r\n{}/other.png\r\n"), BOTH),
    stdin("no final newline", listing("{}/good.png\n{}/other.png"), BOTH),
    stdin("a byte-order mark", listing("\ufeff{}/good.png\n{}/other.png\n"), BOTH),
    stdin("NUL", listing("{}/good.png\0{}/other.png\0", null=True), BOTH),
    stdin("NUL that was not announced", listing("{}/good.png\0{}/other.png\0"), None, "NUL", code=2),
    stdin(
        "one bad path of three",
        listing("{}/good.png\n{}/none.png\n{}/other.png\n"),
        {**BOTH, "none.png": "not_found"},
        code=3,
    ),
    Fault(
        44, "the keyboard", lambda workspace: workspace.predict("-"), 2, says=(TERMINAL, "Pipe"), process=from_keyboard
    ),
    Fault(
        44,
        "closed standard input",
        lambda workspace: workspace.predict("-"),
        2,
        says=("Standard input is closed",),
        process=Process(streams=(None, "", "")),
    ),
)
