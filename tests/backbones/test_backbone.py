"""Backbones: networks, preprocessing, records, and features that depend on the photo only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from revcd_cli.backbones.backbone import Backbone, embedded_network, load_backbone, load_recorded
from revcd_cli.backbones.source import embedded_weights
from revcd_cli.config import BackboneRecord
from revcd_cli.errors import UsageError, WeightsError
from revcd_cli.system.device import Chosen
from revcd_cli.system.files import file_sha256
from revcd_cli.system.image_noise import image_generator
from revcd_cli.system.precision import precision_name

TAG = "test_resnet.r160_in1k"


def network(tag: str = TAG, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return timm.create_model(tag, pretrained=False, **options).eval()


@pytest.fixture
def weights(tmp_path) -> Path:
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(network().state_dict(), path)
    return path


@pytest.fixture
def photo() -> Image.Image:
    return Image.open(Path(__file__).parents[2] / "examples" / "cat.jpg").convert("RGB")


def features_of(path: Path, tag: str = TAG) -> torch.Tensor:
    backbone = load_backbone(tag, weights=path, precision="float32")
    images = torch.randn(2, *backbone.record.preprocessing["input_size"], generator=image_generator(0, b"x"))
    return backbone(images)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_embedded_weights_recognise_a_cat(photo, precision):
    classifier = embedded_network(embedded_weights())
    head = classifier.get_classifier().eval()
    backbone = load_backbone("embedded", precision=precision)
    with torch.no_grad():
        scores = head(backbone(backbone.transform(photo)[None]))
    assert 281 <= scores.argmax().item() <= 285  # ImageNet's five domestic cats


def test_the_record_of_the_embedded_backbone_holds_plain_values():
    backbone = load_backbone("embedded")
    record = backbone.record
    assert (record.tag, record.feature_dim) == ("embedded", 1280)
    assert record.weights_sha256 == file_sha256(embedded_weights())
    assert record.preprocessing["input_size"] == [3, 260, 260]
    assert record == BackboneRecord(**json.loads(json.dumps(record.to_dict())))
    assert record.precision == precision_name(backbone.precision.value)
    assert backbone.note.startswith("backbone embedded (tf_efficientnet_lite2, 1280-d): ") and "\n" not in backbone.note


def test_the_embedded_backbone_refuses_other_weights(weights):
    with pytest.raises(UsageError, match="embedded"):
        load_backbone("embedded", weights=weights)


@pytest.mark.parametrize(
    "tag", [TAG, "test_vit.r160_in1k", "test_convnext.r160_in1k", "mobilenetv3_small_050.lamb_in1k"]
)
def test_features_equal_the_input_of_timms_classifier(tmp_path, tag):
    full = network(tag)
    torch.save(full.state_dict(), tmp_path / "full.pth")
    images = torch.randn(2, *full.pretrained_cfg["input_size"], generator=image_generator(0, b"x"))
    with torch.no_grad():
        expected = full.forward_head(full.forward_features(images), pre_logits=True)
    torch.testing.assert_close(features_of(tmp_path / "full.pth", tag), expected, atol=1e-5, rtol=1e-4)


def test_a_torch_file_gives_the_features_of_the_safetensors_file(weights, tmp_path):
    torch.save({"state_dict": network().state_dict()}, tmp_path / "weights.pth")
    assert torch.equal(features_of(tmp_path / "weights.pth"), features_of(weights))


@pytest.mark.parametrize("classes", [None, 7])
def test_features_do_not_depend_on_the_classifier_in_a_weights_file(weights, tmp_path, classes):
    state = {name: value for name, value in network().state_dict().items() if not name.startswith("fc.")}
    if classes:
        state |= {"fc.weight": torch.zeros(classes, 96), "fc.bias": torch.zeros(classes)}
    torch.save(state, tmp_path / "other_head.pth")
    assert torch.equal(features_of(tmp_path / "other_head.pth"), features_of(weights))


def test_weights_without_a_tag_are_loaded_into_the_papers_network(weights):
    with pytest.raises(WeightsError, match="does not fit"):
        load_backbone("auto", weights=weights)


def test_features_of_a_photo_do_not_depend_on_the_rest_of_the_batch(weights):
    backbone = load_backbone(TAG, weights=weights, precision="float32")
    images = torch.randn(8, 3, 160, 160, generator=image_generator(0, b"batch"))
    alone = torch.cat([backbone(image[None]) for image in images])
    torch.testing.assert_close(backbone(images), alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(backbone(images.flip(0)), alone.flip(0), atol=1e-5, rtol=1e-4)


def test_a_network_without_a_program_is_frozen_in_evaluation_mode_and_channels_last(tmp_path):
    tag = "test_convnext.r160_in1k"
    torch.save(network(tag).state_dict(), tmp_path / "weights.pth")
    backbone = load_backbone(tag, weights=tmp_path / "weights.pth")
    assert not backbone.network.training
    for parameter in backbone.network.parameters():
        assert not parameter.requires_grad and parameter.dtype == backbone.precision.value
        assert parameter.ndim < 4 or parameter.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_are_ordinary_float32_tensors_in_main_memory(weights, precision):
    features = load_backbone(TAG, weights=weights, precision=precision)(torch.zeros(3, 3, 160, 160))
    assert (features.shape, features.dtype, features.device.type) == ((3, 96), torch.float32, "cpu")
    assert not features.is_inference()


def test_bfloat16_features_have_nearly_the_direction_of_float32_features(photo):
    exact, quick = (load_backbone("embedded", precision=precision) for precision in ("float32", "bfloat16"))
    image = exact.transform(photo)[None]
    assert torch.cosine_similarity(exact(image), quick(image)).item() > 0.995


def test_bfloat16_is_chosen_automatically_only_if_it_hardly_changes_the_features(weights, monkeypatch):
    monkeypatch.setattr("revcd_cli.system.probes.cached", lambda question, find_out: 2.0)  # twice as fast
    embedded = load_backbone("embedded")
    assert (embedded.precision.value, embedded.record.precision) == (torch.float32, "float32")
    assert "not accurate enough" in embedded.precision.reason
    assert load_backbone("embedded", precision="bfloat16").precision.value == torch.bfloat16
    assert load_backbone(TAG, weights=weights).precision.value == torch.bfloat16


def test_the_transform_is_that_of_timm_for_the_tag(weights, photo):
    backbone = load_backbone(TAG, weights=weights)
    expected = create_transform(**resolve_model_data_config(network()), is_training=False)(photo)
    transformed = backbone.transform(photo)
    assert (transformed.shape, transformed.dtype) == ((3, 160, 160), torch.uint8)
    assert torch.equal(backbone(transformed[None]), backbone(expected[None]))


def test_a_tag_without_the_name_of_its_weights_is_recorded_in_full(weights):
    assert load_backbone("test_resnet", weights=weights).record.tag == TAG


@pytest.mark.parametrize(
    ("tag", "nearest"),
    [
        ("resnet101.tv_in1", "resnet101.tv_in1k"),
        ("resnet1o1", "resnet101"),
        ("embeded", "embedded"),
        ("RESNET101.TV_IN1K", "resnet101.tv_in1k"),
    ],
)
def test_an_unknown_tag_is_a_usage_error_that_names_the_nearest_tag(tag, nearest):
    with pytest.raises(UsageError) as caught:
        load_backbone(tag)
    assert f'did you mean "{nearest}"?' in caught.value.message


def test_a_network_that_returns_feature_maps_is_refused_at_its_first_batch(weights):
    record = load_backbone(TAG, weights=weights).record
    cpu = Chosen(torch.device("cpu"), "")
    exact = Chosen(torch.float32, "")
    maps = Backbone(torch.nn.Conv2d(3, 4, 1), record, "", device=cpu, precision=exact, threads=Chosen(1, ""))
    with pytest.raises(UsageError, match="not one vector"):
        maps(torch.zeros(1, 3, 8, 8))


@pytest.mark.slow
def test_the_second_start_does_not_import_timm_and_gives_bitwise_equal_features(photo, tmp_path):
    program = """
