"""The same model on every machine: training does not depend on how many threads torch has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from revcd_cli.pipeline.train.train import train
from revcd_cli.system.files import file_sha256


@pytest.mark.parametrize("threads", [1, 3])
def test_how_many_threads_torch_has_makes_no_difference(toy_model, tmp_path: Path, threads: int):
    path, before = tmp_path / "threads.safetensors", torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        train(toy_model.dataset, toy_model.config, path)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)

    assert file_sha256(path) == file_sha256(toy_model.path)
