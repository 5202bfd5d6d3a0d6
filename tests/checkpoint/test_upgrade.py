"""Model files of formats 4 and 5, written by earlier versions, are loaded with unchanged scores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from revcd_cli.checkpoint.metadata import FORMAT, read_metadata
from revcd_cli.checkpoint.model_file import load_checkpoint, save_checkpoint
from revcd_cli.checkpoint.upgrade import upgrade_state
from revcd_cli.config import RULES, InferenceConfig

FOLDER = Path(__file__).parent  # format*/scores.safetensors: photos, and the scores of each rule of that version
NAMES = ["one_network", "ensemble"]
KEPT = [FOLDER / f"format{number}" / f"{name}.safetensors" for number in (4, 5) for name in NAMES]
IDS = [f"{path.parent.name} {path.stem}" for path in KEPT]


def scores(path: Path, rule: str, kept: Path) -> torch.Tensor:
    checkpoint, photos = load_checkpoint(path), load_file(kept.with_name("scores.safetensors"))["photos"]
    generators = [torch.Generator().manual_seed(number) for number in range(len(photos))]
    table = torch.from_numpy(checkpoint.classes.values)
    return checkpoint.model.score(photos, table, InferenceConfig(rule=rule), generators)


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_of_format_4_has_its_value_under_its_present_name(name: str):
    path = FOLDER / "format4" / f"{name}.safetensors"
    old = {key.removeprefix("model."): value for key, value in load_file(path).items()}
    del old["class_table"]
    model = load_checkpoint(path).model
    upgraded, state = upgrade_state(old, read_metadata(path)), model.state_dict()
    assert upgraded.keys() == state.keys()
    assert all(torch.equal(upgraded[key].to(state[key]), state[key]) for key in state)
    added = {key for key in state if key.split(".")[-1] in ("noise", "described_noise", "explained", "means", "counts")}
    assert (
        sum(value.numel() for key, value in state.items() if key not in added)
        == sum(value.numel() for key, value in old.items() if not key.endswith("units")) + 2 * len(model.networks) + 1
    )


@pytest.mark.parametrize("kept", KEPT, ids=IDS)
def test_mean_photos_of_an_earlier_model_are_those_that_its_weights_were_computed_from(kept: Path):
    prototypes = load_checkpoint(kept).model.prototypes
    assert prototypes is not None
    assert prototypes.config.own_share == prototypes.config.whitening == 0
    assert prototypes.config.taken_limit == 1
    torch.testing.assert_close(prototypes.inverse @ prototypes.means, prototypes.weights, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kept", KEPT, ids=IDS)
def test_a_model_of_an_earlier_format_gives_unchanged_scores(kept: Path, rule: str):
    expected = load_file(kept.with_name("scores.safetensors"))[f"{kept.stem}.{rule}"]
    torch.testing.assert_close(scores(kept, rule, kept), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kept", KEPT, ids=IDS)
def test_a_model_of_an_earlier_format_is_saved_in_the_present_one_with_identical_scores(kept: Path, tmp_path: Path):
    assert read_metadata(kept)["format"] == int(kept.parent.name.removeprefix("format"))
    save_checkpoint(tmp_path / "new", load_checkpoint(kept))
    assert read_metadata(tmp_path / "new")["format"] == FORMAT
    for rule in RULES:
        assert torch.equal(scores(tmp_path / "new", rule, kept), scores(kept, rule, kept))
