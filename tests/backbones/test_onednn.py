"""Private operators of torch: results equal those of public functions, and one module only uses them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

import revcd_cli
from revcd_cli.backbones.program.activations import ACTIVATIONS
from revcd_cli.backbones.program.onednn import has_onednn, onednn_convolution

CPU = torch.device("cpu")
NUMBERS = {"hardtanh": [0.0, 6.0]}
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def options(groups: int, stride: int, dilation: int, act: str | None) -> dict[str, Any]:
    chosen = {"padding": [1, 2], "stride": [stride] * 2, "dilation": [dilation] * 2, "groups": groups}
    chosen["size"] = [8, 13, 15]
    return chosen if act is None else {**chosen, "act": act, "numbers": NUMBERS.get(act, [])}


def public(settings: dict[str, Any], x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return functional.conv2d(
        x, weight, bias, settings["stride"], settings["padding"], settings["dilation"], settings["groups"]
    )


def tensors(groups: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 8, 13, 15, generator=generator).to(dtype, memory_format=torch.channels_last)
    weight = torch.randn(8, 8 // groups, 3, 3, generator=generator).to(dtype)
    return x, weight, torch.randn(8, generator=generator).to(dtype)


def relative_distance(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).float().norm() / expected.float().norm()).item()


needs_onednn = pytest.mark.skipif(not has_onednn(CPU, torch.float32), reason="torch has no oneDNN here")


@needs_onednn
@pytest.mark.parametrize("act", [None, *ACTIVATIONS])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
def test_a_convolution_with_an_activation_equals_that_of_torch(act: str | None, dtype: torch.dtype):
    for groups, stride, dilation in itertools.product((1, 2, 8), (1, 2), (1, 2)):
        settings = options(groups, stride, dilation, act)
        x, weight, bias = tensors(groups, dtype)
        expected = public(settings, x, weight, bias)
        expected = expected if act is None else ACTIVATIONS[act](expected, *settings["numbers"])
        with torch.inference_mode():
            found = onednn_convolution(settings, (False,), weight, bias)(x)
        assert relative_distance(found, expected) < TOLERANCE[dtype], (groups, stride, dilation)


@needs_onednn
@pytest.mark.parametrize("act", [None, "relu"])
@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize("reused", [False, True])
def test_a_convolution_with_a_residual_sum_equals_that_of_torch(act: str | None, dtype: torch.dtype, reused: bool):
    settings = options(1, 1, 1, act)
    x, weight, bias = tensors(1, dtype)
    plain = public(settings, x, weight, bias)
    other = torch.randn(plain.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    other = other.contiguous(memory_format=torch.channels_last)
    expected = plain + other if act is None else (plain + other).relu()
    before = other.clone()
    with torch.inference_mode():
        found = onednn_convolution(settings, (False, reused), weight, bias)(x, other)
    assert relative_distance(found, expected) < TOLERANCE[dtype]
    assert reused or torch.equal(other, before)


def test_no_other_module_uses_private_operators_of_torch():
    package = Path(revcd_cli.__file__).parent
    users = [path.name for path in package.rglob("*.py") if "torch.ops" in path.read_text("utf-8")]
    assert users == ["onednn.py"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_types_are_computed_by_torch(dtype: torch.dtype):
    assert not has_onednn(CPU, dtype)
    assert not has_onednn(torch.device("meta"), torch.float32)


AS_ON_A_CPU_WITHOUT_BFLOAT16 = """
import torch
from revcd_cli.backbones.backbone import load_backbone
from revcd_cli.backbones.program.onednn import lacks_bfloat16
from revcd_cli.errors import UsageError

if lacks_bfloat16(torch.device("cpu")):
    print(load_backbone("embedded").record.precision, load_backbone("embedded", precision="float32").record.precision)
    try:
        load_backbone("embedded", precision="bfloat16")
    except UsageError as error:
        print(error.message)
"""


@pytest.mark.slow
@needs_onednn
def test_a_cpu_without_bfloat16_computes_in_float32_and_refuses_bfloat16(tmp_path: Path):
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", AS_ON_A_CPU_WITHOUT_BFLOAT16]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    if not run.stdout:
        pytest.skip("oneDNN computes in bfloat16 without the instructions that ONEDNN_MAX_CPU_ISA forbids")
    assert run.stdout.splitlines() == ["float32 float32", "This CPU has no instructions for bfloat16."]
