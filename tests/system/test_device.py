"""Devices: "auto" always chooses one, and a device that cannot compute is refused."""

from __future__ import annotations

import pytest
import torch

from revcd_cli.errors import UsageError
from revcd_cli.system import device

CPU = torch.device("cpu")


def test_the_automatic_device_can_hold_a_tensor_and_has_a_reason():
    choice = device.choose_device("auto")
    assert torch.ones(2, device=choice.value).sum() == 2
    assert choice.reason.startswith(str(choice.value)) and "(" in choice.reason


def test_every_device_called_available_can_be_chosen_by_name():
    for name in device.available_devices():
        assert device.choose_device(name).value == torch.device(name)


@pytest.mark.parametrize("name", ["gpu", "xyz", "", "cpu:3", "cuda:99", "meta", "CPU"])
def test_a_missing_device_is_a_usage_error_that_lists_the_available_ones(name):
    with pytest.raises(UsageError) as caught:
        device.choose_device(name)
    assert f'"{name}"' in caught.value.message
    assert "cpu" in caught.value.hint
    assert len(caught.value.message) < 200


def test_an_apple_gpu_that_cannot_compute_is_not_listed(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    listed = "mps" in device.available_devices()
    assert listed == (device.device_problem(torch.device("mps"), torch.float32) == "")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has an Apple GPU")
def test_mps_on_another_machine_is_a_usage_error():
    with pytest.raises(UsageError, match="mps"):
        device.choose_device("mps")


def test_a_moved_batch_is_channels_last_and_of_the_requested_type():
    images = torch.rand(2, 3, 5, 7)
    moved = device.to_device(images, CPU, torch.bfloat16)
    assert moved.dtype == torch.bfloat16 and moved.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(moved.float(), images, atol=0.005, rtol=0)
