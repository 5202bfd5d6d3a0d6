"""Class tables: valid ones are read in every format, and each error has its position and message."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revcd_cli.data.classes.attributes import ClassAttributes, align, class_key, read_attribute_csv
from revcd_cli.data.classes.table_findings import table_findings
from revcd_cli.errors import InputFileError

TABLE = "class,stripes,hooves\nzebra,0.9,1\nokapi,0.5,1\n"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "attrs.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(values: list[list[float]], names: str = "abcdefgh") -> ClassAttributes:
    matrix = np.array(values, dtype=np.float32)
    attributes = tuple(f"attribute {column}" for column in range(matrix.shape[1]))
    return ClassAttributes(tuple(names[: len(matrix)]), attributes, matrix, "attrs.csv", "")


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        TABLE.encode("utf-8-sig"),  # 49
        TABLE.encode("utf-16"),  # 49
        TABLE.replace(",", ";"),  # 50
        TABLE.replace(",", "\t"),  # 50
        '"class";"stripes";"hooves"\n"zebra";"0.9";1\nokapi;0.5;1',  # 50
        TABLE.replace("\n", "\r\n"),  # 52
        TABLE.replace("\n", "\r"),  # 52
        TABLE.rstrip("\n"),  # 52
        TABLE.replace("\n", "  \n\n   \n").replace(",", " , "),  # 52
        '# a comment, with "a quote\n# another,"odd\n' + TABLE,  # 52
        TABLE.replace("class", "Class"),
        TABLE.replace("0.9", "+9e-1").replace("0.5", ".5").replace(",1\n", ",1.\n"),
    ],
)
def test_a_table_is_read_with_any_encoding_separator_and_line_ending(tmp_path, content):
    classes = read_attribute_csv(write(tmp_path, content))
    assert (classes.names, classes.attributes) == (("zebra", "okapi"), ("stripes", "hooves"))
    np.testing.assert_allclose(classes.values, [[0.9, 1], [0.5, 1]])
    assert classes.values.dtype == np.float32
    assert classes.filled == 0


def test_names_may_hold_separators_quotes_and_line_breaks_if_quoted(tmp_path):
    classes = read_attribute_csv(write(tmp_path, 'class,"a, b"\n"zebra, Grevy\'s",1\n"two\nlines # here",2\n"#3",3\n'))
    assert classes.attributes == ("a, b",)
    assert classes.names == ("zebra, Grevy's", "two\nlines # here", "#3")


def test_lines_are_counted_through_comments_and_quoted_line_breaks(tmp_path):
    path = write(tmp_path, '# one\nclass,a\n"two\nlines",1\n\nzebra,x\n')
    with pytest.raises(InputFileError) as fault:
        read_attribute_csv(path)
    assert (fault.value.line, fault.value.column) == (6, 2)


FAULTS = [  # fault number, content, line, column, text in the message
    (48, "", None, None, "is empty"),
    (48, "\n# nothing\n", None, None, "no header"),
    (48, "class,stripes\n", None, None, "no class below"),
    (48, "class\nzebra\n", 1, None, "one column only"),
    (48, b"PK\x03\x04rest", None, None, "spreadsheet"),
    (49, b"class,a\nzebra,1\ncaf\xe9,1\n", 3, None, "byte at offset 19 (0xe9)"),
    (49, b"\xef\xbb\xbfclass,a\ncaf\xe9,1\n", 2, None, "byte at offset 14 (0xe9)"),
    (49, "class,a\nzebra,1\n".encode("utf-16")[:-1], 2, None, "not UTF-16"),
    # The mark of UTF-8 before text in UTF-16: the offset counts all bytes of the file.
    (49, b"\xef\xbb\xbf" + "lass,a\nzebra,1\n".encode("utf-16-be"), 2, None, "not UTF-16"),
    (53, "class,a,b\nzebra,1\n", 2, 3, '"b" is missing'),
    (53, "class,a,b\nzebra,1,2,3\n", 2, 4, "too long"),
    (53, "class,a,b\nzebra,1,\n", 2, 3, '"b" of class "zebra" is empty'),
    (54, "class,a\nzebra,nan\n", 2, 2, "only finite numbers"),
    (54, "class,a\nzebra,-Inf\n", 2, 2, "only finite numbers"),
    (54, "class,a\nzebra,1e400\n", 2, 2, "too large"),
    (54, "class,a,b\nzebra,1,1e39\n", 2, 3, "too large"),
    (54, "class,a\nzebra,1_000\n", 2, 2, "not a plain number"),
    (54, "class,a\nzebra,0x1\n", 2, 2, "not a plain number"),
    (54, "class,a\nzebra,yes\n", 2, 2, 'is "yes"'),
    (54, "class,a\nzebra,1 2\n", 2, 2, "not a plain number"),
    (54, "class,a\nzebra,50 %\n", 2, 2, "percentage; write 0.5"),
    (54, "class,a\nzebra,١٢\n", 2, 2, "digits other than 0-9"),
    (55, "class,a\nzebra,1\nokapi,1\n Zebra ,1\n", 4, 1, "on line 2 and on line 4"),
    (55, "class,a\ngrizzly bear,1\ngrizzly_bear,1\n", 3, 1, "on line 2 and on line 3"),
    (55, "class,a\n  ,1\n", 2, 1, "name of the class is empty"),
    (56, "class,a,b, a\nzebra,1,1,1\n", 1, 4, 'columns 2 and 4 are both called "a"'),
    (56, "class,a,,b\nzebra,1,1,1\n", 1, 3, "name of this attribute is empty"),
    (59, "zebra,0.9,1\nokapi,0.5,1\n", 1, None, "a header"),
    (59, "name,a\nzebra,1\n", 1, 1, 'is called "name"; it must be called "class"'),
    (61, 'class,a\nzebra,1\n"okapi,2\nlion,3\n', 3, None, "quote"),
    (61, 'class,a\n"ze"bra,1\n', 2, None, "quote"),
    (62, "class,a\nzebra,1\nok\0api,1\n", 3, None, "NUL"),
    (62, "class,a\n" + "z" * 131_073 + ",1\n", 2, None, "131,072"),
    (51, 'class,a,b\nzebra,"0,5",1.5\n', 2, 2, "decimal comma; write 0.5: other cells have a decimal point"),
    (51, "class;a;b\nzebra;0.5;1\nokapi;1,5;2\n", 3, 2, "other cells have a decimal point"),
    (51, 'class,a\nzebra,"1,234"\n', 2, 2, "thousands or a decimal comma"),
    (51, "class;a\nzebra;1.234,5\n", 2, 2, "not a plain number"),
    (52, "class,a\nzebra,1\n# the end\n", 3, 2, "is missing"),
]


@pytest.mark.parametrize(
    ("content", "line", "column", "says"),
    [fault[1:] for fault in FAULTS],
    ids=[f"fault-{fault[0]}" for fault in FAULTS],
)
def test_an_invalid_table_is_refused_with_position_and_reason(tmp_path, content, line, column, says):
    path = write(tmp_path, content)
    with pytest.raises(InputFileError) as fault:
        read_attribute_csv(path)
    assert says in fault.value.message
    assert fault.value.message.startswith(
        ":".join(str(part) for part in (path, line, column) if part is not None) + ": "
    )
    assert fault.value.exit_code == 4


@pytest.mark.parametrize(("name", "says"), [("absent.csv", "no such file"), (".", "is a folder")])
def test_a_missing_table_is_an_error_that_shows_an_example(tmp_path, name, says):
    with pytest.raises(InputFileError, match=says) as fault:
        read_attribute_csv(tmp_path / name)
    assert "class,stripes,hooves" in fault.value.hint


def test_a_file_that_is_too_large_for_a_table_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "attrs.csv"
    with path.open("wb") as stream:
        stream.truncate(1 << 30)  # sparse: it takes no room
    with pytest.raises(InputFileError, match="1,024 MB"):
        read_attribute_csv(path)


def test_empty_cells_get_the_mean_of_the_other_classes_on_request(tmp_path):
    classes = read_attribute_csv(write(tmp_path, "class,a,b\nx,,1\ny,2,\nz,4,3\n"), missing="mean")
    np.testing.assert_array_equal(classes.values, [[3, 1], [2, 2], [4, 3]])
    assert classes.filled == 2


def test_a_column_without_any_value_has_no_mean_to_fill_in(tmp_path):
    with pytest.raises(InputFileError, match='no class has a value of attribute "b"') as fault:
        read_attribute_csv(write(tmp_path, "class,a,b\nx,1,\ny,2,\n"), missing="mean")
    assert fault.value.column == 3


def test_an_invalid_cell_is_not_filled_in(tmp_path):
    with pytest.raises(InputFileError, match='is "n/a"'):
        read_attribute_csv(write(tmp_path, "class,a\nx,1\ny,n/a\n"), missing="mean")


def test_many_classes_are_read(tmp_path):
    rows = "".join(f"class {number},{number % 7},{number % 11}.5,-1\n" for number in range(50_000))
    classes = read_attribute_csv(write(tmp_path, "class,a,b,c\n" + rows))
    assert classes.values.shape == (50_000, 3)
    assert classes.index("Class_49999") == 49_999
    np.testing.assert_array_equal(classes.values[-1], [49_999 % 7, 49_999 % 11 + 0.5, -1])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8), st.floats(width=32)),
        min_size=1,
        max_size=5,
    )
)
def test_output_of_the_csv_module_is_read_back_unchanged_or_refused(tmp_path_factory, rows):
    stream = io.StringIO()
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("class", "a"), *rows])
    path = tmp_path_factory.mktemp("tables") / "attrs.csv"
    path.write_text(stream.getvalue(), encoding="utf-8", newline="")
    keys = [class_key(name) for name, _ in rows]
    good = (
        len(set(keys)) == len(rows)
        and all(name.strip() for name, _ in rows)
        and np.isfinite([v for _, v in rows]).all()
    )
    if good:
        classes = read_attribute_csv(path)
        assert list(classes.names) == [name.strip() for name, _ in rows]
        np.testing.assert_array_equal(classes.values[:, 0], np.array([value for _, value in rows], dtype=np.float32))
    else:
        with pytest.raises(InputFileError):
            read_attribute_csv(path)


@pytest.mark.parametrize("name", ["Grizzly Bear", "GRIZZLY BEAR", " grizzly_bear ", "grizzly  bear"])
def test_spellings_of_one_class_have_one_key(name):
    assert class_key(name) == "grizzly bear"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HER2+", "HER2"),
        ("C++", "C"),
        ("C#", "C"),
        ("A-B", "A B"),
        ("A/B", "A B"),
        ("type 1*", "type 1"),
        ("Na+", "Na-"),
    ],
)
def test_names_that_differ_by_a_mark_are_two_classes(tmp_path, one, other):
    classes = read_attribute_csv(write(tmp_path, f"class,a\n{one},1\n{other},2\n"))
    assert classes.names == (one, other)
    assert (classes.index(one), classes.index(other.lower())) == (0, 1)


def test_a_plus_between_words_is_looked_up_as_a_space():
    classes = ClassAttributes(("grizzly bear", "A+B"), ("a",), np.zeros((2, 1), np.float32), "attrs.csv", "")
    assert [classes.index(name) for name in ("grizzly+bear", "Grizzly_Bear", "a+b")] == [0, 0, 1]
    with pytest.raises(InputFileError, match='no class "a b"'):
        classes.index("a b")


def test_the_key_keeps_a_number_before_the_name():
    assert class_key("002.Laysan_Albatross") == "002.laysan albatross"


def test_selecting_classes_keeps_their_values():
    classes = table([[1, 2], [3, 4], [5, 6]])
    chosen = classes.select(["C", "a"])
    assert chosen.names == ("c", "a")
    np.testing.assert_array_equal(chosen.values, [[5, 6], [1, 2]])


def test_an_unknown_class_is_an_error_that_names_the_nearest_class():
    classes = ClassAttributes(("okapi", "zebra"), ("a",), np.zeros((2, 1), np.float32), "attrs.csv", "")
    with pytest.raises(InputFileError, match=r'no class "okapy".*did you mean "okapi"'):
        classes.index("okapy")


def test_columns_are_found_by_name_in_any_order(tmp_path):  # 57
    direct = read_attribute_csv(write(tmp_path, "class,a,b,c\nx,1,2,3\n"))
    permuted = read_attribute_csv(write(tmp_path, "class,c,a,b\nx,3,1,2\n"))
    np.testing.assert_array_equal(align(permuted, direct.attributes).values, direct.values)
    assert align(permuted, direct.attributes).attributes == direct.attributes


def test_a_missing_attribute_is_an_error_that_names_the_nearest_column(tmp_path):  # 58
    classes = read_attribute_csv(write(tmp_path, "class,stripe,hooves\nx,1,2\n"))
    with pytest.raises(InputFileError, match=r'lacks 1 of .* "stripes" \(did you mean "stripe"\?\)'):
        align(classes, ["stripes", "hooves"])


def test_attributes_unknown_to_the_model_are_an_error_that_asks_to_remove_them(tmp_path):  # 58
    classes = read_attribute_csv(write(tmp_path, "class,a,b,c\nx,1,2,3\n"))
    with pytest.raises(InputFileError, match='does not know: "b", "c"') as fault:
        align(classes, ["a"])
    assert "Remove" in fault.value.hint


def test_an_equal_number_of_other_attributes_is_refused_and_ten_are_listed():  # 60
    with pytest.raises(InputFileError, match=r"lacks 12 of the model's 12 .* and 2 more"):
        align(table([[0.0] * 12]), [f"other {column}" for column in range(12)])


def test_a_regular_table_has_no_findings():
    assert table_findings(table([[0.9, 1], [0.5, 1]])) == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([[0, 0], [1, 2]], 'are 0 for "a"'),  # 63
        ([[1, 2], [3, 3]], 'the same value for "b"'),  # 63
        ([[1, 2], [3, 4], [1, 2]], '"a", "c" have equal descriptions'),  # 63
        ([[1, 2]], "one class"),  # 65
    ],
)
def test_unusual_tables_have_a_warning(values, says):
    (finding,) = table_findings(table(values))
    assert finding.rank == "warning" and says in finding.text


def test_a_class_described_differently_than_in_the_model_has_a_warning():  # 67
    known = table([[0.1, 0.9], [0.8, 0.2]])
    (finding,) = table_findings(table([[0.1, 0.9], [0.7, 0.3]]), known)
    assert finding.rank == "warning" and finding.text.startswith('"b": described differently')


def test_the_real_animals_table_is_read(shared_data):
    path = shared_data / "animals" / "attributes.csv"
    with pytest.raises(InputFileError) as fault:
        read_attribute_csv(path)
    assert (fault.value.line, fault.value.column) == (2, 2)
    classes = read_attribute_csv(path, missing="mean")
    assert (classes.values.shape, classes.filled) == ((50, 85), 4)
    assert classes.values[0, 0] == pytest.approx(classes.values[1:, 0].mean(), rel=1e-5)
