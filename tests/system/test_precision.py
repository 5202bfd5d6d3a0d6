"""The precision: "auto" follows the micro-benchmark, and impossible types are refused."""

from __future__ import annotations

import pytest
import torch

from revcd_cli.errors import UsageError
from revcd_cli.system import precision, probes

CPU = torch.device("cpu")


@pytest.mark.parametrize(("capability", "lower"), [((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
@pytest.mark.parametrize("ratio", [3.0, 1.0])
def test_a_gpu_measures_bfloat16_from_ampere_on_and_float16_before(monkeypatch, capability, lower, ratio):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(probes, "cached", lambda question, find_out: ratio)
    choice = precision.choose_precision("auto", torch.device("cuda:0"))
    assert precision.precision_name(choice.value) == (lower if ratio > 2 else "float32")


@pytest.mark.parametrize(("short", "long"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_short_names_of_precisions_equal_the_long_ones(short, long):
    assert precision.choose_precision(short, CPU) == precision.choose_precision(long, CPU)
    assert precision.precision_name(precision.choose_precision(short, CPU).value) == long


@pytest.mark.parametrize("name", ["float16", "fp16", "bfloat", "int8"])
def test_a_precision_that_the_processor_does_not_support_is_a_usage_error(name):
    with pytest.raises(UsageError, match=r"float16 is slow|There is no precision"):
        precision.choose_precision(name, CPU)
