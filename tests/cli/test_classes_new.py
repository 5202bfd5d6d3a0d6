"""`revcd classes new`: answers in a pipe and on a terminal, the files it writes, and Ctrl-C."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from revcd_cli.checkpoint.model_file import read_class_table
from revcd_cli.data.classes.attributes import read_attribute_csv

ROOT = Path(__file__).resolve().parents[2]
INTERRUPTIBLE = """
import signal, sys
from revcd_cli.__main__ import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in background processes
sys.exit(main(sys.argv[1:]))
"""
WITHOUT_TORCH = (
    "import sys; from revcd_cli.__main__ import main; c = main(sys.argv[1:]); sys.exit(c or 'torch' in sys.modules)"
)


def environment() -> dict[str, str]:
    """Return the environment of a command on a terminal of 80 columns; called in a test, whose cache it has."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": "xterm-256color", "NO_COLOR": "1"}


def answering(*lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("".join(f"{line}\n" for line in lines).encode())))


def draft(path: Path, name: str = "okapi") -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        lines = (line for line in file if not line.startswith("# photo of"))
        return {row["attribute"]: row for row in csv.DictReader(lines) if row["class"] == name}


def test_a_pipe_answers_in_turn_and_the_rest_is_imputed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    answering("none", "?", "70", "", monkeypatch=monkeypatch)
    output = tmp_path / "mine.csv"
    assert main(["classes", "new", "okapi", "--set", "stripes=60", "-o", str(output)]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    origins = [row["origin"] for row in draft(tmp_path / "mine.draft.csv").values()]
    assert (origins.count("set"), origins.count("asked"), origins.count("imputed")) == (1, 3, 81)
    assert "4 of 85 values were given" in printed.err and "nearest: " in printed.err
    table = read_attribute_csv(output)
    assert table.names == (*read_class_table("animals").names, "okapi")
    row = dict(zip(table.attributes, table.values[-1].tolist(), strict=True))
    assert row == {
        name: pytest.approx(float(each["value"])) for name, each in draft(tmp_path / "mine.draft.csv").items()
    }
    assert row["stripes"] == 60


def test_without_an_output_the_draft_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    answering(monkeypatch=monkeypatch)
    assert main(["classes", "new", "okapi", "--like", "zebra", "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "attribute\tvalue\tspread\torigin" and len(lines) == 86
    assert {line.split("\t")[3] for line in lines[1:]} == {"like"}
    assert main(["classes", "new", "okapi", "--set", "big=much", "--questions", "0", "--json", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["class"] == "okapi" and len(document["values"]) == 85 and len(document["nearest"]) == 5


def test_b_goes_back_and_q_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    answering("very", "b", "none", "q", "99", monkeypatch=monkeypatch)
    assert main(["classes", "new", "okapi", "-o", str(tmp_path / "mine.csv")]) == 0
    asked = [row for row in draft(tmp_path / "mine.draft.csv").values() if row["origin"] == "asked"]
    assert len(asked) == 1 and float(asked[0]["value"]) < 10


def test_a_wrong_answer_in_a_pipe_is_an_error_that_names_the_attribute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    answering("lots", "50", monkeypatch=monkeypatch)
    assert main(["classes", "new", "okapi", "-o", str(tmp_path / "mine.csv")]) == 2
    assert '"lots" is neither a number nor' in capsys.readouterr().err
    assert not (tmp_path / "mine.csv").exists()


def test_an_existing_table_gets_one_more_line_and_keeps_the_others_as_they_are(tmp_path: Path):
    table = tmp_path / "mine.csv"
    assert main(["models", "show", "animals", "--save-classes", str(table), "-q"]) == 0
    lines = table.read_text().splitlines()
    cells = [line.split(",") for line in lines]
    mixed = ["# my animals", *(";".join([cell[0], *cell[:0:-1]]) for cell in cells[:11])]
    table.write_text("\n".join(mixed))  # columns reversed, other separator, no line end
    for name in ("okapi", "tapir"):
        assert main(["classes", "new", name, "--set", "stripes=60", "--questions", "0", "-o", str(table), "-q"]) == 0
    written = table.read_text().splitlines()
    assert written[:12] == mixed and len(written) == 14
    read = read_attribute_csv(table)
    assert read.values[-2, read.attributes.index("stripes")] == 60
    assert len(draft(tmp_path / "mine.draft.csv", "tapir")) == len(draft(tmp_path / "mine.draft.csv")) == 85


@pytest.mark.parametrize("name", ["#1 okapi", 'a "b", c', "x;y", "Ökapi"])
def test_any_name_can_be_added_twice_and_read_again(name: str, tmp_path: Path):
    table = tmp_path / "mine.csv"
    for each in (name, f"{name} too"):
        assert main(["classes", "new", each, "--set", "big=much", "--questions", "0", "-o", str(table), "-q"]) == 0
    assert read_attribute_csv(table).names[-2:] == (name, f"{name} too")
    command = ["classes", "new", name, "--answers", str(tmp_path / "mine.draft.csv"), "-o", str(table), "-q"]
    assert main([*command, "--overwrite"]) == 0
    assert read_attribute_csv(table).names[-2:] == (f"{name} too", name)


def test_a_class_of_the_model_s_table_is_replaced_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table, known = tmp_path / "mine.csv", read_class_table("animals")
    command = ["classes", "new", "Zebra", "--set", "stripes=much", "--questions", "0", "-o", str(table)]
    assert main(command) == 0
    assert 'has a row of "Zebra" and the model was trained' in capsys.readouterr().err
    written = read_attribute_csv(table)
    assert len(written.names) == len(known.names) and written.names[-1] == "Zebra"


def test_a_value_of_the_command_line_replaces_that_of_a_file(tmp_path: Path):
    (tmp_path / "answers.csv").write_text("attribute,value\nstripes,10\nbig,50\n")
    command = ["classes", "new", "okapi", "--answers", str(tmp_path / "answers.csv"), "--set", "stripes=60"]
    assert main([*command, "-o", str(tmp_path / "mine.csv"), "-q"]) == 0
    written = draft(tmp_path / "mine.draft.csv")
    assert (written["stripes"]["value"], written["big"]["value"]) == ("60.0", "50.0")


def test_a_file_that_is_no_draft_is_not_touched(tmp_path: Path):
    (tmp_path / "mine.draft.csv").write_text("a,b\n1,2\n")
    command = [
        "classes",
        "new",
        "okapi",
        "--set",
        "big=much",
        "--questions",
        "0",
        "-o",
        str(tmp_path / "mine.csv"),
        "-q",
    ]
    assert main(command) == 2
    assert (tmp_path / "mine.draft.csv").read_text() == "a,b\n1,2\n" and not (tmp_path / "mine.csv").exists()
    assert main([*command, "--overwrite"]) == 0
    assert len(draft(tmp_path / "mine.draft.csv")) == 85


def test_a_class_of_which_nothing_is_said_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    answering("?", "?", monkeypatch=monkeypatch)
    assert main(["classes", "new", "okapi", "-o", str(tmp_path / "mine.csv")]) == 2
    assert "Nothing was said about okapi" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_class_of_the_table_is_replaced_only_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "mine.csv"
    command = ["classes", "new", "okapi", "--questions", "0", "-o", str(output), "-q"]
    assert main([*command, "--set", "stripes=60"]) == 0
    before = output.read_bytes()
    assert main([*command, "--set", "stripes=10"]) == 2
    assert "--overwrite" in capsys.readouterr().err and output.read_bytes() == before
    assert main([*command, "--set", "stripes=10", "--overwrite"]) == 0
    table = read_attribute_csv(output)
    assert table.names.count("okapi") == 1
    assert table.values[table.index("okapi"), table.attributes.index("stripes")] == 10
    assert draft(tmp_path / "mine.draft.csv")["stripes"]["value"] == "10.0"


def test_values_on_another_scale_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    values = [
        "stripes=0.6",
        "big=0.8",
        "hooves=0.9",
        "tail=0.5",
        "grazer=0.9",
        "longneck=0.6",
        "group=0.2",
        "oldworld=0.9",
    ]
    command = ["classes", "new", "okapi", "--questions", "0", "-o", str(tmp_path / "mine.csv")]
    assert main([*command, *(part for value in values for part in ("--set", value))]) == 2
    assert "on another scale" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    hundred = [f"{name}={100 * float(value)}" for name, value in (each.split("=") for each in values)]
    assert main([*command, *(part for value in hundred for part in ("--set", value))]) == 0
    assert "warning" not in capsys.readouterr().err


def test_a_table_with_attributes_of_its_own_needs_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    table = tmp_path / "zoo.csv"
    table.write_text("class,stripes,hooves\nzebra,1,1\nhorse,0,1\ncat,0.2,0\n")
    assert main(["classes", "new", "okapi", "--set", "stripes=0.6", "--questions", "0", "-o", str(table)]) == 0
    assert table.read_text().splitlines()[:4] == ["class,stripes,hooves", "zebra,1,1", "horse,0,1", "cat,0.2,0"]
    assert table.read_text().splitlines()[4].startswith("okapi,0.6,")
    assert "No included model" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [" "],
        ["okapi", "--prompt", "-o", "x.csv"],
        ["okapi", "-o", "x.html"],
        ["okapi", "--set", "strips=3"],
        ["okapi", "--like", "unicorn"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    assert main(["classes", "new", *arguments, "-q"]) == 2
    assert not list(tmp_path.iterdir())


def test_the_prompt_answers_and_rows_need_no_torch(tmp_path: Path):
    command = [sys.executable, "-c", WITHOUT_TORCH, "classes", "new", "okapi"]
    asked = subprocess.run([*command, "--prompt"], env=environment(), capture_output=True, text=True, check=True)
    assert asked.stdout.splitlines()[-1].startswith("attribute,okapi,")
    output = tmp_path / "mine.csv"
    values = "attribute,value\nstripes,much\nhooves,90\n"
    subprocess.run(
        [*command, "--answers", "-", "-o", str(output)],
        input=values,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert read_attribute_csv(output).names[-1] == "okapi"


def test_ctrl_c_on_a_terminal_keeps_the_answers(tmp_path: Path):
    output = tmp_path / "mine.csv"
    terminal, end = pty.openpty()
    command = [sys.executable, "-c", INTERRUPTIBLE, "classes", "new", "okapi", "-o", str(output)]
    process = subprocess.Popen(command, stdin=end, stderr=end, stdout=end, env=environment(), start_new_session=True)
    os.close(end)
    printed, read_up_to = b"", 0

    def until(text: bytes) -> None:
        nonlocal printed, read_up_to
        while (place := printed.find(text, read_up_to)) < 0:
            ready, _, _ = select.select([terminal], [], [], 120)
            assert ready, f"{text!r} does not follow in {printed[read_up_to:]!r} after {printed[:read_up_to]!r}"
            printed += os.read(terminal, 4096)
        read_up_to = place + len(text)

    until(b">")
    os.write(terminal, b"lots\n")
    until(b"neither a number nor")
    until(b">")
    os.write(terminal, b"none\n")
    until(b"2/20")
    until(b">")
    process.send_signal(signal.SIGINT)
    until(b"Interrupted; the answers so far are kept.")
    until(b"To name photos:")
    assert process.wait(timeout=120) == 130, printed
    os.close(terminal)
    origins = [row["origin"] for row in draft(tmp_path / "mine.draft.csv").values()]
    assert origins.count("asked") == 1 and read_attribute_csv(output).names[-1] == "okapi"


def test_photos_of_a_class_move_its_draft_towards_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    output = tmp_path / "mine.csv"
    photo = str(ROOT / "examples" / "moose.jpg")
    assert main(["classes", "new", "elk", "--photos", photo, "--questions", "0", "-o", str(output)]) == 0
    assert f"--photos elk={photo}" in capsys.readouterr().err
    rows = draft(tmp_path / "mine.draft.csv", "elk")
    assert {row["origin"] for row in rows.values()} == {"photos", "imputed"}
    assert (tmp_path / "mine.draft.csv").read_text().splitlines()[0] == f"# photo of elk: {photo}"
    table = read_attribute_csv(output)
    assert float(rows["hooves"]["value"]) > table.values[:-1, table.attributes.index("hooves")].mean()
