"""Faults 1 to 17, 25 and 27 to 30: unreadable photos, each next to a valid photo, which is still predicted."""

from __future__ import annotations

import os
import random
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from revcd_cli.data.photos.images import pillow_heif
from tests.makers.pictures import BAD, HEIC, JPEG, PNG, ZIPPED_TIFF, encoded, photo

from ..runner import MEGABYTE, Fault, Process, Run, Unavailable, Workspace

HOOKS = "tests.faults.hooks"
NO_OPTION = "There is no --max-pixels: the fixed limits are what bounds the memory."


def case_of(
    number: int,
    case: str,
    data: bytes | Callable[[], bytes],
    reason: str,
    *says: str,
    name: str = "bad.jpg",
    then: Callable[[Workspace, Run], None] | None = None,
    differs: str = "",
) -> Fault:
    """Return the case of a file next to a valid photo: predicted if `reason` is "ok", else a row with the reason."""

    def make(workspace: Workspace) -> list[str]:
        content = data() if callable(data) else data
        return workspace.predict(workspace.write(name, content), workspace.good())

    rows = {name: reason, "good.png": "ok"}
    failed = () if reason == "ok" else (f"{name}: {reason}", "1 photo classified, 1 failed")
    return Fault(number, case, make, 0 if reason == "ok" else 3, rows, (*failed, *says), then, differs=differs)


def text_bomb() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "a" * 3_000_000, zip=True)
    return encoded(photo(), pnginfo=text)


