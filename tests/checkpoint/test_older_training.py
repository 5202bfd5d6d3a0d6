"""Model files from before `loss.rec_rows`: what their training determined, and which of them are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from revcd_cli.checkpoint.model_file import load_checkpoint, save_checkpoint
from revcd_cli.errors import CheckpointError, ConfigError
from tests.makers.model_files import BATCH, make_checkpoint, rewrite


def older(path: Path, **inference: Any) -> None:
    """Make a model file one of a version that had neither `loss.rec_rows` nor `inference.head`."""

    def change(document: dict[str, Any]) -> None:
        config = document["config"]
        del config["loss"]["rec_rows"], config["loss"]["cls_fade"], config["inference"]["head"]
        config["inference"].update(inference)

    rewrite(path, document=change)


def test_an_older_model_counts_only_rows_with_a_photo_as_it_was_trained(tmp_path: Path):
    save_checkpoint(tmp_path / "model", make_checkpoint())
    older(tmp_path / "model")

    config = load_checkpoint(tmp_path / "model").model.config

    assert config.loss.rec_rows == "photo"
    with pytest.raises(ConfigError, match=r"inference\.steps = 1"):
        config.check_inference(dataclasses.replace(config.inference, rule="cosine", guidance_scale=2.0))


@pytest.mark.parametrize(
    ("inference", "refused"),
    [
        ({"rule": "evidence"}, True),
        ({"rule": "auto"}, True),
        ({"rule": "cosine", "guidance_scale": 1.5}, True),
        ({"rule": "cosine"}, False),
        ({"rule": "prototype"}, False),
    ],
)
def test_an_older_model_with_two_heads_is_refused_if_it_uses_the_clean_one_without_a_photo(
    tmp_path: Path, inference: dict[str, Any], refused: bool
):
    without = BATCH | {"class_network": {"width": 0}}  # later than two heads
    save_checkpoint(tmp_path / "model", make_checkpoint(without))
    older(tmp_path / "model", **inference)
    if not refused:
        load_checkpoint(tmp_path / "model")
        return
    with pytest.raises(CheckpointError, match="two heads") as caught:
        load_checkpoint(tmp_path / "model")
    assert caught.value.hint == "Train it again."
