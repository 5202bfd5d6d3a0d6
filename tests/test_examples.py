"""The programs in examples/ run as their README says."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "examples/predict_one.py", *arguments]
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=300
    )


@pytest.mark.slow
@pytest.mark.parametrize("photo", ["cat.jpg", "moose.jpg", "raccoon.jpg"])
def test_predict_one_prints_the_three_best_classes(photo: str):
    done = run(f"examples/{photo}")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line[:16].strip() for line in done.stdout.splitlines()]
    assert len(set(lines)) == 3
    for line in done.stdout.splitlines():
        assert line.endswith(("%  seen in training", "%  unseen: from its description only"))
    if photo == "raccoon.jpg":
        assert lines[0] == "raccoon" and "seen in training" in done.stdout.splitlines()[0]
    if photo == "moose.jpg":  # README: right among 109 classes, although no photo of a moose was in training
        assert lines[0] == "moose" and "unseen" in done.stdout.splitlines()[0]


def test_an_unreadable_photo_is_an_error_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "bad.jpg").write_bytes(b"")
    monkeypatch.setattr(sys, "argv", ["predict_one.py", str(tmp_path / "bad.jpg")])
    with pytest.raises(SystemExit, match=r"bad\.jpg: empty_file \("):
        runpy.run_path(str(EXAMPLES / "predict_one.py"), run_name="__main__")


@pytest.mark.slow
def test_training_on_arrays_prints_its_accuracies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "train_on_arrays.py"), run_name="__main__")
    seen, unseen = re.fullmatch(r"S (\d+)%  U (\d+)%\n", capsys.readouterr().out).groups()
    assert int(seen) > 50 and int(unseen) > 50  # chance: 17


def test_the_readme_lists_every_example_file():
    said = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = [path.name for path in EXAMPLES.iterdir() if path.is_file() and path.name != "README.md"]
    assert files and all(f"`{name}`" in said for name in files)
