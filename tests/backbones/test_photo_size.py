"""A backbone with the size of photos after its name, such as embedded@300: whole photos, and a record of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from revcd_cli.__main__ import main
from revcd_cli.backbones.backbone import Backbone, load_backbone, load_recorded
from revcd_cli.backbones.classifier import load_classifier
from revcd_cli.backbones.labels import labels_of_backbone
from revcd_cli.backbones.preprocess import Preprocessing
from revcd_cli.backbones.source import split_side
from revcd_cli.data.features.files import read_features
from revcd_cli.errors import UsageError

PHOTO = Path(__file__).parents[2] / "examples" / "moose.jpg"
TAG = "test_resnet.r160_in1k"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save_weights(tmp_path / "model.safetensors", TAG)


def save_weights(path: Path, tag: str) -> Path:
    torch.manual_seed(0)
    safetensors.torch.save_file(timm.create_model(tag, pretrained=False).state_dict(), path)
    return path


def features_of(backbone: Backbone, photo: Image.Image) -> torch.Tensor:
    return backbone(backbone.batch([backbone.transform(photo)]))


def test_features_are_those_of_timms_network_and_transform_of_whole_photos(weights: Path):
    photo = Image.open(PHOTO).convert("RGB")
    backbone = load_backbone(f"{TAG}@192", weights=weights, precision="float32")
    network = timm.create_model(TAG, checkpoint_path=str(weights)).eval()
    network.reset_classifier(0)
    config = resolve_model_data_config(network) | {"input_size": (3, 192, 192), "crop_pct": 1.0, "crop_mode": "squash"}
    with torch.no_grad():
        expected = network(create_transform(**config, is_training=False)(photo)[None])
    torch.testing.assert_close(features_of(backbone, photo), expected, rtol=1e-4, atol=1e-5)


def test_no_part_of_a_photo_is_cut_off():
    config = resolve_model_data_config(timm.create_model(TAG, pretrained=False))
    usual = Preprocessing(config | {"input_size": (3, 64, 64)})
    whole = Preprocessing(config | {"input_size": (3, 64, 64), "crop_pct": 1.0, "crop_mode": "squash"})
    pixels = np.zeros((64, 128, 3), dtype=np.uint8)
    pixels[:, :4] = 255  # at the left edge
    photo = Image.fromarray(pixels)
    assert not usual.pixels(photo).any() and whole.pixels(photo)[:, :, 0].all()


@pytest.mark.parametrize("size", [(64, 64), (90, 61), (61, 90), (3000, 2000)])
def test_a_whole_photo_is_resized_to_the_square(size: tuple[int, int]):
    config = {
        "input_size": [3, 64, 64], "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 1.0,
        "crop_mode": "squash",
    }  # fmt: skip
    ours = Preprocessing(config)
    noise = np.random.default_rng(size[0]).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    photo = Image.fromarray(noise)
    assert ours.least_side == 64  # a JPEG may be decoded at a smaller size that is at least twice as large
    assert torch.equal(ours.pixels(photo), torch.from_numpy(np.array(photo.resize((64, 64), 3))).permute(2, 0, 1))


def test_the_record_has_the_size_and_leads_to_the_same_backbone(weights: Path):
    photo = Image.open(PHOTO).convert("RGB")
    before = load_backbone(f"{TAG}@96", weights=weights, precision="float32")
    assert (before.record.tag, before.record.preprocessing["input_size"]) == (f"{TAG}@96", [3, 96, 96])
    for after in (
        load_recorded(before.record, weights=weights, precision="float32"),
        load_backbone(before.record.tag, weights=weights, precision="float32"),
    ):
        assert after.record == before.record
        assert torch.equal(features_of(after, photo), features_of(before, photo))
    usual = load_backbone(TAG, weights=weights, precision="float32")
    assert (before.record.difference(usual.record) or "").startswith(f"tag is '{TAG}@96' here")
    assert not torch.equal(features_of(usual, photo), features_of(before, photo))


def test_the_size_changes_neither_the_labels_nor_the_classifier():
    small, usual = load_backbone("embedded@64", precision="float32"), load_backbone("embedded", precision="float32")
    classifiers = [load_classifier(backbone.record) for backbone in (small, usual)]
    assert np.array_equal(classifiers[0].weights, classifiers[1].weights)
    assert labels_of_backbone("embedded@64") is labels_of_backbone("embedded")
    assert labels_of_backbone("resnet101@64") is labels_of_backbone("resnet101")


@pytest.mark.parametrize("name", ["embedded@", "embedded@large", "embedded@31", "embedded@2049", "embedded@3e2", "@"])
def test_another_text_after_the_name_is_a_usage_error(name: str):
    with pytest.raises(UsageError, match="32 to 2048 pixels") as caught:
        load_backbone(name)
    assert caught.value.hint and caught.value.hint.startswith("Write for example embedded@300")


def test_names_are_split_at_the_size():
    assert [split_side(name) for name in ("embedded", "auto@300", "resnet101.tv_in1k@224")] == [
        ("embedded", None),
        ("auto", 300),
        ("resnet101.tv_in1k", 224),
    ]


def test_a_network_of_one_size_refuses_others(tmp_path: Path):
    tag = "test_vit.r160_in1k"
    file = save_weights(tmp_path / "vit.safetensors", tag)
    with pytest.raises(UsageError, match="takes photos of 160 x 160 pixels only"):
        load_backbone(f"{tag}@192", weights=file)
    whole = load_backbone(f"{tag}@160", weights=file, precision="float32")
    assert features_of(whole, Image.open(PHOTO).convert("RGB")).shape == (1, whole.record.feature_dim)


def test_the_command_writes_features_of_the_size_and_refuses_a_wrong_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    output = tmp_path / "f.parquet"
    assert main(["extract", str(PHOTO), "-o", str(output), "--backbone", "embedded@64"]) == 0
    assert "backbone embedded@64 (tf_efficientnet_lite2, 1280-d)" in capsys.readouterr().err
    assert read_features(output).backbone.tag == "embedded@64"
    assert main(["extract", str(PHOTO), "-o", f"{tmp_path}/shards/", "--backbone", "embedded@64", "-q"]) == 0
    assert np.array_equal(read_features(tmp_path / "shards").features, read_features(output).features)
    assert main(["extract", str(PHOTO), "-o", str(tmp_path / "g.parquet"), "--backbone", "embedded@5"]) == 2
    assert "embedded@300" in capsys.readouterr().err and not (tmp_path / "g.parquet").exists()
