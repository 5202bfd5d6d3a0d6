"""Invalid feature files and benchmarks, given to the commands in this process: exit code, message and files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from revcd_cli.__main__ import main
from tests.makers.benchmark_files import REFUSED as BENCHMARKS
from tests.makers.benchmark_files import features, splits
from tests.makers.benchmark_files import write as write_benchmark
from tests.makers.feature_files import REFUSED as FILES


def test_data_check_refuses_every_invalid_feature_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, (data, message) in FILES.items():
        path = tmp_path / name
        path.write_bytes(data)
        code, printed = main(["data", "check", str(path)]), capsys.readouterr()
        assert (name, code) == (name, 4)
        assert re.search(message, printed.err) and name in printed.err, name
        assert "Traceback" not in printed.err and "Warning:" not in printed.err, name
        assert [each.name for each in tmp_path.iterdir()] == [name] and path.read_bytes() == data
        path.unlink()


def test_train_refuses_every_invalid_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for number, (split, rows, message) in enumerate(BENCHMARKS):
        folder, outputs = (
            write_benchmark(tmp_path / f"toy {number}", splits(**split), features(**rows)),
            tmp_path / "out",
        )
        outputs.mkdir()
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        code = main(["train", "--dataset", str(folder), "-o", str(outputs / "m.safetensors")])
        printed = capsys.readouterr()
        assert (message, code) == (message, 4)
        assert message in printed.err
        assert "Traceback" not in printed.err and "Warning:" not in printed.err, message
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        outputs.rmdir()  # fails unless it is empty
