"""Output on a terminal: it fits the width, needs no colours, and is ASCII on an ASCII stream."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from revcd_cli.cli.terminal import charts, streams
from revcd_cli.cli.terminal.tables import fitted_table
from tests.makers.terminal import on_terminal, plain

pytestmark = pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal of POSIX")

COLUMNS = (40, 60, 80, 120)
COLOURS = re.compile(r"\x1b\[[0-9;]*3[1-7]m")  # those of text


@pytest.fixture(autouse=True)
def default_settings():
    yield
    streams.configure()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    lines = ["class,covered with stripes all over,hooves,tail", "mountain zebra,1,1,1", "plains zebra,1,1,1"]
    path.write_text("\n".join([*lines, "a horse with a very long name indeed,0,1,1", "tiger,0.9,0,1"]))
    return path


def commands(trained, table: Path) -> dict[str, list[object]]:
    data = ["--dataset", trained.folder, "--model", trained.model]
    return {
        "predict": ["predict", trained.folder / "red", trained.folder / "attributes.csv", "--model", trained.model],
        "predict one": ["predict", "red/0.png", "--model", trained.model],
        "evaluate": ["evaluate", *data, "--per-class"],
        "suggest": ["classes", "suggest", table],
        "suggest by a model": ["classes", "suggest", "attributes.csv", "--model", trained.model],
        "models list": ["models", "list"],
        "data list": ["data", "list"],
        "dry run": ["train", "--dataset", trained.folder, "--dry-run"],
    }


@pytest.mark.slow
def test_no_line_is_longer_than_the_terminal_is_wide(trained, table: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(trained.folder)  # a path on its own line is not shortened, so it must be short here
    for name, command in commands(trained, table).items():
        for columns in COLUMNS:
            code, drawn = on_terminal(*command, columns=columns)
            assert code in (0, 3)
            longest = max(plain(drawn).split("\n"), key=len)
            assert len(longest) <= columns, (name, columns)


def test_text_next_to_a_name_wraps_between_words_and_long_words_are_not_split():
    words = set()
    for columns in COLUMNS:
        code, drawn = on_terminal("models", "show", "animals", columns=columns)
        assert code == 0
        for line in drawn.split("\n"):
            assert len(line) <= columns or len(line.split()) <= 2  # a name, and one word that no line could hold
        words.add(tuple(drawn.split()))
    assert len(words) == 1


def test_numbers_are_never_split(trained):
    numbers = set()
    for columns in COLUMNS:
        _, drawn = on_terminal("evaluate", "--dataset", trained.folder, "--model", trained.model, columns=columns)
        numbers.add(tuple(sorted(re.findall(r"\d+\.\d+", plain(drawn)))))
    assert len(numbers) == 1
    assert len(numbers.pop()) > 5


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_bars_show_their_length_without_colours(setting: dict[str, str], trained):
    photo = trained.folder / "red" / "0.png"
    code, drawn = on_terminal("predict", photo, "--model", trained.model, **setting)
    assert code == 0
    assert not COLOURS.search(drawn)
    full, empty = "#." if setting.get("TERM") == "dumb" else "━─"
    for line in plain(drawn).split("\n"):
        if found := re.search(f"([{full}]*)([{empty}]*) +([0-9]+)%", line):
            assert len(found[1]) + len(found[2]) == 12
            assert abs(len(found[1]) - 12 * int(found[3]) / 100) < 1


@pytest.mark.slow
def test_an_ascii_terminal_gets_ascii_without_escaped_characters(trained, table: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(trained.folder)
    for command in commands(trained, table).values():
        _, drawn = on_terminal(*command, encoding="ascii")
        assert drawn.isascii()
        assert "\\u" not in drawn and "\\x" not in drawn


def test_seen_is_green_and_unseen_magenta_everywhere(trained):
    _, drawn = on_terminal("evaluate", "--dataset", trained.folder, "--model", trained.model, "--per-class")
    for name in (*trained.seen, "blue"):
        (line,) = [line for line in drawn.split("\n") if plain(line).startswith(f" {name} ")]
        assert ("\x1b[32mseen" in line) is (name in trained.seen)
        assert ("\x1b[35munseen" in line) is (name == "blue")


def test_failures_are_red(trained):
    _, drawn = on_terminal("predict", trained.folder / "attributes.csv", "--model", trained.model)
    assert "\x1b[31mfailed: unsupported" in drawn


def layout(columns, rows, width: int, **kinds) -> list[str]:
    """Return the lines of a table laid out for this width in characters."""
    screen = Console(width=width, file=io.StringIO(), legacy_windows=False)
    for part in fitted_table(columns, [[Text(cell) for cell in row] for row in rows], screen, **kinds):
        screen.print(part)
    return [line.rstrip() for line in screen.file.getvalue().split("\n")]


@pytest.mark.parametrize("width", range(20, 90))
def test_at_every_width_lines_fit_and_numbers_are_not_split(width: int):
    row = ["photos/of/a/long/folder/name.jpg", "a name of some length", "1,234.5", "a remark of some length"]
    columns = ("photo", "name", "figure of two words", "remark")
    lines = layout(columns, [row], width, right=columns[2:3], optional=["remark"], elided=["photo"])
    assert max(map(len, lines)) <= width
    assert any("1,234.5" in line for line in lines)


@pytest.mark.parametrize("width", range(50, 90))
def test_a_path_is_shortened_in_the_middle_and_a_name_wraps_between_words(width: int):
    row = ["photos/of/a/long/folder/name.jpg", "a name of some length", "1,234.5"]
    drawn = "\n".join(layout(("photo", "name", "figure"), [row], width, right=("figure",), elided=["photo"]))
    found = re.search(r"photos?[^ …]*(…?)[^ ]*name\.jpg", drawn)
    assert found and (found[1] or row[0] in drawn)
    assert all(word in drawn.split() for word in row[1].split())


def test_optional_columns_are_dropped_before_a_table_becomes_a_list():
    rows = [["a name of some length", "12.3", "a remark of some length"]]
    columns, kinds = ("name", "figure", "remark"), {"right": ("figure",), "optional": ["remark"]}
    assert layout(columns, rows, 60, **kinds)[1].split() == ["name", "figure", "remark"]
    assert layout(columns, rows, 22, **kinds)[1].split() == ["name", "figure"]
    listed = layout(columns, rows, 15, **kinds)
    assert listed[0].startswith("name ") and any(line.endswith(" 12.3") for line in listed)


def test_a_sparkline_ranges_from_the_lowest_to_the_highest_value(monkeypatch: pytest.MonkeyPatch):
    class Terminal:
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert charts.sparkline([0.0, 0.5, 1.0]) in ("▁▄█", "▁▅█")
    assert charts.sparkline([3, 1, 3]) == "█▁█"
    assert charts.sparkline([2, 2]) == "▅▅"
    assert charts.sparkline([2]) == ""
    monkeypatch.setenv("TERM", "dumb")
    assert charts.sparkline([3, 1, 3]) == "#.#"


def test_in_a_pipe_there_are_no_sparklines_and_no_bars(capsys: pytest.CaptureFixture[str]):
    assert charts.sparkline([1, 2, 3]) == ""
    assert charts.bar_cell(0.5, "50.0") == "50.0"


@pytest.mark.parametrize(("text", "longest", "short"), [("abc", 3, "abc"), ("photos/long/name.jpg", 11, "pho…ame.jpg")])
def test_a_shortened_path_keeps_its_end(text: str, longest: int, short: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streams, "supports_unicode", lambda stderr=False: True)
    assert charts.shortened(text, longest) == short
