"""Read weights files of backbones (safetensors, or torch without pickled code) and load them strictly."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import WeightsError, brief, listed

_SHOWN = 5  # names that a message lists
_WRAPPERS = ("state_dict", "model")  # keys under which training programs keep the state dict
_ANOTHER = "Give another file with --weights FILE, or remove this one if it is in a cache."
_GIT_LFS = b"version https://git-lfs"
_WEB_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors or torch file without running code from it. The content decides the format.

    A dictionary {"state_dict": ...} or {"model": ...} around them, and "module." before every name, are removed.
    Raises `WeightsError` for any other file.
    """
    content = _read(path, check_weights_file(path))
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path}: holds no state dict but a {type(content).__name__}.", hint=_ANOTHER)
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise WeightsError(f'{path}: "{name}" is a {type(value).__name__}, not a tensor.', hint=_ANOTHER)
    if all(name.startswith("module.") for name in content):  # saved from DataParallel
        content = {name.removeprefix("module."): value for name, value in content.items()}
    return dict(content)


def check_weights_file(path: Path) -> bytes:
    """Return the first bytes of a regular file that could be weights, or raise `WeightsError`."""
    try:
        if not path.exists():
            raise WeightsError(f"{path}: there is no such weights file.", hint="Check the path given with --weights.")
        if not path.is_file():
            raise WeightsError(f"{path}: is not a regular file, so it holds no weights.", hint=_ANOTHER)
        with path.open("rb") as stream:
            opening = stream.read(512)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if not opening:
        raise WeightsError(f"{path}: is empty.", hint=_ANOTHER)
    if opening.startswith(_GIT_LFS):
        raise WeightsError(
            f"{path}: is a Git LFS pointer, not the weights themselves.", hint="Fetch the real file: git lfs pull"
        )
    if opening.lstrip().lower().startswith(_WEB_PAGE):
        raise WeightsError(f"{path}: is a web page, not weights: the download failed.", hint=_ANOTHER)
    return opening


def _read(path: Path, opening: bytes) -> object:
    if opening[8:9] == b"{":  # a safetensors file: eight bytes of length, then JSON
        return _read_safetensors(path)
    if opening.startswith(b"PK") and not _is_whole_zip(path):
        raise WeightsError(f"{path}: is truncated.", hint=_ANOTHER)
    if not opening.startswith((b"PK", b"\x80")):  # zip, or a pickle of any modern protocol
        raise WeightsError(f"{path}: is neither a safetensors nor a torch file.", hint=_ANOTHER)
    try:
        with path.open("rb") as stream:  # not by path: torch would trust its suffix
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: holds Python objects other than tensors, which could run code, so it is refused.",
            hint="Save only the state dict, preferably as safetensors.",
        ) from error
    except Exception as error:  # RuntimeError, EOFError, KeyError, ValueError ... for damaged archives
        raise WeightsError(f"{path}: is damaged or not a state dict ({brief(error)}).", hint=_ANOTHER) from error


def _is_whole_zip(path: Path) -> bool:
    """Return whether the directory at the end of a zip file exists."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # a damaged directory, in some versions of Python
        return False


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(
            f"{path}: is a truncated or damaged safetensors file ({brief(error)}).", hint=_ANOTHER
        ) from error


def load_weights(network: nn.Module, state: Mapping[str, Tensor], path: Path, ignored: Collection[str] = ()) -> None:
    """Load a state dict strictly into a network, leaving out entries below the `ignored` top-level modules.

    Raises `WeightsError` that lists the first names that do not fit or are not finite.
    """
    wanted = network.state_dict()
    state = {name: value for name, value in state.items() if name in wanted or name.split(".")[0] not in ignored}
    problems = [
        f"{name} is {_shape(state[name])}, not {_shape(value)}"
        for name, value in wanted.items()
        if name in state and state[name].shape != value.shape
    ]
    if not problems:
        missing, unexpected = network.load_state_dict(state, strict=False)
        problems = [f"{name} is missing" for name in missing] + [f"{name} is not part of it" for name in unexpected]
    if problems:
        raise WeightsError(
            f"{path}: does not fit the network: {listed(problems, _SHOWN, separator='; ')}.",
            hint="Give --backbone the timm tag of the network that the file was saved from.",
        )
    damaged = [name for name, value in state.items() if value.is_floating_point() and not _is_finite(value)]
    if damaged:
        raise WeightsError(
            f"{path}: has NaN or infinite weights in {listed(damaged, _SHOWN)}.",
            hint=_ANOTHER,
        )


def _is_finite(value: Tensor) -> bool:
    # The extremes reveal NaN and infinities, many times faster than a test of every element.
    return not value.numel() or all(extreme.isfinite() for extreme in value.aminmax())


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a number"
