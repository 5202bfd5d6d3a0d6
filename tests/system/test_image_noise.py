"""The noise of an image depends on the seed and the image's key only."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from revcd_cli.system import image_noise

CPU = torch.device("cpu")


def draw(seed: int, key: bytes) -> torch.Tensor:
    return torch.randn(8, generator=image_noise.image_generator(seed, key))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**40), st.binary(max_size=40))
def test_noise_is_a_function_of_seed_and_key(seed, key):
    assert torch.equal(draw(seed, key), draw(seed, key))


def test_another_seed_or_another_key_gives_other_noise():
    pairs = [(0, b"a"), (1, b"a"), (0, b"b"), (1, b""), (11, b""), (1, b"1"), (0, b"1:")]
    assert len({tuple(draw(*pair).tolist()) for pair in pairs}) == len(pairs)


def test_noise_does_not_depend_on_the_process_or_on_torchs_global_state():
    torch.manual_seed(123)
    here = draw(7, b"photo").tolist()
    program = (
        "import torch; from revcd_cli.system.image_noise import image_generator; "
        "print(torch.randn(8, generator=image_generator(7, b'photo')).tolist())"
    )
    root = Path(__file__).resolve().parents[2]
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert there.stdout.strip() == str(here)


def test_the_noise_of_many_photos_is_standard_normal_and_uncorrelated():
    noise = torch.stack([draw(0, hashlib.sha256(bytes([i, j])).digest()) for i in range(40) for j in range(50)])
    assert noise.mean().abs() < 0.03
    assert (noise.T.cov() - torch.eye(8)).abs().max() < 0.12
