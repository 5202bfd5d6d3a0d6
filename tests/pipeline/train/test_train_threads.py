"""Training does not depend on the number of threads of torch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from revcd_cli.pipeline.train.train import train
from revcd_cli.system.files import file_sha256


@pytest.mark.parametrize("threads", [1, 3])
def test_the_model_does_not_depend_on_the_number_of_threads(toy_model, tmp_path: Path, threads: int):
    path, before = tmp_path / "threads.safetensors", torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        train(toy_model.dataset, toy_model.config, path)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)

    assert file_sha256(path) == file_sha256(toy_model.path)