def scan_noise(seed: int) -> bytes:
    """Return a JPEG with random bytes in its compressed scan."""
    chance, data = random.Random(seed), bytearray(JPEG)
    for _ in range(30):
        data[chance.randrange(len(data) // 2, len(data) - 2)] = chance.randrange(255)
    return bytes(data)


def noisy_tiffs(workspace: Workspace) -> list[str]:
    for seed in range(40):
        chance, data = random.Random(seed), bytearray(ZIPPED_TIFF)
        for _ in range(6):
            data[chance.randrange(len(data))] = chance.randrange(256)
        workspace.write(f"{seed}.tif", bytes(data))
    return ["extract", str(workspace.inputs), "-o", str(workspace.outputs / "f.npz"), "--backbone", "embedded"]


def only_own_messages(workspace: Workspace, run: Run) -> None:
    """Assert that libtiff's own messages on stderr are suppressed."""
    own = re.compile(r"backbone |warning: |\d+ photos|Next: ")
    others = [line for line in run.stderr.splitlines() if not own.match(line)]
    assert not others, others


def noisy_scans(workspace: Workspace) -> list[str]:
    return workspace.predict(*(workspace.write(f"{seed}.jpg", scan_noise(seed)) for seed in range(8)), "--overwrite")


def same_again(workspace: Workspace, run: Run) -> None:
    """Assert that the same command writes the same bytes and the same messages again."""
    before = workspace.answers.read_bytes()
    again = workspace.run(workspace.predict(*sorted(map(str, workspace.inputs.iterdir())), "--overwrite"))
    assert (again.code, workspace.answers.read_bytes(), again.stderr) == (run.code, before, run.stderr)


def little_memory(workspace: Workspace, run: Run) -> None:
    """Assert that the bad file needs no more memory than a small photo in its place."""
    usual = workspace.run(workspace.predict(workspace.good("a.png"), workspace.good("b.png"), "--overwrite"))
    for name in ("a.png", "b.png"):
        (workspace.inputs / name).unlink()
    assert run.memory < usual.memory + 200 * MEGABYTE


def given_postscript(workspace: Workspace) -> list[str]:
    """Write a PostScript program that creates a file if it is executed, under several names."""
    program = (
        f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({workspace.root}/executed) (w) file closefile\nshowpage\n"
    )
    documents = [workspace.write(name, program) for name in ("a.eps", "b.jpg")]
    documents += [workspace.write("c.pdf", b"%PDF-1.7\n" + bytes(60)), workspace.write("d.svg", "<svg/>")]
    return workspace.predict(*documents, workspace.good())


def not_executed(workspace: Workspace, run: Run) -> None:
    assert not (workspace.root / "executed").exists()


def heic(workspace: Workspace) -> list[str]:
    if pillow_heif is not None:
        raise Unavailable("pillow-heif is installed, so HEIC is read")
    return workspace.predict(workspace.write("bad.heic", HEIC), workspace.good())


def everything_bad(command: str) -> Callable[[Workspace], list[str]]:
    def make(workspace: Workspace) -> list[str]:
        for name, (data, _) in BAD.items():
            workspace.write(f"{name}.jpg", data)
        if command == "predict":
            return workspace.predict(workspace.inputs)
        return ["extract", str(workspace.inputs), "-o", str(workspace.outputs / "f.parquet"), "--backbone", "embedded"]

    return make


def every_row_of_features(workspace: Workspace, run: Run) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(workspace.outputs / "f.parquet").to_pylist()
    assert {Path(row["path"]).stem: row["reason"] for row in table} == {name: bad[1] for name, bad in BAD.items()}
    assert {row["status"] for row in table} == {"failed"}
    assert len(table) == len(BAD)


def two_photos(workspace: Workspace) -> list[str]:
    workspace.good("b.png")
    return workspace.predict(workspace.good("a.png"), workspace.inputs / "b.png")


def unreadable(workspace: Workspace) -> list[str]:
    path = workspace.good("secret.png")
    Path(path).chmod(0)
    return workspace.predict(path, workspace.good())


def growing(workspace: Workspace) -> list[str]:
    workspace.write("b.png", PNG[: len(PNG) // 2])
    return workspace.predict(workspace.good("a.png"), workspace.inputs / "b.png")


def strip(width: int, height: int) -> bytes:
    return encoded(Image.new("L", (width, height)))


def padded(data: bytes, megabytes: int) -> Callable[[Workspace], list[str]]:
    """Return a function that writes a photo followed by megabytes of zeros, as a sparse file."""

    def make(workspace: Workspace) -> list[str]:
        path = workspace.write("bad.jpg", data)
        os.truncate(path, len(data) + megabytes * MEGABYTE)
        return workspace.predict(path, workspace.good())

    return make


def metadata_of_50_megabytes() -> bytes:
    junk = np.random.default_rng(0).bytes(65_000)
    return JPEG[:2] + (b"\xff\xe5" + struct.pack(">H", len(junk) + 2) + junk) * 800 + JPEG[2:]


CONTENTS: Sequence[Fault] = (
    case_of(1, "zero bytes", *BAD["no-bytes"]),
    case_of(2, "one byte", *BAD["one-byte"]),
    case_of(2, "the first bytes of a JPEG", *BAD["jpeg-magic"]),
    case_of(3, "a text file", *BAD["text"], "a text file"),
    case_of(4, "a web page", *BAD["web-page"], "looks like a web page", name="bad.png"),
    case_of(5, "a Git LFS pointer", *BAD["lfs"], "git lfs pull"),
    case_of(6, "half a JPEG", *BAD["half-a-jpeg"]),
    case_of(7, "a JPEG without its last two bytes", *BAD["jpeg-without-its-end"]),
    case_of(8, "half a PNG", *BAD["half-a-png"], name="bad.png"),
    case_of(8, "damaged pixels in a PNG", *BAD["bad-idat"], name="bad.png"),
    case_of(8, "a PNG header with a wrong checksum", *BAD["bad-header-sum"], name="bad.png"),
    Fault(
        9,
        "random bytes in the scan of a JPEG",
        noisy_scans,
        3,
        {f"{seed}.jpg": "corrupt" if seed in (1, 5) else "ok" for seed in range(8)},
        then=same_again,
    ),
    Fault(
        9,
        "random bytes in compressed TIFFs",
        noisy_tiffs,
        3,
        says=("The file gives the reason for each",),
        then=only_own_messages,
        leaves=("f.npz",),
    ),
    case_of(10, "a PNG of 60,000 x 60,000", *BAD["giant-header"], name="bad.png", then=little_memory),
    case_of(
        11,
        "a PNG of 150 megapixels",
        *BAD["large-header"],
        name="bad.png",
        then=little_memory,
        differs=NO_OPTION,
    ),
    case_of(12, "a strip of 1 x 5000", *BAD["tall-strip"], name="bad.png", then=little_memory),
    case_of(12, "a strip of 20,000 x 2", *BAD["flat-strip"], name="bad.png", then=little_memory),
    case_of(13, "a single pixel", encoded(Image.new("RGB", (1, 1), (9, 8, 7))), "ok", name="bad.png"),
    case_of(14, "compressed text of 3 MB in 3 kB", text_bomb, "too_large", name="bad.png", then=little_memory),
    case_of(15, "a JPEG named .png", JPEG, "ok", name="bad.png"),
    case_of(15, "a PNG named .jpg", PNG, "ok"),
    case_of(15, "a JPEG named .HEIC", JPEG, "ok", name="bad.HEIC"),
    Fault(
        16, "HEIC without its reader", heic, 3, {"bad.heic": "unsupported_format", "good.png": "ok"}, ("pillow-heif",)
    ),
    Fault(
        17,
        "EPS, PDF and SVG",
        given_postscript,
        3,
        {**dict.fromkeys(("a.eps", "b.jpg", "c.pdf", "d.svg"), "unsupported_format"), "good.png": "ok"},
        ("PostScript document",),
        not_executed,
    ),
)

FILES: Sequence[Fault] = (
    Fault(25, "100 MB of zeros behind a JPEG", padded(JPEG, 100), 0, {"bad.jpg": "ok", "good.png": "ok"}),
    Fault(
        25,
        "300 MB of zeros behind a JPEG",
        padded(JPEG, 300),
        3,
        {"bad.jpg": "too_large", "good.png": "ok"},
        ("more than 256 MiB",),
        little_memory,
    ),
    case_of(25, "52 MB of metadata", metadata_of_50_megabytes, "ok"),
    Fault(
        27,
        "deleted between listing and reading",
        two_photos,
        3,
        {"a.png": "ok", "b.png": "vanished"},
        ("it was there when the photos were listed",),
        changes=("b.png",),
        process=Process(hook=(HOOKS, "delete_before_reading", "b.png")),
    ),
    Fault(
        28,
        "still being written, complete in the next run",
        growing,
        3,
        {"a.png": "ok", "b.png": "truncated"},
    ),
    Fault(
        28,
        "growing while it is read",
        two_photos,
        3,
        {"a.png": "ok", "b.png": "too_large"},
        changes=("b.png",),
        process=Process(hook=(HOOKS, "grow_before_reading", "b.png")),
    ),
    Fault(
        29,
        "no permission to read",
        unreadable,
        3,
        {"secret.png": "permission", "good.png": "ok"},
        ("no permission to read it",),
        process=Process(unprivileged=True),
    ),
    Fault(
        30,
        "all photos bad, predicted",
        everything_bad("predict"),
        1,
        {f"{name}.jpg": reason for name, (_, reason) in BAD.items()},
        (f"0 photos classified, {len(BAD)} failed",),
    ),
    Fault(
        30,
        "all photos bad, extracted",
        everything_bad("extract"),
        1,
        says=(f"0 photos extracted, {len(BAD)} failed",),
        then=every_row_of_features,
        leaves=("f.parquet",),
    ),
)
FAULTS = (*CONTENTS, *FILES)
