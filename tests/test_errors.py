"""Error messages: limited length, and lists that count what they leave out."""

from __future__ import annotations

import pytest

from revcd_cli.errors import InputFileError, RevcdError, brief, did_you_mean, listed, shortened


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        (["a", "b", "c"], "a, b and 1 more"),
        (["x"] * 1234, "x, x and 1,232 more"),
    ],
)
def test_a_list_names_the_first_and_counts_the_rest(names, expected):
    assert listed(names, 2) == expected


def test_a_partial_list_counts_the_rest_of_all_items():
    assert listed(["a", "b"], 2, total=5) == "a, b and 3 more"
    assert listed(["a", "b"], 2, separator="; ") == "a; b"


def test_a_message_stays_short_for_any_quoted_text():
    error = RevcdError("x" * 10_000, hint="y" * 10_000)
    assert len(error.message) <= 2000 and len(error.hint or "") <= 2000
    assert shortened("abc", 3) == "abc"


def test_the_position_of_an_error_is_written_as_file_line_and_column():
    assert InputFileError("a.csv", "is wrong.", line=3, column=2).message == "a.csv:3:2: is wrong."
    assert InputFileError("a.csv", "is wrong.").message == "a.csv: is wrong."


@pytest.mark.parametrize(("text", "expected"), [("\n one. \ntwo", "one"), ("", "ValueError")])
def test_the_message_of_a_library_error_is_one_line(text, expected):
    assert brief(ValueError(text)) == expected


def test_the_nearest_name_is_suggested_if_it_is_close():
    assert did_you_mean("Zbra", ["zebra", "okapi"]) == ' (did you mean "zebra"?)'
    assert did_you_mean("whale", ["zebra", "okapi"]) == ""
