"""Faults 118 to 124, 127, 132 and 134: datasets and lists that would give wrong answers without a word."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.makers.pictures import encoded

from ..runner import ROOT, Fault, Process, Run, Workspace
from ..shapes_model import SETTINGS, shapes
from .class_tables import text

Change = Callable[[Path], object]


def checked(change: Change, command: str = "check") -> Callable[[Workspace], list[str]]:
    """Return a function that changes a copy of the shapes, and gives the copy to `data check` or `train --dry-run`."""

    def make(workspace: Workspace) -> list[str]:
        folder = shapes().copy(workspace)
        change(folder)
        return (
            ["data", "check", str(folder)] if command == "check" else ["train", "--dataset", str(folder), "--dry-run"]
        )

    return make


def both(number: int, case: str, change: Change, *says: str, check: int = 0, train: int = 0) -> list[Fault]:
    """Return the cases of a change that `data check` and `train` report with the same words."""
    return [
        Fault(number, f"{case}, checked", checked(change), check, says=says),
        Fault(number, f"{case}, trained", checked(change, "train"), train, says=says),
    ]


def list_edit(edit: Callable[[str], str]) -> Change:
    def change(folder: Path) -> None:
        path = folder / "images.csv"
        path.write_text(edit(path.read_text("utf-8")), "utf-8")

    return change


def table_edit(edit: Callable[[list[list[str]]], object]) -> Change:
    def change(folder: Path) -> None:
        path = folder / "attributes.csv"
        rows = [line.split(",") for line in path.read_text("utf-8").splitlines()]
        edit(rows)
        path.write_text(text(rows), "utf-8")

    return change


def add_column(values: Callable[[int], float]) -> Change:
    def edit(rows: list[list[str]]) -> None:
        rows[0].append("more")
        for number, row in enumerate(rows[1:]):
            row.append(f"{values(number):g}")

    return table_edit(edit)


def renamed_on_disk(rename: Callable[[str], str], listed: Callable[[str], str] = str) -> Change:
    """Rename the photos of the class "red" on the disk and in the list."""

    def change(folder: Path) -> None:
        for path in sorted((folder / "red").iterdir()):
            path.rename(path.with_name(rename(path.name)))
        list_edit(lambda lines: "\n".join(_line(line, listed) for line in lines.splitlines()))(folder)

    return change


def _line(line: str, listed: Callable[[str], str]) -> str:
    path, _, rest = line.partition(",")
    return f"{listed(path)},{rest}" if path.startswith("red/") else line


def accented(form: str) -> Callable[[str], str]:
    return lambda path: unicodedata.normalize(form, path.replace("png", "é.png").replace("/", "/ü"))


def remove(*patterns: str) -> Change:
    return lambda folder: [path.unlink() for pattern in patterns for path in folder.glob(pattern)]


def spoil(*patterns: str) -> Change:
    return lambda folder: [path.write_bytes(b"no photo") for pattern in patterns for path in folder.glob(pattern)]


def copy_to(source: str, *targets: str, listed: str = "") -> Change:
    """Copy a photo, and list the copies with this class and part."""

    def change(folder: Path) -> None:
        for target in targets:
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / source, folder / target)
        if listed:
            list_edit(lambda lines: "\n".join([lines, *(f"{target},{listed}" for target in targets)]))(folder)

    return change


def near_copy(folder: Path) -> None:
    photo = Image.open(ROOT / "examples" / "raccoon.jpg")
    photo.save(folder / "dotted" / "7.png")  # in test_seen
    photo.resize((120, 90)).save(folder / "dotted" / "small.jpg")
    list_edit(lambda lines: f"{lines}\ndotted/small.jpg,dotted,trainval")(folder)


def unreadable_class(workspace: Workspace) -> list[str]:
    folder = shapes().copy(workspace)
    spoil("red/*.png")(folder)
    output = str(workspace.outputs / "m.safetensors")
    return ["train", "--dataset", str(folder), *shapes().backbone, *SETTINGS, "-o", output]


def stated(*moves: tuple[str, str], drop: Sequence[str] = ()) -> Change:
    """Move photos into folders that state a split, without a list. moves: (folder of a class, new folder)."""

    def change(folder: Path) -> None:
        (folder / "images.csv").unlink()
        for name in drop:
            shutil.rmtree(folder / name)
        for source, target in moves:
            (folder / target).mkdir(parents=True)
            for path in sorted((folder / source).iterdir())[:4]:
                path.rename(folder / target / path.name)
        for source, _ in moves:
            if (folder / source).is_dir() and not any((folder / source).iterdir()):
                (folder / source).rmdir()

    return change


SPLIT = [(name, f"{part}/{name}") for name in ("red", "green") for part in ("train", "test")]


PER_CLASS = [(name, f"all/{name}/{part}") for name in ("red", "green") for part in ("training", "validation")]


REST = ("striped", "dotted", "blue")


def trained_twice(between: Change) -> Callable[[Workspace, Sequence[str], Process], Run]:
    """Return a driver that runs the command, changes photos, and runs it again."""

    def drive(workspace: Workspace, arguments: Sequence[str], process: Process) -> Run:
        first = workspace.run(arguments, process)
        assert first.code == 0, first.output
        between(workspace.inputs / "shapes")
        return workspace.run([*arguments, "--overwrite"], process)

    return drive


def bitmaps(workspace: Workspace) -> list[str]:
    """Write two photos of equal size and time, and return the arguments that train on them."""
    folder = shapes().copy(workspace)
    for number in (0, 1):
        noise = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        path = folder / "red" / f"{number}.png"
        path.write_bytes(encoded(Image.fromarray(noise), "BMP"))
        os.utime(path, ns=(0, 1_000_000_000))
    output = str(workspace.outputs / "m.safetensors")
    return ["train", "--dataset", str(folder), *shapes().backbone, *SETTINGS, "-o", output]


def swap(folder: Path) -> None:
    one, two = folder / "red" / "0.png", folder / "red" / "1.png"
    one.rename(folder / "red" / "x")
    two.rename(one)
    (folder / "red" / "x").rename(two)


def exchange(folder: Path) -> None:
    one, two = folder / "red" / "0.png", folder / "red" / "1.png"
    contents = two.read_bytes(), one.read_bytes()
    for path, data in zip((one, two), contents, strict=True):
        path.write_bytes(data)
        os.utime(path, ns=(0, 1_000_000_000))


def touch(folder: Path) -> None:
    (folder / "red" / "0.png").chmod(0o640)


def extracted_anew(workspace: Workspace, run: Run) -> None:
    assert "are cached" not in run.output and "have changed" in run.output


def two_at_once(workspace: Workspace, arguments: Sequence[str], process: Process) -> Run:
    other = [*arguments[:-1], str(workspace.outputs / "other.safetensors")]
    one, two = workspace.start(arguments, process), workspace.start(other, process)
    first, second = workspace.finish(one), workspace.finish(two)
    assert first.code == 0, first.output
    return second


def plain_training(workspace: Workspace) -> list[str]:
    output = str(workspace.outputs / "m.safetensors")
    return ["train", "--dataset", str(shapes().copy(workspace)), *shapes().backbone, *SETTINGS, "-o", output]


def changed_table(edit: Callable[[list[list[str]]], object]) -> Callable[[Workspace], list[str]]:
    def make(workspace: Workspace) -> list[str]:
        folder = shapes().copy(workspace)
        table_edit(edit)(folder)
        return [
            *("evaluate", "--dataset", str(folder), "--features", str(shapes().features)),
            *("--model", str(shapes().model)),
        ]

    return make


def other_row(rows: list[list[str]]) -> None:
    rows[1][1:] = rows[1][:0:-1]


def thousandth(rows: list[list[str]]) -> None:
    rows[2][1:] = [f"{float(value) / 1000:g}" for value in rows[2][1:]]


FAULTS: Sequence[Fault] = (
    *both(118, "running numbers", add_column(lambda k: k + 1), "running numbers", check=4),
    *both(118, "grams beside shares", add_column(lambda k: 1000.0 * 3**k), "on another scale", check=4),
    *both(118, "years beside shares", add_column(lambda k: 1900 + 7 * k * k % 90), "on another scale", check=4),
    *both(
        119, "list NFD, disk NFC", renamed_on_disk(lambda n: accented("NFC")(f"/{n}")[1:], accented("NFD")), "spelling"
    ),
    *both(
        119, "list NFC, disk NFD", renamed_on_disk(lambda n: accented("NFD")(f"/{n}")[1:], accented("NFC")), "spelling"
    ),
    *both(119, "backslashes", list_edit(lambda lines: lines.replace("/", "\\")), "40 photos have another spelling"),
    *both(119, "other case", renamed_on_disk(str.upper), "8 photos have another spelling"),
    *both(120, "a class missing", remove("red/*.png"), 'all 6 photos of "red" in trainval', check=4, train=4),
    *both(120, "an unseen class missing", remove("blue/*.png"), "all 8 photos of test_unseen", check=4, train=4),
    *both(120, "one photo missing", remove("red/0.png"), "1 of 40 photos", "red/0.png"),
    Fault(
        120, "a class unreadable", unreadable_class, 4, says=('all 6 photos of "red" in trainval', "unsupported_format")
    ),
    *both(121, "new photos", copy_to("red/0.png", *(f"red/n{k}.png" for k in range(3))), "3 photos", "data update"),
    *both(121, "a new class", copy_to("red/0.png", "yak/0.png"), "no class of attributes.csv (yak)"),
    *both(121, "one of each", copy_to("red/0.png", "yak/0.png", "red/n.png"), "2 photos", "data update"),
    *both(122, "Synology", copy_to("red/0.png", "red/@eaDir/0.png/SYNOPHOTO_THUMB_XL.jpg"), "@eaDir"),
    *both(122, "a waste bin", copy_to("red/0.png", "#recycle/red/0.png", "$RECYCLE.BIN/1.png"), "#recycle", "$RECYCLE"),
    *both(
        122, "listed thumbnails", copy_to("red/0.png", "@eaDir/0.jpg", listed="red,trainval"), "storage systems make"
    ),
    Fault(123, "in two parts", checked(copy_to("red/7.png", "red/x.png", listed="red,trainval")), 4, says=("leak",)),
    Fault(
        123, "in two classes", checked(copy_to("red/0.png", "green/x.png", listed="green,trainval")), 4, says=("class",)
    ),
    Fault(123, "in one part", checked(copy_to("red/0.png", "red/x.png", listed="red,trainval")), says=("same bytes",)),
    Fault(123, "a smaller copy in another part", checked(near_copy), says=("look the same", "dotted/small.jpg")),
    *both(124, "train and test", stated(*SPLIT, drop=REST), "8 photos train, 8 test seen"),
    *both(124, "a part in each class", stated(*PER_CLASS, drop=REST), "16 photos train (8 of them"),
    *both(124, "some photos only", stated(("red", "train/red")), "state a split", check=4, train=4),
    *(
        Fault(
            *(127, case, bitmaps, 0),
            drive=trained_twice(between),
            then=then,
            says=says,
            leaves=("m.*",),
            changes=("shapes/red/0.png", "shapes/red/1.png"),
        )
        for case, between, then, says in (
            ("renamed", swap, extracted_anew, ()),
            ("written in place", exchange, extracted_anew, ()),
            ("only touched", touch, None, ("comparing their bytes", "are cached")),
        )
    ),
    Fault(132, "another row", changed_table(other_row), says=("described differently",)),
    Fault(132, "a row on another scale", changed_table(thousandth), 4, says=("on another scale",)),
    Fault(
        *(134, "a cache that cannot be written", plain_training),
        says=("cannot be written", "not kept"),
        leaves=("m.*",),
        process=Process(environment={"XDG_CACHE_HOME": "/proc/none", "HOME": "/proc/none"}),
    ),
    Fault(134, "two runs at once", plain_training, drive=two_at_once, leaves=("m.*", "other.*")),
)
