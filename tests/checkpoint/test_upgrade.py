"""Model files of format 4, written by an earlier version, are loaded with unchanged scores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from revcd_cli.checkpoint.metadata import FORMAT, read_metadata
from revcd_cli.checkpoint.model_file import load_checkpoint, save_checkpoint
from revcd_cli.checkpoint.upgrade import upgrade_state
from revcd_cli.config import RULES, InferenceConfig

FOLDER = Path(__file__).parent / "format4"  # scores.safetensors: photos, and the scores of each rule of that version
KEPT = ["one_network", "ensemble"]


def scores(path: Path, rule: str) -> torch.Tensor:
    checkpoint, photos = load_checkpoint(path), load_file(FOLDER / "scores.safetensors")["photos"]
    generators = [torch.Generator().manual_seed(number) for number in range(len(photos))]
    table = torch.from_numpy(checkpoint.classes.values)
    return checkpoint.model.score(photos, table, InferenceConfig(rule=rule), generators)


@pytest.mark.parametrize("name", KEPT)
def test_every_tensor_of_format_4_has_its_name_and_value_in_format_5(name: str):
    old = {key.removeprefix("model."): value for key, value in load_file(FOLDER / f"{name}.safetensors").items()}
    del old["class_table"]
    model = load_checkpoint(FOLDER / f"{name}.safetensors").model
    upgraded, state = upgrade_state(old), model.state_dict()
    assert upgraded.keys() == state.keys()
    assert all(torch.equal(upgraded[key].to(state[key]), state[key]) for key in state)
    assert (
        sum(value.numel() for value in state.values())
        == sum(value.numel() for key, value in old.items() if not key.endswith("units")) + 2 * len(model.networks) + 1
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", KEPT)
def test_a_model_of_format_4_gives_unchanged_scores(name: str, rule: str):
    expected = load_file(FOLDER / "scores.safetensors")[f"{name}.{rule}"]
    torch.testing.assert_close(scores(FOLDER / f"{name}.safetensors", rule), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", KEPT)
def test_a_model_of_format_4_is_saved_in_the_present_format_with_identical_scores(name: str, tmp_path: Path):
    assert read_metadata(FOLDER / f"{name}.safetensors")["format"] == 4
    save_checkpoint(tmp_path / "new", load_checkpoint(FOLDER / f"{name}.safetensors"))
    assert read_metadata(tmp_path / "new")["format"] == FORMAT
    for rule in RULES:
        assert torch.equal(scores(tmp_path / "new", rule), scores(FOLDER / f"{name}.safetensors", rule))
