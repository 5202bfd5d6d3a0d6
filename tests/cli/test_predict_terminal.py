"""`revcd predict` on a terminal, and into a pipe that is closed."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from revcd_cli.__main__ import main
from revcd_cli.pipeline.predict.columns import COLUMNS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
NAME = "b <i> [red] & 'quoted'.jpg"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Two valid photos, one with a name that looks like markup, and an unreadable one."""
    shutil.copy(EXAMPLES / "raccoon.jpg", tmp_path / "a.jpg")
    shutil.copy(EXAMPLES / "cat.jpg", tmp_path / NAME)
    (tmp_path / "aa.jpg").write_bytes((EXAMPLES / "cat.jpg").read_bytes()[:9000])
    return tmp_path


@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal of POSIX")
def test_on_a_terminal_a_table_with_literal_names_is_drawn(mixed: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(mixed)
    terminal, end = os.openpty()
    with os.fdopen(end, "w", encoding="utf-8") as screen:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", screen)
            assert main(["predict", ".", "-q"]) == 3
        drawn = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", drawn)
    assert "raccoon" in plain and "failed: truncated" in plain
    assert NAME in plain
    assert "\t" not in plain


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
def test_a_closed_pipe_ends_the_command_silently(tmp_path: Path):
    for number in range(16):  # 50 rows for each photo are more than fit into the buffer of a pipe
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{'x' * 99}{number}.png")
    command = f"'{sys.executable}' -m revcd_cli predict '{tmp_path}' --format csv --top-k 50 -q"
    line = f"{{ {command}; echo code $? >&2; }} | head -n 1"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == ",".join((*COLUMNS, "model", "table")) + "\n"
    assert done.stderr == "code 1\n"


def test_details_name_the_files_the_device_the_precision_the_batch_size_and_each_photo(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "predictions.csv"
    options = ["--precision", "float32", "--batch-size", "3", "--top-k", "1"]
    assert main(["predict", str(mixed), "-v", "-o", str(output), *options]) == 3
    said = capsys.readouterr().err
    for expected in (
        r"model sha256 \w{64}\n",
        r"backbone embedded@300: weights sha256 \w{64}, 1280 values per photo\n",
        r"device \w+ \(.+\)\n",
        r"precision float32 \(as requested\)\n",
        r"batch size 3 \(as given\)\n",
        r"cache .+\n",
    ):
        assert re.search(expected, said)
    with output.open(encoding="utf-8", newline="") as stream:
        answered = [row for row in csv.DictReader(stream) if row["status"] == "ok"]
    assert len(answered) == 2
    for row in answered:
        assert f"{Path(row['path'])}: {row['class']} {float(row['probability']):.1%}\n" in said
