"""Run every command of docs/tutorial.md in order and compare the results with its text."""

from __future__ import annotations

import random
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from revcd_cli.__main__ import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def run(line: str) -> int:
    """Run a line of the tutorial: revcd and Python in this process, which is faster, and others in a shell."""
    program, *arguments = shlex.split(line)
    if program == "revcd":
        return main(arguments)
    if program == "python":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", arguments)
            runpy.run_path(arguments[0], run_name="__main__")
        return 0
    return subprocess.run(["sh", "-c", line], check=False).returncode


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the stdout of each command, after all of them ran in one folder."""
    folder = tmp_path_factory.mktemp("tutorial")
    shutil.copytree(ROOT / "examples", folder / "examples")
    outputs = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HF_HUB_OFFLINE", "1")
        for line in COMMANDS:
            output = folder / "printed.txt"
            with output.open("w", encoding="utf-8") as stream, patch.context() as inner:
                inner.setattr(sys, "stdout", stream)
                code = run(line)
            outputs[line] = output.read_text("utf-8")
            assert code == 0, line
        outputs["folder"] = str(folder)
    return outputs


def answers(printed: dict[str, str], line: str) -> dict[str, str]:
    """Return the predicted class of each photo, by file name."""
    rows = [row.split("\t") for row in printed[line].splitlines()]
    return {Path(path).name: name for path, name, *_ in rows}


def test_the_tutorial_covers_every_step_from_photos_to_a_report(printed: dict[str, str]):
    used = [
        " ".join(line.split()[1:3]) if line.split()[1] in ("classes", "data") else line.split()[1] for line in COMMANDS
    ]
    for name in ("classes new", "data check", "classes suggest", "train", "evaluate", "predict"):
        assert name in used


def test_a_picture_is_the_same_whenever_it_is_drawn():
    draw = runpy.run_path(str(ROOT / "examples" / "make_shapes.py"))["draw"]
    first, second = (draw("red striped star", random.Random("any")).tobytes() for _ in range(2))
    assert first == second


def test_the_files_are_as_the_text_describes(printed: dict[str, str]):
    folder = Path(printed["folder"])
    table = (folder / "shapes" / "attributes.csv").read_text("utf-8")
    shown = re.search(r"```\n(class,red.*?)```", TEXT, re.DOTALL)[1]
    assert table.startswith(shown)
    assert len(table.splitlines()) == 26
    split = (folder / "shapes" / "images.csv").read_text("utf-8")
    assert len({line.split(",")[1] for line in split.splitlines() if line.endswith("test_unseen")}) == 4
    for page in ("report.html", "classes.html"):
        assert "default-src 'none'" in (folder / page).read_text("utf-8")


def test_the_printed_output_is_the_text_s(printed: dict[str, str]):
    assert printed["python examples/make_shapes.py shapes"].strip() in TEXT
    _, *rows = [row.split("\t") for row in printed["revcd classes suggest shapes/attributes.csv"].splitlines()]
    for row in rows[:5]:
        assert re.search(r" +".join(map(re.escape, row)), TEXT), row


def test_accuracy_on_unseen_classes_is_far_above_chance(printed: dict[str, str]):
    line = next(line for line in COMMANDS if line.startswith("revcd evaluate"))
    figures = dict(re.findall(r"^(S|U|H|T1)\t([0-9.]+)", printed[line], re.MULTILINE))
    assert float(figures["S"]) > 50 and float(figures["U"]) > 40 and float(figures["T1"]) > 60  # chance: 4, 4, 25


def test_a_moose_is_named_after_it_was_described_in_words(printed: dict[str, str]):
    before, after = [line for line in COMMANDS if line.startswith("revcd predict") and "--model" not in line]
    assert answers(printed, before)["moose.jpg"] != "moose"
    assert answers(printed, after) == {"moose.jpg": "moose", "raccoon.jpg": "raccoon"}


def test_an_added_class_is_predicted_and_a_cat_is_rejected(printed: dict[str, str]):
    own = [line for line in COMMANDS if line.startswith("revcd predict") and "--model" in line]
    before, *after = [line for line in own if "-o" not in line]
    new = {"blue-striped-circle.jpg": "blue striped circle", "yellow-dotted-star.jpg": "yellow dotted star"}
    assert not set(answers(printed, before).values()) & set(new.values())
    for line in after:
        if "--reject" not in line:
            assert answers(printed, line).items() >= new.items()
    assert answers(printed, after[-1])["cat.jpg"] == "none of these"


def test_the_recorded_run_of_a_new_class_is_what_the_command_prints():
    recorder = runpy.run_path(str(ROOT / "docs" / "_record.py"))
    page = recorder["PAGE"].read_text("utf-8")
    assert recorder["with_record"](page, recorder["record"]()) == page, "run python docs/_record.py"
