"""Tables as spreadsheet programs write them are read like the plain table, and what was understood is noted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from revcd_cli.data.classes.attributes import read_attribute_csv
from revcd_cli.data.classes.csv_table import open_csv
from revcd_cli.errors import InputFileError

TABLE = "class,stripes,hooves\nzebra,0.9,1\nokapi,0.5,12\n"
COMMAS = TABLE.replace(",", ";").replace(".", ",")

FORMS = {
    "sep= line": ("sep=;\n" + TABLE.replace(",", ";"), ""),
    "sep= line, quoted, with CRLF": ('"sep=,"\r\n' + TABLE.replace("\n", "\r\n"), ""),
    "sep= line for a tab": ("SEP=\t\n" + TABLE.replace(",", "\t"), ""),
    "decimal commas": (COMMAS, "decimal commas: 0,9 is 0.9"),
    "decimal commas with tabs": (COMMAS.replace(";", "\t"), "decimal commas"),
    "quoted decimal commas": (TABLE.replace("0.9", '"0,9"').replace("0.5", '"0,5"'), "decimal commas"),
    "sep= and decimal commas": ("sep=;\r\n" + COMMAS.replace("\n", "\r\n"), "decimal commas"),
    "empty columns at the end": (TABLE.replace("\n", ",,\n"), "2 columns without names"),
    "an empty column below the header only": ("class,stripes,hooves\nzebra,0.9,1,\nokapi,0.5,12,,\n", ""),
    "empty rows at the end": (TABLE + ",,\n,,\n , ,\n", "3 rows without values"),
    "an empty row between": (TABLE.replace("okapi", ",,\nokapi"), "1 row without values"),
    "empty columns and rows": (TABLE.replace("\n", ",\n") + ",,,\n", "1 column without names"),
    "UTF-16 with a mark": (TABLE.encode("utf-16"), "UTF-16"),
    "UTF-16, little end first, without a mark": (TABLE.encode("utf-16-le"), "UTF-16"),
    "UTF-16, big end first, without a mark": (TABLE.encode("utf-16-be"), "UTF-16"),
    "Unicode text": (("\ufeff" + COMMAS.replace(";", "\t")).encode("utf-16-le"), "UTF-16"),
    "UTF-32": (TABLE.encode("utf-32"), "UTF-32"),
    "UTF-8 with a mark and sep=": ("\ufeffsep=;\n" + TABLE.replace(",", ";"), ""),
    "comments above the header": ("# made by hand\n\n# in March\n" + TABLE, "2 lines above the header"),
}


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(("content", "note"), FORMS.values(), ids=list(FORMS))
def test_a_table_is_read_as_the_spreadsheet_shows_it(tmp_path: Path, content: str | bytes, note: str):
    classes = read_attribute_csv(write(tmp_path, content))
    assert (classes.names, classes.attributes) == (("zebra", "okapi"), ("stripes", "hooves"))
    np.testing.assert_allclose(classes.values, [[0.9, 1], [0.5, 12]], rtol=1e-6)
    assert note in " ".join(classes.notes)
    assert bool(classes.notes) == bool(note)


def test_a_plain_table_has_no_notes(tmp_path: Path):
    assert read_attribute_csv(write(tmp_path, TABLE)).notes == ()


@pytest.mark.parametrize("quote", ["", '"'])
def test_names_that_begin_with_a_number_sign_are_rows_quoted_or_not(tmp_path: Path, quote: str):
    rows = "".join(f"{quote}#{number}{quote},{number},1\n" for number in range(7))
    classes = read_attribute_csv(write(tmp_path, TABLE + rows))
    assert classes.names[2:] == tuple(f"#{number}" for number in range(7))
    assert ("7 lines below the header that begin with #" in " ".join(classes.notes)) == (not quote)


def test_a_comment_below_the_header_is_refused_and_not_skipped(tmp_path: Path):
    with pytest.raises(InputFileError) as caught:
        read_attribute_csv(write(tmp_path, TABLE + "# the end\n"))
    assert caught.value.line == 4 and "only above the header" in caught.value.hint


def test_paths_that_begin_with_a_number_sign_are_photos(tmp_path: Path):
    table = open_csv(write(tmp_path, "path,class,split\n#1/a.jpg,zebra,trainval\n"), example="path")
    assert [cells[0] for _, cells in table.rows()] == ["#1/a.jpg"]


def test_a_value_behind_an_empty_header_is_refused(tmp_path: Path):
    with pytest.raises(InputFileError, match="too long"):
        read_attribute_csv(write(tmp_path, TABLE.replace("hooves\n", "hooves,\n").replace("0.9,1", "0.9,1,7")))
