"""The console: results on stdout, messages on stderr, literal text, and options for quiet and verbose output."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from revcd_cli.cli.options import expand, expand_short, parse_batch_size
from revcd_cli.cli.terminal import console, streams
from revcd_cli.errors import InputFileError


@pytest.fixture(autouse=True)
def default_settings():
    streams.configure()
    yield
    streams.configure()


def test_nothing_but_results_goes_to_stdout(capsys: pytest.CaptureFixture[str]):
    streams.configure(verbosity=1)
    console.note("a note")
    console.detail("a detail")
    console.warn("a warning")
    console.fail(InputFileError("a.csv", "is empty.", line=3, hint="Fill it."))
    console.result("a result")
    printed = capsys.readouterr()
    assert printed.out == "a result\n"
    assert printed.err == "a note\na detail\nwarning: a warning\nerror: a.csv:3: is empty.\nhint: Fill it.\n"


def test_quiet_leaves_results_and_errors(capsys: pytest.CaptureFixture[str]):
    streams.configure(quiet=True, verbosity=1)
    console.note("a note")
    console.detail("a detail")
    console.warn("a warning")
    console.fail("an error")
    console.result("a result")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("a result\n", "error: an error\n")


def test_details_are_printed_only_on_request(capsys: pytest.CaptureFixture[str]):
    console.detail("a detail")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[red] fox[/red] :dog: **", "[red] fox[/red] :dog: **"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("photo\u202egpj.exe", "photo\\u202egpj.exe"),
        ("caf\udce9", "caf\\udce9"),
        ("斑马 🦓 👨‍👩‍👧", "斑马 🦓 👨‍👩‍👧"),
    ],
)
def test_text_is_shown_literally_without_escape_sequences(text: str, shown: str, capsys: pytest.CaptureFixture[str]):
    console.note(text)
    console.warn(text)
    console.result(text)
    printed = capsys.readouterr()
    assert printed.out == f"{shown}\n"
    assert printed.err == f"{shown}\nwarning: {shown}\n"


def test_a_message_is_not_cut_to_the_width_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("COLUMNS", "20")
    streams.configure()
    console.note("a " * 40 + "/a/path/that/is/longer/than/twenty.csv")
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("no_color", "colored"), [(False, True), (True, False)])
def test_no_color_disables_escape_sequences_for_colours(
    no_color: bool, colored: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    streams.configure(no_color=no_color)
    console.fail("an error")
    assert ("\x1b[1;31m" in capsys.readouterr().err) is colored


def test_a_table_in_a_pipe_is_tab_separated_with_a_header(capsys: pytest.CaptureFixture[str]):
    console.result_table(("name", "n"), [("a\tb", "1"), ("[c]", "2")], right=("n",))
    assert capsys.readouterr().out == "name\tn\na\\tb\t1\n[c]\t2\n"


def test_pairs_are_aligned_and_long_values_stay_in_their_column(capsys: pytest.CaptureFixture[str]):
    console.result_pairs([("name", "first\nsecond"), ("n", 3)])
    assert capsys.readouterr().out == "name  first\n      second\nn     3\n"


def test_json_results_refuse_nan():
    with pytest.raises(ValueError):
        console.result_json({"score": float("nan")})


def test_a_tilde_after_an_equals_sign_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert expand(Path("~/x.csv")) == tmp_path / "x.csv"
    assert expand_short(Path("=~/x.csv")) == tmp_path / "x.csv"
    assert expand(None) is expand_short(None) is None


@pytest.mark.parametrize(("text", "size"), [("auto", None), ("1", 1), ("64", 64)])
def test_a_batch_size_is_a_number_or_auto(text: str, size: int | None):
    assert parse_batch_size(text) == size


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "", "²", "٣"])
def test_any_other_batch_size_is_a_usage_error(text: str):
    with pytest.raises(typer.BadParameter):
        parse_batch_size(text)
