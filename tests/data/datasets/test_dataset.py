"""Opening a dataset that does not exist: the message names the known ones, their files and folders."""

from __future__ import annotations

import pytest

from revcd_cli.data.datasets.open import open_dataset
from revcd_cli.errors import RevcdError, UsageError


def test_a_missing_benchmark_is_an_error_with_files_folder_and_command(tmp_path, monkeypatch):  # 76
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    with pytest.raises(RevcdError, match="not on this machine") as fault:
        open_dataset("awa2", data_root=tmp_path)
    assert fault.value.exit_code == 1
    assert str(tmp_path) in fault.value.message
    for part in ("res101.mat", "att_splits.mat", str(tmp_path / "AWA2"), "revcd data download awa2"):
        assert part in fault.value.hint


@pytest.mark.parametrize(("name", "says"), [("imagenet", "neither a folder"), ("awa3", "did you mean")])
def test_an_unknown_dataset_name_is_an_error_that_lists_the_known_ones(name, says):  # 77
    with pytest.raises(UsageError, match=says) as fault:
        open_dataset(name)
    assert "awa2" in fault.value.hint


def test_a_folder_with_other_content_is_not_a_data_set(tmp_path):
    with pytest.raises(UsageError, match=r"holds neither attributes\.csv nor att_splits\.mat"):
        open_dataset(str(tmp_path))
