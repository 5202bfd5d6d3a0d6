"""Backbones: networks of timm that turn a photo into a feature vector, each with its own preprocessing.

Symbols: B batch, H and W input size, D feature size, N spatial tokens of C values, D = N * C.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import runtime
from .backbone_tokens import TokenNetwork
from .config import BackboneRecord
from .errors import UsageError, WeightsError
from .files import file_sha256
from .weights_file import load_weights, read_state_dict
from .weights_source import AUTO, EMBEDDED, WeightsSource, decide_source

if TYPE_CHECKING:
    from PIL import Image

EMBEDDED_ARCHITECTURE = "tf_efficientnet_lite2"


class Backbone:
    """A frozen network with pooled features or spatial tokens, and the preprocessing that belongs to it.

    record: what is stored beside the features. note: one line that says which backbone this is and why.
    device, precision, threads: `runtime.Choice`, each with its reason.
    """

    def __init__(
        self,
        network: nn.Module,
        record: BackboneRecord,
        note: str,
        *,
        device: runtime.Choice[torch.device],
        precision: runtime.Choice[torch.dtype],
        threads: runtime.Choice[int],
    ) -> None:
        self.record, self.note = record, note
        self.device, self.precision, self.threads = device, precision, threads
        self.network = network.eval().requires_grad_(False)
        self.network.to(device=device.value, dtype=precision.value, memory_format=torch.channels_last)
        self._transform = _create_transform(record.preprocessing)

    def transform(self, image: Image.Image) -> Tensor:
        """Resize, crop and normalise one RGB photo: (3, H, W) float32."""
        return self._transform(image)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features (B, D), float32 in main memory, of transformed photos (B, 3, H, W).

        With `record.tokens` = N > 0 a row is the N tokens of the last map one after the other: `unflatten(1, (N, -1))`
        gives (B, N, C), the places of the map row by row.
        """
        with torch.inference_mode():
            features = self.network(runtime.to_device(images, self.device.value, self.precision.value))
        if features.shape != (len(images), self.record.feature_dim):
            raise UsageError(
                f"{self.record.tag}: gives {tuple(features.shape[1:])} values for a photo, not one vector.",
                hint="Choose a network that timm lists for classification.",
            )
        # Copied outside inference mode, so that training may use the result like any other tensor.
        return features.to("cpu", torch.float32, copy=True)


def load_backbone(
    tag: str = AUTO,
    *,
    weights: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    tokens: bool = False,
) -> Backbone:
    """Load the backbone of that tag, with `weights` if given, else from the hub's cache or the hub.

    tokens: its features are the spatial tokens before pooling. Raises `UsageError` for an unknown tag, device or
    precision, or a network without such tokens, and `WeightsError` where weights cannot be had.
    """
    return _load(tag, weights, device, precision, tokens, None)


def load_recorded(
    record: BackboneRecord, *, weights: Path | None = None, device: str = "auto", precision: str = "auto"
) -> Backbone:
    """Load exactly the backbone, weights and preprocessing that a model was trained on, or raise `WeightsError`."""
    if not record.weights_sha256:
        raise WeightsError(
            f'The model was trained on features from elsewhere ("{record.tag}", {record.feature_dim} values a photo), '
            "so revcd cannot turn a photo into what it understands.",
            hint="Use a model that was trained on features extracted by revcd.",
        )
    return _load(record.tag, weights, device, precision, record.tokens > 0, record)


def _load(
    tag: str, weights: Path | None, device: str, precision: str, tokens: bool, trained_on: BackboneRecord | None
) -> Backbone:
    where = runtime.choose_device(device)  # cheap, so a mistyped option is told before anything is fetched or read
    how = runtime.choose_precision(precision, where.value)
    source = decide_source(tag, weights)
    if source.tag == EMBEDDED:
        network = embedded_network(source.path)
        network.reset_classifier(0)
    else:
        network = _timm_network(source)
    sha256 = file_sha256(source.path)
    if trained_on is not None and sha256 != trained_on.weights_sha256:
        raise WeightsError(
            f"{source.path}: is not the weights file that the model was trained on: its sha256 begins with "
            f"{sha256[:12]}, that of the model's with {trained_on.weights_sha256[:12]}.",
            hint="Give the model's own with --weights FILE.",
        )
    preprocessing = trained_on.preprocessing if trained_on is not None else _preprocessing(network)
    # What enters the classifier; in some families there is a layer between it and `num_features`.
    n_tokens, n_channels = 0, getattr(network, "head_hidden_size", network.num_features)
    if tokens:
        network = TokenNetwork(network, source.tag, tuple(preprocessing["input_size"]))
        n_tokens, n_channels = network.n_tokens, network.n_channels
    record = BackboneRecord(
        tag=source.tag,
        weights_sha256=sha256,
        preprocessing=preprocessing,
        feature_dim=max(n_tokens, 1) * n_channels,
        precision=runtime.precision_name(how.value),
        tokens=n_tokens,
    )
    name = f"{EMBEDDED} ({EMBEDDED_ARCHITECTURE}, " if source.tag == EMBEDDED else f"{source.tag} ("
    size = f"{n_tokens} tokens of {n_channels}-d" if tokens else f"{n_channels}-d"
    note = f"backbone {name}{size}): {source.why}"
    return Backbone(network, record, note, device=where, precision=how, threads=runtime.use_threads())


def embedded_network(path: Path) -> nn.Module:
    """Build the embedded network as a whole, its ImageNet classifier included, from its package's weights file.

    That file has the tensors of timm's network in timm's order, under other names.
    """
    import timm

    network = timm.create_model(EMBEDDED_ARCHITECTURE, pretrained=False)
    names, tensors = list(network.state_dict()), list(read_state_dict(path).values())
    if len(names) != len(tensors):
        raise WeightsError(f"{path}: has {len(tensors)} tensors, not the {len(names)} of {EMBEDDED_ARCHITECTURE}.")
    load_weights(network, dict(zip(names, tensors, strict=True)), path)
    return network


def _timm_network(source: WeightsSource) -> nn.Module:
    """Build a network without its classifier, whose weights the file may have or not, for any number of classes."""
    import timm

    network = timm.create_model(source.tag, pretrained=False, num_classes=0)
    classifier = network.pretrained_cfg.get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else classifier
    # "head.fc" may stand beside other layers that only classification needs, so all unused ones of "head" are left out.
    load_weights(network, read_state_dict(source.path), source.path, ignored={name.split(".")[0] for name in names})
    return network


def _preprocessing(network: nn.Module) -> dict[str, Any]:
    """Return timm's data config of the network as plain JSON values."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(network)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()}


def _create_transform(preprocessing: dict[str, Any]) -> Any:
    from timm.data import create_transform

    values = {name: tuple(value) if isinstance(value, list) else value for name, value in preprocessing.items()}
    return create_transform(**values, is_training=False)
