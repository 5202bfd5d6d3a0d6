"""Faults 117, 125, 126, 128 to 131 and 133: photos, tables and paths that would give wrong answers without a word."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.makers.pictures import JPEG, encoded

from ..runner import Fault, Run, Workspace
from ..shapes_model import shapes
from .class_tables import own_table, text


def wide(bits: int) -> bytes:
    ramp = np.tile(np.arange(256, dtype=np.uint32), (64, 1)) * (2**bits - 1) // 255
    return encoded(Image.fromarray(ramp.astype(np.uint16)))


def given_wide(bits: int) -> Callable[[Workspace], list[str]]:
    return lambda workspace: workspace.predict(workspace.write("wide.png", wide(bits)))


def as_eight_bits(workspace: Workspace, run: Run) -> None:
    """Assert that the answer is that of the same ramp with 8 bits."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    before = workspace.answers.read_text("utf-8").split(",", 1)[1].splitlines()
    (workspace.inputs / "wide.png").write_bytes(encoded(Image.fromarray(ramp)))
    assert workspace.run([*workspace.predict(workspace.inputs / "wide.png"), "--overwrite"]).code == 0
    after = workspace.answers.read_text("utf-8").split(",", 1)[1].splitlines()
    (workspace.inputs / "wide.png").write_bytes(wide(12))
    assert [line.split(",")[1:3] for line in before] == [line.split(",")[1:3] for line in after]


def failed_in_parquet(suffix: str) -> Callable[[Workspace], list[str]]:
    def make(workspace: Workspace) -> list[str]:
        workspace.write("photos/bad.jpg", JPEG[: len(JPEG) // 2])
        workspace.good("photos/good.png")
        return [
            "extract",
            f"{workspace.inputs}/photos",
            "-o",
            f"{workspace.outputs}/f{suffix}",
            "--backbone",
            "embedded",
        ]

    return make


def no_nulls(workspace: Workspace, run: Run) -> None:
    import pyarrow.parquet as pq

    for path in workspace.outputs.glob("*.parquet"):
        table = pq.read_table(path)
        assert all(column.null_count == 0 for column in table.columns)
        assert np.isnan(np.array(table["feature"].to_pylist())).all(axis=1).tolist() == [True, False]


def predicted_folder(*names: str, strict: bool = False) -> Callable[[Workspace], list[str]]:
    def make(workspace: Workspace) -> list[str]:
        workspace.good("photos/good.png")
        for name in names:
            if name.endswith(".curves.png"):
                shutil.copyfile(_plot(), workspace.write(f"photos/{name}", b""))
            else:
                workspace.write(f"photos/{name}", JPEG)
        return [*workspace.predict(workspace.inputs / "photos"), *(["--strict"] if strict else [])]

    return make


@functools.cache
def _plot() -> Path:
    return next(shapes().model.parent.glob("*.curves.png"))


def only_the_photo(number: int, case: str, *names: str, says: Sequence[str], strict: bool = False) -> Fault:
    rows = {"photos/good.png": "ok"}
    return Fault(number, case, predicted_folder(*names, strict=strict), 3 if strict else 0, rows, says)


def table_lines(change: Callable[[list[list[str]]], object], end: str = "\n", separator: str = ",") -> str:
    rows = [list(cells) for cells in own_table()]
    change(rows)
    return text(rows, separator, end)


def given_table(content: str | bytes) -> Callable[[Workspace], list[str]]:
    return lambda workspace: workspace.predict(workspace.good(), "--classes", workspace.write("table.csv", content))


def named_classes(*names: str, quoted: bool = False) -> str:
    def change(rows: list[list[str]]) -> None:
        rows[1:] = [[f'"{name}"' if quoted else name, *rows[1 + k][1:]] for k, name in enumerate(names)]

    return table_lines(change)


def answered_among(*names: str) -> Callable[[Workspace, Run], None]:
    """Assert that all these classes are candidates."""

    def then(workspace: Workspace, run: Run) -> None:
        assert f"{len(names)} classes" in run.stderr, run.stderr

    return then


SPREADSHEET = table_lines(lambda rows: None, "\r\n", ";")

FAULTS: Sequence[Fault] = (
    *(
        Fault(117, f"a photo that failed in {suffix}", failed_in_parquet(suffix), 3, then=no_nulls, leaves=("f.*",))
        for suffix in (".parquet", ".npz", ".mat")
    ),
    *(
        Fault(
            *(125, f"{bits} of 16 bits", given_wide(bits), 0),
            says=(f"use {bits} of 16 bits",),
            then=as_eight_bits if bits == 12 else None,
            leaves=("answers.csv",),
            changes=("wide.png",),
        )
        for bits in (10, 12, 14)
    ),
    *(
        Fault(
            *(
                126,
                f"classes that begin with #, {words}",
                given_table(named_classes("#1", "#2", "zebra", quoted=quoted)),
                0,
            ),
            then=answered_among("#1", "#2", "zebra"),
            leaves=("answers.csv",),
        )
        for words, quoted in (("quoted", True), ("not quoted", False))
    ),
    Fault(
        126, "a comment below the header", given_table(table_lines(lambda rows: None) + "# end\n"), 4, says=("above",)
    ),
    only_the_photo(128, "raw and other formats", "1.NEF", "2.NEF", "3.jxl", "4.zip", says=("4 files", "2 .NEF")),
    only_the_photo(128, "the same with --strict", "1.NEF", "2.jp2", says=("2 files",), strict=True),
    only_the_photo(129, "storage files", "@eaDir/a.jpg", "#recycle/b.jpg", "Thumbs.db", says=("@eaDir", "Thumbs.db")),
    only_the_photo(129, "learning curves of revcd", "m.curves.png", says=("revcd drew them: 1 PNG",)),
    *(
        Fault(130, case, given_table(content), 0, says=says, leaves=("answers.csv",))
        for case, content, says in (
            ("sep= and semicolons", f"sep=;\r\n{SPREADSHEET}", ()),
            ("decimal commas", SPREADSHEET.replace(".", ","), ("decimal commas",)),
            ("empty columns and rows", SPREADSHEET.replace("\r\n", ";;\r\n") + ";" * 90 + "\r\n", ("2 columns",)),
            ("UTF-16 without a mark", SPREADSHEET.encode("utf-16-le"), ("UTF-16",)),
        )
    ),
    *(
        Fault(131, case, lambda workspace, given=given: list(given), code, says=("is an address",))
        for case, given, code in (
            ("a photo", ("predict", "https://example.org/a.jpg"), 2),
            ("a photo with a query", ("predict", "https://example.org/a?b=1"), 2),
            ("a table", ("data", "check", "https://example.org/a.csv"), 4),
            ("a dataset", ("train", "--dataset", "s3://bucket/animals"), 2),
            ("a model", ("models", "show", "https://example.org/m.safetensors"), 1),
        )
    ),
    *(
        Fault(
            *(133, " and ".join(names), given_table(named_classes(*names)), 0),
            then=answered_among(*names),
            leaves=("answers.csv",),
        )
        for names in (("HER2+", "HER2"), ("C", "C++", "C#"), ("A-B", "A B"))
    ),
)
