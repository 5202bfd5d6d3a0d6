"""The blocks of docs/python.md run in order, and a type checker accepts a program that uses the public names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.estimator.test_scikit_learn import EXPECTED_FAILURES

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "python.md").read_text("utf-8")
PROGRAM = """
import numpy as np
from revcd_cli import Dataset, Predictor, ZeroShotClassifier, evaluate, load_checkpoint, read_features, train

predictor = Predictor.from_checkpoint("animals")
for prediction in predictor.predict(["a.jpg", b"", np.zeros((4, 4, 3), dtype=np.uint8)]):
    name: str = prediction.best.name if prediction.best else ""
    reveal_type(prediction)
reveal_type(ZeroShotClassifier(epochs=3).fit([[1.0]], ["a"], class_descriptions={"a": [1]}).predict([[1.0]]))
reveal_type(Dataset.from_arrays)
reveal_type(evaluate)
reveal_type(train)
reveal_type(load_checkpoint("m").seen)
reveal_type(read_features)
Predictor.from_checkpoint(3)  # wrong
ZeroShotClassifier(epoch=3)  # wrong
"""


@pytest.mark.slow
def test_the_blocks_of_the_page_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(blocks) == 3
    assert [line.split()[:2] for line in lines[:2]] == [[f"examples/{name}.jpg", name] for name in ("raccoon", "moose")]
    assert lines[2] == "['horse', 'okapi', 'tiger', 'wolf', 'zebra']" and float(lines[3]) > 0.8
    assert lines[4].endswith(" 0") and float(lines[4].split()[0]) > 0.5


def test_the_page_lists_the_checks_of_scikit_learn_that_do_not_fit():
    assert dict(re.findall(r"^\| `(check_\w+)` \| (.*) \|$", TEXT, re.MULTILINE)) == EXPECTED_FAILURES


@pytest.mark.slow
def test_a_type_checker_knows_the_public_names(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    options = ["--strict", "--no-error-summary", "--hide-error-context", "--cache-dir", str(ROOT / ".mypy_cache")]
    command = [sys.executable, "-m", "mypy", *options, "--config-file", str(ROOT / "pyproject.toml"), str(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    # mypy may repeat, from its cache, the messages of an earlier run with the same text in another folder.
    said = [line.partition(f"{program.name}:")[2] for line in done.stdout.splitlines() if f"{program.name}:" in line]
    errors = {int(line.split(":")[0]) for line in said if " error: " in line}
    wrong = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if "# wrong" in line}
    assert errors == wrong, done.stdout
    revealed = " ".join(line for line in said if "Revealed type" in line)
    for name in ("Prediction", "FeaturedDataset", "GZSLReport", "TrainSummary", "frozenset[", "FeatureSet", "ndarray["):
        assert name in revealed, revealed
