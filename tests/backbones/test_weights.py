"""Weights files: every safe format is read, and every invalid file is refused with a message of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from revcd_cli.backbones.weights import load_weights, read_state_dict
from revcd_cli.errors import WeightsError


def network() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 8, 1))
    return nn.ModuleDict({"body": body, "head": nn.Linear(8, 5)})


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
    ],
    ids=["plain", "state_dict", "model", "module", "state_dict_module"],
)
def test_every_known_layout_of_a_state_dict_is_read(tmp_path, wrap):
    state = network().state_dict()
    torch.save(wrap(state), tmp_path / "weights.pth")
    assert same(read_state_dict(tmp_path / "weights.pth"), state)


@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors", ""])
def test_the_format_is_determined_by_the_content_not_the_name_of_a_file(tmp_path, suffix):
    state, path = network().state_dict(), tmp_path / f"weights{suffix}"
    safetensors.torch.save_file(state, path)
    assert same(read_state_dict(path), state)
    for zipped in (True, False):
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        assert same(read_state_dict(path), state)


def test_half_precision_weights_are_loaded_into_a_float32_network(tmp_path):
    half = network().half().state_dict()
    target = network()
    load_weights(target, half, tmp_path)
    assert all(value.dtype in (torch.float32, torch.int64) for value in target.state_dict().values())
    torch.testing.assert_close(target.state_dict()["head.weight"].half(), half["head.weight"])


def test_batch_norm_counters_missing_in_old_files_are_filled_in(tmp_path):
    state = {name: value for name, value in network().state_dict().items() if "num_batches_tracked" not in name}
    target = network()
    load_weights(target, state, tmp_path)
    assert same({name: target.state_dict()[name] for name in state}, state)


def test_surplus_tensors_are_ignored_only_in_ignored_modules(tmp_path):
    target = network()
    state = {**target.state_dict(), "fc.weight": torch.full((2, 2), torch.nan)}
    load_weights(target, state, tmp_path, ignored={"fc"})
    with pytest.raises(WeightsError, match=r"fc\.weight is not part of it"):
        load_weights(target, state, tmp_path, ignored={"f", "head"})
    del state["head.bias"]
    with pytest.raises(WeightsError, match=r"head\.bias is missing"):
        load_weights(target, state, tmp_path, ignored={"fc", "head"})


def test_an_error_about_mismatched_tensors_lists_five_names_and_counts_the_rest(tmp_path):
    state = {f"layer{i}": torch.zeros(1) for i in range(4)}
    with pytest.raises(WeightsError, match=r"does not fit the network: ([^;]+; ){4}[^;]+ and \d+ more\."):
        load_weights(network(), state, tmp_path)


def make_bad_file(kind: str, path: Path) -> None:
    state = network().state_dict()
    first = next(iter(state))
    if kind == "truncated safetensors":
        path.write_bytes(safetensors.torch.save(state)[:-200])
    elif kind in ("truncated torch", "pickle", "flipped"):
        torch.save({**state, "path": Path("x")} if kind == "pickle" else state, path)
        data = path.read_bytes()
        path.write_bytes({"truncated torch": data[:-200], "pickle": data, "flipped": b"PK" + data[2:90] + data}[kind])
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("this system has no named pipes")
        os.mkfifo(path)
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "number":
        torch.save({"epoch": 3}, path)
    elif kind == "missing key":
        torch.save({name: value for name, value in state.items() if name != first}, path)
    elif kind == "extra key":
        torch.save({**state, "layer9.weight": torch.zeros(1)}, path)
    elif kind == "shape":
        torch.save({**state, first: torch.zeros(2, 3)}, path)
    elif kind in ("nan", "inf"):
        state[first].view(-1)[5] = float(kind)
        torch.save(state, path)
    elif kind != "absent":
        path.write_bytes(
            {
                "empty": b"",
                "text": b"hello, world, this is no weights file",
                "html": b"\n<!DOCTYPE html><html><body>404</body></html>",
                "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 178\n",
                "huge header": b"\xff\xff\xff\xff\xff\xff\xff\x00{" + b" " * 100,
            }[kind]
        )


BAD_FILES = {
    "absent": "there is no such weights file",
    "folder": "not a regular file",
    "pipe": "not a regular file",
    "empty": "is empty",
    "text": "neither a safetensors nor a torch file",
    "html": "web page",
    "lfs": "Git LFS pointer",
    "huge header": "damaged safetensors file",
    "truncated safetensors": "truncated or damaged safetensors file",
    "truncated torch": "is truncated",
    "flipped": "damaged",
    "pickle": "could run code",
    "list": "holds no state dict but a list",
    "number": '"epoch" is a int, not a tensor',
    "missing key": r"does not fit the network: body\.0\.weight is missing",
    "extra key": r"layer9\.weight is not part of it",
    "shape": r"body\.0\.weight is 2x3, not \d+x3x3x3",
    "nan": r"NaN or infinite weights in body\.0\.weight",
    "inf": "NaN or infinite weights",
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_each_kind_of_invalid_weights_file_has_its_own_message(tmp_path, kind):
    path = tmp_path / "weights.pth"
    make_bad_file(kind, path)
    with pytest.raises(WeightsError, match=BAD_FILES[kind]) as caught:
        load_weights(network(), read_state_dict(path), path)
    assert caught.value.message.startswith(f"{path}: ")
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 600


def test_code_in_a_weights_file_is_not_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="could run code"):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
