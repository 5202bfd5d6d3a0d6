"""Spatial tokens of backbones: values, order, and the record in the model file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from revcd_cli.backbones.backbone import Backbone, load_backbone, load_recorded
from revcd_cli.backbones.tokens import TokenNetwork
from revcd_cli.config import BackboneRecord
from revcd_cli.errors import UsageError
from revcd_cli.system.image_noise import image_generator

TAG = "test_resnet.r160_in1k"


def network(tag: str) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(tag, pretrained=False, num_classes=0).eval()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(network(TAG).state_dict(), path)
    return path


def photos(size: list[int] | tuple[int, ...], count: int = 2) -> Tensor:
    return torch.randn(count, *size, generator=image_generator(0, b"photos"))


def as_tokens(features: Tensor, record: BackboneRecord) -> Tensor:
    """Reshape rows of features to (B, N, C)."""
    return features.unflatten(1, (record.tokens, -1))


def both(tag: str, weights: Path | None, precision: str = "float32") -> tuple[Backbone, Backbone]:
    """Return the backbone with pooled features and the one with tokens."""
    options = {"weights": weights, "precision": precision}
    return load_backbone(tag, **options), load_backbone(tag, tokens=True, **options)


def test_the_mean_of_a_resnets_tokens_equals_its_pooled_feature(weights):
    pooled, spatial = both(TAG, weights)
    images = photos(pooled.record.preprocessing["input_size"])
    assert (spatial.record.tokens, spatial.record.feature_dim) == (25, 25 * 96)
    torch.testing.assert_close(as_tokens(spatial(images), spatial.record).mean(1), pooled(images))


def test_the_mean_of_the_embedded_backbones_tokens_equals_its_pooled_feature():
    pooled, spatial = both("embedded", None)
    images = photos(pooled.record.preprocessing["input_size"], count=1)
    assert (spatial.record.tokens, spatial.record.feature_dim) == (81, 81 * 1280)
    torch.testing.assert_close(as_tokens(spatial(images), spatial.record).mean(1), pooled(images), atol=1e-5, rtol=1e-4)
    assert spatial.note.startswith("backbone embedded (tf_efficientnet_lite2, 81 tokens of 1280-d): ")


def test_the_papers_resnet_has_49_tokens_of_2048_values():
    full = TokenNetwork(network("resnet101"), "resnet101", (3, 224, 224))
    assert (full.n_tokens, full.n_channels) == (49, 2048)


def test_tokens_are_the_positions_of_the_feature_map_in_row_order(weights):
    spatial = load_backbone(TAG, weights=weights, precision="float32", tokens=True)
    images = photos((3, 160, 160))
    with torch.no_grad():
        expected = network(TAG).forward_features(images)  # (B, C, 5, 5)
    tokens = as_tokens(spatial(images), spatial.record)
    for row, column in ((0, 0), (0, 4), (2, 1), (4, 4)):
        torch.testing.assert_close(tokens[:, 5 * row + column], expected[:, :, row, column])


@pytest.mark.parametrize(("tag", "prefix_tokens"), [("test_vit", 1), ("deit_tiny_distilled_patch16_224", 2)])
def test_the_tokens_of_a_vit_are_its_patch_tokens_without_prefix_tokens(tag, prefix_tokens):
    plain = network(tag)
    size = plain.pretrained_cfg["input_size"]
    spatial = TokenNetwork(plain, tag, size)
    images = photos(size, count=1)
    with torch.no_grad():
        expected, tokens = plain.forward_features(images), spatial(images).unflatten(1, (spatial.n_tokens, -1))
    assert spatial.n_tokens == (size[1] // 16) ** 2
    assert torch.equal(tokens, expected[:, prefix_tokens:])


def test_a_channels_last_feature_map_gives_the_same_order():
    plain = timm.create_model(
        "swin_tiny_patch4_window7_224", pretrained=False, num_classes=0, img_size=64, window_size=2, embed_dim=24
    )
    spatial = TokenNetwork(plain, "swin", (3, 64, 64))
    images = photos((3, 64, 64))
    with torch.no_grad():
        expected, tokens = plain.forward_features(images), spatial(images).unflatten(1, (4, -1))
        torch.testing.assert_close(tokens.mean(1), plain(images))
    for row, column in ((0, 1), (1, 0)):
        assert torch.equal(tokens[:, 2 * row + column], expected[:, row, column])


class Sequence(nn.Module):
    """A network with a class token at a given position of its sequence."""

    num_features = 4

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(4))

    def forward_features(self, images: Tensor) -> Tensor:
        return images.new_zeros(len(images), 10, 4)


class Vector(Sequence):
    def forward_features(self, images: Tensor) -> Tensor:
        return images.new_zeros(len(images), 4)


class Several(Sequence):
    def forward_features(self, images: Tensor) -> list[Tensor]:
        return [images, images]


class OtherChannels(Sequence):
    def forward_features(self, images: Tensor) -> Tensor:
        return images.new_zeros(len(images), 7, 2, 4)


@pytest.mark.parametrize("kind", [Sequence, Vector, Several, OtherChannels])
def test_an_output_of_unknown_layout_is_refused_at_once(kind):
    with pytest.raises(UsageError, match=r"some\.tag: its last feature map"):
        TokenNetwork(kind(), "some.tag", (3, 8, 8))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_token_features_are_ordinary_float32_tensors_in_main_memory(weights, precision):
    features = load_backbone(TAG, weights=weights, precision=precision, tokens=True)(photos((3, 160, 160), count=3))
    assert (features.shape, features.dtype, features.device.type) == ((3, 25 * 96), torch.float32, "cpu")
    assert not features.is_inference()


def test_a_recorded_backbone_gives_tokens_or_pooled_features_as_recorded(weights):
    for before in both(TAG, weights):
        after = load_recorded(before.record, weights=weights, precision="float32")
        assert after.record == before.record
        images = photos((3, 160, 160))
        assert torch.equal(after(images), before(images))


def test_records_of_tokens_and_pooled_features_of_one_backbone_differ(weights):
    pooled, spatial = (backbone.record for backbone in both(TAG, weights))
    assert pooled.tokens == 0
    assert pooled.difference(spatial) == "tokens is 0 here and 25 there"
    assert BackboneRecord(**json.loads(json.dumps(spatial.to_dict()))) == spatial


def test_a_record_without_the_field_for_tokens_means_pooled_features(weights):
    record = load_backbone(TAG, weights=weights).record
    older = {name: value for name, value in record.to_dict().items() if name != "tokens"}
    assert BackboneRecord(**older) == dataclasses.replace(record, tokens=0)
