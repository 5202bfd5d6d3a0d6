"""Laws of a backbone's classifier: its logits of revcd's features are those of timm's network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from revcd_cli.backbones.backbone import embedded_network, load_backbone
from revcd_cli.backbones.classifier import load_classifier, why_no_classifier
from revcd_cli.backbones.source import embedded_weights
from revcd_cli.errors import WeightsError


def image_batch(size: int) -> torch.Tensor:
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_logits_of_the_embedded_features_are_those_of_the_network():
    backbone, network = load_backbone("embedded", precision="float32"), embedded_network(embedded_weights()).eval()
    classifier = load_classifier(backbone.record)
    images = image_batch(backbone.record.preprocessing["input_size"][1])
    logits = backbone(images).numpy() @ classifier.weights.T + classifier.bias
    with torch.inference_mode():
        np.testing.assert_allclose(logits, network(images).numpy(), atol=2e-3)
    assert np.array_equal(classifier.weights, network.get_classifier().weight.detach().numpy())
    assert classifier.labels.name == "imagenet-1k"


@pytest.mark.parametrize("tag", ["resnet18.a1_in1k", "mobilenetv3_small_050.lamb_in1k", "convnext_atto.d2_in1k"])
def test_logits_of_a_tag_of_timm_are_those_of_the_network(tag: str, tmp_path: Path):
    torch.manual_seed(0)
    network, file = timm.create_model(tag, pretrained=False).eval(), tmp_path / "w.safetensors"
    save_file(network.state_dict(), file)
    backbone = load_backbone(tag, weights=file, precision="float32")
    classifier = load_classifier(backbone.record, weights=file)
    images = image_batch(64)
    with torch.inference_mode():
        expected = network(images).numpy()
    logits = backbone(images).numpy() @ classifier.weights.T + classifier.bias
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_a_weights_file_without_a_classifier_is_refused(tmp_path: Path):
    network, file = timm.create_model("resnet18", num_classes=0), tmp_path / "w.safetensors"
    save_file(network.state_dict(), file)
    record = load_backbone("resnet18", weights=file).record
    with pytest.raises(WeightsError, match="no classifier"):
        load_classifier(record, weights=file)


def test_another_weights_file_than_that_of_the_features_is_refused():
    record = replace(load_backbone("embedded").record, weights_sha256="ab")
    with pytest.raises(WeightsError, match="not the weights file"):
        load_classifier(record)


def test_features_from_elsewhere_and_spatial_tokens_have_no_classifier():
    record = load_backbone("embedded").record
    assert not why_no_classifier(record)
    for other in (replace(record, weights_sha256=""), replace(record, tokens=2)):
        with pytest.raises(WeightsError, match=r"There is no classifier"):
            load_classifier(other)