import sys
from PIL import Image
from revcd_cli.backbones.backbone import load_backbone
backbone = load_backbone("embedded", precision="float32")
photo = Image.open(sys.argv[1]).convert("RGB")
print(backbone(backbone.transform(photo)[None]).numpy().tobytes().hex()[:4000], backbone.record, backbone.note)
print(any(name in sys.modules for name in ("timm", "torchvision")), file=sys.stderr)
"""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", program, str(root / "examples" / "cat.jpg")]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=root, env=environment) for _ in "12"
    )
    assert first.stdout == second.stdout
    assert (first.stderr.split()[-1], second.stderr.split()[-1]) == ("True", "False")


def test_a_backbone_loaded_from_its_record_has_the_recorded_preprocessing(weights, photo):
    before = load_backbone(TAG, weights=weights, precision="float32")
    after = load_recorded(before.record, weights=weights, precision="float32")
    assert after.record == before.record
    assert torch.equal(after(after.transform(photo)[None]), before(before.transform(photo)[None]))
    smaller = {**before.record.preprocessing, "input_size": [3, 96, 96]}
    record = BackboneRecord(**{**before.record.to_dict(), "preprocessing": smaller})
    assert load_recorded(record, weights=weights).transform(photo).shape == (3, 96, 96)


def test_other_weights_than_the_recorded_ones_are_refused_with_both_hashes(weights, tmp_path):
    record = load_backbone(TAG, weights=weights).record
    other = tmp_path / "other.pth"
    torch.save(network().state_dict(), other)
    with pytest.raises(WeightsError) as caught:
        load_recorded(record, weights=other)
    assert record.weights_sha256[:12] in caught.value.message
    assert file_sha256(other)[:12] in caught.value.message


def test_a_model_trained_on_features_of_an_unknown_backbone_has_no_backbone():
    record = BackboneRecord(tag="vgg19", weights_sha256="", preprocessing={}, feature_dim=4096)
    with pytest.raises(WeightsError, match="features of another program"):
        load_recorded(record)


def test_the_embedded_weights_classify_most_photos_of_common_animals_correctly(shared_data):
    head = embedded_network(embedded_weights()).get_classifier().eval()
    backbone = load_backbone("embedded")
    imagenet = {"zebra": 340, "giant_panda": 388, "tiger": 292, "hippopotamus": 344}
    paths = {name: sorted((shared_data / "animals" / "images" / name).glob("*.jpg"))[:4] for name in imagenet}
    photos = [backbone.transform(Image.open(path).convert("RGB")) for group in paths.values() for path in group]
    with torch.no_grad():
        answers = head(backbone(torch.stack(photos))).argmax(1).tolist()
    expected = [imagenet[name] for name, group in paths.items() for _ in group]
    assert sum(a == e for a, e in zip(answers, expected, strict=True)) >= 0.75 * len(expected)
