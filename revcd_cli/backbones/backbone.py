"""Backbones: networks of timm that turn a photo into a feature vector, each with its own preprocessing.

Symbols: B batch, H and W input size, D feature size, N spatial tokens of C values, D = N * C.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..config import BackboneRecord
from ..errors import UsageError, WeightsError
from ..system.device import Chosen, choose_device, to_device
from ..system.files import file_sha256
from ..system.memory import keep_freed_memory
from ..system.precision import choose_precision, precision_name
from ..system.threads import stream_count, use_threads
from .preprocess import Preprocessing
from .program.cache import load_program, program_file, save_program
from .program.steps import Program, rounding_cosine
from .source import AUTO, EMBEDDED, WeightsSource, decide_source
from .weights import check_weights_file, load_weights, read_state_dict

if TYPE_CHECKING:
    from PIL import Image

# Below this cosine between features of noise in bfloat16 and float32, bfloat16 is used only if asked for. The embedded
# network has 0.9996, and loses 0.3 points of H on real photos; ResNet-101 (random weights) has 0.999996.
_FAITHFUL = 0.9999
EMBEDDED_ARCHITECTURE = "tf_efficientnet_lite2"


class Backbone:
    """A frozen network with pooled features or spatial tokens, and the preprocessing that belongs to it.

    record: what is stored beside the features. note: one line that says which backbone this is and why.
    device, precision, threads: `Chosen`, each with its reason. streams: how many threads should call it at the
    same time where there are many batches. least_side: see `Preprocessing`.
    """

    def __init__(
        self,
        network: nn.Module | Program,
        record: BackboneRecord,
        note: str,
        *,
        device: Chosen[torch.device],
        precision: Chosen[torch.dtype],
        threads: Chosen[int],
    ) -> None:
        keep_freed_memory()
        self.record, self.note = record, note
        self.device, self.precision, self.threads = device, precision, threads
        self.streams = stream_count(device.value, threads.value)
        # A GPU normalises by itself: bytes are a quarter of what the same pixels are as float32.
        self._on_gpu = device.value.type == "cuda"
        self._preprocessing = Preprocessing(record.preprocessing, device.value if self._on_gpu else "cpu")
        self.least_side = self._preprocessing.least_side
        if isinstance(network, Program):
            self.network = network.prepared(device.value, precision.value)
        else:
            self.network = network.eval().requires_grad_(False)
            self.network.to(device=device.value, dtype=precision.value, memory_format=torch.channels_last)

    def transform(self, image: Image.Image) -> Tensor:
        """Resize and crop one RGB photo: (3, H, W) uint8."""
        return self._preprocessing.pixels(image)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features (B, D), float32 in main memory, of transformed photos (B, 3, H, W).

        images: uint8 as `transform` gives them, or normalised already, of a floating-point type.
        With `record.tokens` = N > 0 a row is the N tokens of the last map one after the other: `unflatten(1, (N, -1))`
        gives (B, N, C), the places of the map row by row.
        """
        with torch.inference_mode():
            if images.dtype == torch.uint8:
                if self._on_gpu:
                    images = to_device(images, self.device.value, torch.uint8)
                images = self._preprocessing.normalised(images)
            features = self.network(to_device(images, self.device.value, self.precision.value))
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
    where = choose_device(device)  # cheap, so a mistyped option is told before anything is fetched or read
    how = choose_precision(precision, where.value)
    source = decide_source(tag, weights)
    check_weights_file(source.path)  # before it is read as a whole: it may be missing, or a pipe that blocks
    sha256 = file_sha256(source.path)
    if trained_on is not None and sha256 != trained_on.weights_sha256:
        raise WeightsError(
            f"{source.path}: is not the weights file that the model was trained on: its sha256 begins with "
            f"{sha256[:12]}, that of the model's with {trained_on.weights_sha256[:12]}.",
            hint="Give the model's own with --weights FILE.",
        )
    kept = program_file([source.tag, sha256, tokens, trained_on and trained_on.preprocessing])
    network, about = load_program(kept) or _built(source, tokens, trained_on, kept)
    is_faithful = about.pop("is_faithful", True)
    if precision == "auto" and how.value != torch.float32 and not is_faithful:
        lower = precision_name(how.value)
        how = Chosen(torch.float32, f"float32 ({lower} is faster, but not faithful enough in this network)")
    record = BackboneRecord(tag=source.tag, weights_sha256=sha256, precision=precision_name(how.value), **about)
    name = f"{EMBEDDED} ({EMBEDDED_ARCHITECTURE}, " if source.tag == EMBEDDED else f"{source.tag} ("
    n_channels = record.feature_dim // max(record.tokens, 1)
    size = f"{record.tokens} tokens of {n_channels}-d" if tokens else f"{n_channels}-d"
    note = f"backbone {name}{size}): {source.why}"
    return Backbone(network, record, note, device=where, precision=how, threads=use_threads())


def _built(
    source: WeightsSource, tokens: bool, trained_on: BackboneRecord | None, kept: Path
) -> tuple[nn.Module | Program, dict[str, Any]]:
    """Return timm's network, or its program where it has one, and what the record says of it; keep the program."""
    from .program.record import record
    from .tokens import TokenNetwork

    if source.tag == EMBEDDED:
        network = embedded_network(source.path)
        network.reset_classifier(0)
    else:
        network = _timm_network(source)
    preprocessing = trained_on.preprocessing if trained_on is not None else _preprocessing(network)
    input_size = tuple(preprocessing["input_size"])
    # What enters the classifier; in some families there is a layer between it and `num_features`.
    n_tokens, n_channels = 0, getattr(network, "head_hidden_size", network.num_features)
    if tokens:
        network = TokenNetwork(network, source.tag, input_size)
        n_tokens, n_channels = network.n_tokens, network.n_channels
    about = {"preprocessing": preprocessing, "feature_dim": max(n_tokens, 1) * n_channels, "tokens": n_tokens}
    program = record(network.eval().requires_grad_(False), input_size)
    if program is None:
        return network, about
    about["is_faithful"] = rounding_cosine(program, input_size, torch.bfloat16) >= _FAITHFUL
    save_program(kept, program, about)
    return program, about


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
