"""Backbones: networks of timm that compute the feature vector of an image, each with its preprocessing.

Symbols: B batch, H and W input size, D feature size, N spatial tokens of C values, D = N * C.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from .cuda_graph import EAGER_CALLS, GraphedForward
from .preprocess import Preprocessing
from .program.cache import load_program, program_file, save_program
from .program.onednn import lacks_bfloat16
from .program.steps import PreparedProgram, Program, rounding_cosine
from .source import AUTO, EMBEDDED, WeightsSource, decide_source
from .weights import check_weights_file, load_weights, read_state_dict

if TYPE_CHECKING:
    from PIL import Image

# bfloat16 is chosen automatically only if the features of an image of noise in bfloat16 and float32 have at least this
# cosine. The embedded network has 0.9996, and loses 0.3 points of H on photos; ResNet-101 (random weights) 0.999996.
_MIN_COSINE = 0.9999
EMBEDDED_ARCHITECTURE = "tf_efficientnet_lite2"


class Backbone:
    """A frozen network with its preprocessing; it returns pooled features or spatial tokens.

    record: stored with the features. note: one line that says which backbone this is and why. device, precision,
    threads: with the reason for each. streams: how many threads should call it at the same time if there are many
    batches. warm_up: calls with one batch size until its speed is reached. least_side: see `Preprocessing`.
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
        # Images are normalised on the GPU: as bytes they are copied in a quarter of the time of float32.
        self._on_gpu = device.value.type == "cuda"
        self._preprocessing = Preprocessing(record.preprocessing, device.value if self._on_gpu else "cpu")
        self.least_side = self._preprocessing.least_side
        self.network: nn.Module | PreparedProgram
        if isinstance(network, Program):
            self.network = network.prepared(device.value, precision.value)
        else:
            network = network.eval().requires_grad_(False)
            self.network = network.to(device.value, precision.value).to(memory_format=torch.channels_last)
        # Only programs: all their steps can be captured, and torch does not recover fully from a failed capture.
        has_graph = self._on_gpu and isinstance(network, Program)
        self._graph = GraphedForward(device.value) if has_graph else None
        self.warm_up = EAGER_CALLS + 1 if has_graph else 1

    def transform(self, image: Image.Image) -> Tensor:
        """Resize and crop one RGB image: (3, H, W) uint8."""
        return self._preprocessing.pixels(image)

    def batch(self, photos: Sequence[Tensor]) -> Tensor:
        """Stack photos (3, H, W) uint8 from `transform`: (B, 3, H, W), for a CUDA device in pinned memory."""
        if not self._on_gpu:
            return torch.stack(list(photos))
        rows = [photo.permute(1, 2, 0) for photo in photos]  # as they are in memory, so that stacking only copies
        pinned = torch.empty(len(rows), *rows[0].shape, dtype=torch.uint8, pin_memory=True)
        return torch.stack(rows, out=pinned).permute(0, 3, 1, 2)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the features (B, D), float32 on the CPU, of images (B, 3, H, W).

        images: uint8 from `batch`, or normalised and of a floating-point type. With `record.tokens` = N > 0,
        `features.unflatten(1, (N, -1))` is (B, N, C): the tokens of the last map, row by row.

        Raises `UsageError` if the network does not give one vector per image.
        """
        with torch.inference_mode():
            features = self._forward(images) if self._graph is None else self._graph(self._forward, images)
        if features.shape != (len(images), self.record.feature_dim):
            raise UsageError(
                f"{self.record.tag}: gives {tuple(features.shape[1:])} values per image, not one vector.",
                hint="Choose a network that timm lists for classification.",
            )
        # Copied outside inference mode, because autograd does not accept inference tensors.
        return features.to("cpu", torch.float32, copy=True)

    def _forward(self, images: Tensor) -> Tensor:
        if images.dtype == torch.uint8:
            if self._on_gpu:
                images = to_device(images, self.device.value, torch.uint8)
            images = self._preprocessing.normalised(images)
        return self.network(to_device(images, self.device.value, self.precision.value))

    @property
    def graph_batch(self) -> int | None:
        """The batch size for which a CUDA graph is replayed, None if there is no graph at present."""
        return None if self._graph is None else self._graph.batch_size

    @property
    def graph_problem(self) -> str:
        """Why the capture of a CUDA graph failed, "" if it did not."""
        return "" if self._graph is None else self._graph.problem

    def release_graph(self) -> None:
        """Free the memory of the CUDA graph, and run all later batches without one."""
        if self._graph is not None:
            self._graph.release()


def load_backbone(
    tag: str = AUTO,
    *,
    weights: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
    tokens: bool = False,
) -> Backbone:
    """Load a backbone by its tag, with the file `weights` if given, else from the hub's cache or the hub.

    tokens: return spatial tokens before pooling. Raises `UsageError` for an unknown tag, device or precision, or a
    network without such tokens, and `WeightsError` if the weights are not available.
    """
    return _load(tag, weights, device, precision, tokens, None)


def load_recorded(
    record: BackboneRecord, *, weights: Path | None = None, device: str = "auto", precision: str = "auto"
) -> Backbone:
    """Load exactly the backbone, weights and preprocessing of a model's training, or raise `WeightsError`."""
    if not record.weights_sha256:
        raise WeightsError(
            f'The model was trained on features of another program ("{record.tag}", {record.feature_dim} values per '
            "image), which revcd cannot compute for a photo.",
            hint="Use a model that was trained on features extracted by revcd.",
        )
    return _load(record.tag, weights, device, precision, record.tokens > 0, record)


