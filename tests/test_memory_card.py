"""Run the commands of docs/memory-card.md in order, and compare the files with its text."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from tests.makers.answers import content

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "memory-card.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def test_the_commands_do_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    printed, said = {}, {}
    card: dict[str, bytes] = {}
    for line in COMMANDS:
        program, *arguments = shlex.split(line)
        if program != "revcd":
            subprocess.run([program, *arguments], check=True)
            continue
        card = card or content(tmp_path / "card")
        assert main(arguments) == 0, line
        printed[line], said[line] = capsys.readouterr()
        if "--dry-run" in line:
            assert not Path("sorted").exists()
        if "--sort" in line and "--dry-run" not in line:
            listed = [f"sorted/{name}" for name in sorted(content(tmp_path / "sorted"))]
            assert "\n".join(listed) in TEXT
            counts = [row.split("\t") for row in printed[line].splitlines()]
            assert "\n".join(f"{name:<14}{number}" for name, number in counts) in TEXT
            assert content(tmp_path / "card") == card
            undo_line = said[line].splitlines()[-1].removeprefix("Undo: ")
            assert undo_line in COMMANDS
        if "--only" in line:
            new = set(content(tmp_path / "card")) - set(card)
            assert new == {"DCIM/100CAM/IMG_0001.xmp", "DCIM/100CAM/IMG_0002.xmp"}
            assert said[line].splitlines()[-1].removeprefix("Undo: ") in COMMANDS
    assert content(tmp_path / "card") == card
    assert not Path("sorted").exists()
    assert not list(tmp_path.glob("*.jsonl"))