def _load(
    tag: str, weights: Path | None, device: str, precision: str, tokens: bool, trained_on: BackboneRecord | None
) -> Backbone:
    chosen_device = choose_device(device)  # first, so that a mistyped option is reported before any download
    chosen_precision = choose_precision(precision, chosen_device.value)
    if chosen_precision.value == torch.bfloat16 and lacks_bfloat16(chosen_device.value):
        chosen_precision = _without_bfloat16(precision)
    source = decide_source(tag, weights)
    check_weights_file(source.path)  # before it is read: it may be missing, or a pipe that blocks
    sha256 = file_sha256(source.path)
    if trained_on is not None and sha256 != trained_on.weights_sha256:
        raise WeightsError(
            f"{source.path}: is not the weights file of the model's training: its sha256 begins with {sha256[:12]}, "
            f"expected {trained_on.weights_sha256[:12]}.",
            hint="Give the right file with --weights FILE.",
        )
    kept = program_file([source.recorded, sha256, tokens, trained_on and trained_on.preprocessing])
    network, about = load_program(kept) or _build(source, tokens, trained_on, kept)
    is_faithful = about.pop("is_faithful", True)
    if precision == "auto" and chosen_precision.value != torch.float32 and not is_faithful:
        lower = precision_name(chosen_precision.value)
        reason = f"float32 ({lower} is faster, but not accurate enough in this network)"
        chosen_precision = Chosen(torch.float32, reason)
    precision_used = precision_name(chosen_precision.value)
    record = BackboneRecord(tag=source.recorded, weights_sha256=sha256, precision=precision_used, **about)
    name = f"{source.recorded} (" + (f"{EMBEDDED_ARCHITECTURE}, " if source.tag == EMBEDDED else "")
    n_channels = record.feature_dim // max(record.tokens, 1)
    size = f"{record.tokens} tokens of {n_channels}-d" if tokens else f"{n_channels}-d"
    note = f"backbone {name}{size}): {source.why}"
    return Backbone(network, record, note, device=chosen_device, precision=chosen_precision, threads=use_threads())


def _without_bfloat16(precision: str) -> Chosen[torch.dtype]:
    """Return float32 for "auto", on a CPU without bfloat16; raise `UsageError` for bfloat16."""
    if precision != "auto":
        raise UsageError("This CPU has no instructions for bfloat16.", hint="Use float32 or auto.")
    return Chosen(torch.float32, "float32 (this CPU has no instructions for bfloat16)")


def _build(
    source: WeightsSource, tokens: bool, trained_on: BackboneRecord | None, kept: Path
) -> tuple[nn.Module | Program, dict[str, Any]]:
    """Return timm's network, or its program if it has one, and fields of the record; cache the program."""
    from .program.record import record
    from .tokens import TokenNetwork

    network: Any
    if source.tag == EMBEDDED:
        network = embedded_network(source.path)
        network.reset_classifier(0)
    else:
        network = _timm_network(source)
    preprocessing = trained_on.preprocessing if trained_on is not None else _preprocessing(network, source)
    input_size = tuple(preprocessing["input_size"])
    # The size of the classifier's input; some families have a layer between it and `num_features`.
    n_tokens, n_channels = 0, getattr(network, "head_hidden_size", network.num_features)
    if tokens:
        network = TokenNetwork(network, source.tag, input_size)
        n_tokens, n_channels = network.n_tokens, network.n_channels
    about = {"preprocessing": preprocessing, "feature_dim": max(n_tokens, 1) * n_channels, "tokens": n_tokens}
    program = record(network.eval().requires_grad_(False), input_size)
    if program is None:
        return network, about
    about["is_faithful"] = rounding_cosine(program, input_size, torch.bfloat16) >= _MIN_COSINE
    save_program(kept, program, about)
    return program, about


def embedded_network(path: Path) -> nn.Module:
    """Build the embedded network, with its ImageNet classifier, from the weights file of its package.

    The file has the tensors of timm's network in timm's order, under other names.
    """
    import timm

    network: Any = timm.create_model(EMBEDDED_ARCHITECTURE, pretrained=False)
    names, tensors = list(network.state_dict()), list(read_state_dict(path).values())
    if len(names) != len(tensors):
        raise WeightsError(f"{path}: has {len(tensors)} tensors, not the {len(names)} of {EMBEDDED_ARCHITECTURE}.")
    load_weights(network, dict(zip(names, tensors, strict=True)), path)
    return network


def _timm_network(source: WeightsSource) -> nn.Module:
    """Build a network without its classifier; the weights file may have one for any number of classes."""
    import timm

    network: Any = timm.create_model(source.tag, pretrained=False, num_classes=0)
    classifier = network.pretrained_cfg.get("classifier") or ()
    names = (classifier,) if isinstance(classifier, str) else classifier
    # "head.fc" may have siblings that only classification needs, so all unused tensors of "head" are ignored.
    load_weights(network, read_state_dict(source.path), source.path, ignored={name.split(".")[0] for name in names})
    return network


def _preprocessing(network: Any, source: WeightsSource) -> dict[str, Any]:
    """Return timm's data config of the network as plain JSON values, with the size of photos of the source.

    Raises `UsageError` for a size that the network cannot have.
    """
    from timm.data.config import resolve_model_data_config

    config = resolve_model_data_config(network)
    if source.side is not None:
        channels, *usual = config["input_size"]
        if network.pretrained_cfg.get("fixed_input_size") and usual != [source.side, source.side]:
            raise UsageError(
                f"{source.recorded}: this network takes photos of {' x '.join(map(str, usual))} pixels only.",
                hint=f"Use {source.tag}, or another network.",
            )
        config |= {"input_size": (channels, source.side, source.side), "crop_mode": "squash", "crop_pct": 1.0}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()}
