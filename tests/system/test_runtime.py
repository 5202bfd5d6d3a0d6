"""Choices about the machine: devices, precisions, threads, noise."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from revcd_cli.errors import UsageError
from revcd_cli.system import runtime

CPU = torch.device("cpu")


def draw(seed: int, key: bytes) -> torch.Tensor:
    return torch.randn(8, generator=runtime.image_generator(seed, key))


def test_the_automatic_device_can_hold_a_tensor_and_says_why_it_was_chosen():
    choice = runtime.choose_device("auto")
    assert torch.ones(2, device=choice.value).sum() == 2
    assert choice.reason.startswith(str(choice.value)) and "(" in choice.reason


def test_every_device_called_available_can_be_chosen_by_name():
    for name in runtime.available_devices():
        assert runtime.choose_device(name).value == torch.device(name)


@pytest.mark.parametrize("name", ["gpu", "xyz", "", "cpu:3", "cuda:99", "meta", "CPU"])
def test_a_device_that_is_not_there_is_a_usage_error_that_lists_what_is(name):
    with pytest.raises(UsageError) as caught:
        runtime.choose_device(name)
    assert f'"{name}"' in caught.value.message
    assert "cpu" in caught.value.hint
    assert len(caught.value.message) < 200


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has an Apple GPU")
def test_an_apple_device_elsewhere_is_a_usage_error():
    with pytest.raises(UsageError, match="mps"):
        runtime.choose_device("mps")


@pytest.mark.parametrize(("capability", "lower"), [((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
@pytest.mark.parametrize("ratio", [3.0, 1.0])
def test_a_gpu_tries_bfloat16_from_ampere_on_and_float16_before(monkeypatch, capability, lower, ratio):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(runtime.probes, "remembered", lambda question, find_out: ratio)
    choice = runtime.choose_precision("auto", torch.device("cuda:0"))
    assert runtime.precision_name(choice.value) == (lower if ratio > 2 else "float32")


@pytest.mark.parametrize(("short", "long"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_short_names_of_precisions_mean_the_long_ones(short, long):
    assert runtime.choose_precision(short, CPU) == runtime.choose_precision(long, CPU)
    assert runtime.precision_name(runtime.choose_precision(short, CPU).value) == long


@pytest.mark.parametrize("name", ["float16", "fp16", "bfloat", "int8"])
def test_a_precision_that_the_processor_cannot_use_is_a_usage_error(name):
    with pytest.raises(UsageError, match=r"float16 is not|There is no precision"):
        runtime.choose_precision(name, CPU)


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
        "import torch; from revcd_cli.system.runtime import image_generator; "
        "print(torch.randn(8, generator=image_generator(7, b'photo')).tolist())"
    )
    root = Path(__file__).resolve().parents[2]
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert there.stdout.strip() == str(here)


def test_the_noise_of_many_photos_is_standard_normal_and_uncorrelated():
    noise = torch.stack([draw(0, hashlib.sha256(bytes([i, j])).digest()) for i in range(40) for j in range(50)])
    assert noise.mean().abs() < 0.03
    assert (noise.T.cov() - torch.eye(8)).abs().max() < 0.12


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("max 100000\n", None),
        ("200000 100000\n", 2),
        ("150000 100000", 2),
        ("5000 100000", 1),
        ("", None),
        ("1 0", None),
    ],
)
def test_a_containers_quota_is_read_as_whole_processors(line, expected):
    assert runtime.cpu_quota(line) == expected


def test_threads_follow_the_quota_of_a_container(monkeypatch, tmp_path):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(runtime, "_CPU_QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text("300000 100000\n")
    assert runtime.choose_threads() == runtime.Choice(3, "3 threads (the container's quota)")


def test_memory_is_the_machine_s_or_the_container_s_share_of_it(monkeypatch, tmp_path):
    monkeypatch.setattr(runtime, "_MEMORY_LIMIT", tmp_path / "memory.max")
    whole = runtime.memory_size()
    assert whole == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line, expected in (("max\n", whole), (f"{2**20}\n", 2**20), (f"{2**80}\n", whole)):
        (tmp_path / "memory.max").write_text(line)
        assert runtime.memory_size() == expected


def test_threads_that_the_user_fixed_are_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    assert runtime.use_threads().value == before == torch.get_num_threads()


def test_a_moved_batch_is_channels_last_and_of_the_wanted_type():
    images = torch.rand(2, 3, 5, 7)
    moved = runtime.to_device(images, CPU, torch.bfloat16)
    assert moved.dtype == torch.bfloat16 and moved.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(moved.float(), images, atol=0.005, rtol=0)


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform != "linux", reason="of glibc only")
def test_memory_that_is_kept_is_not_fetched_from_the_system_again():
    program = """
import resource, sys, torch
from revcd_cli.system import runtime
kept = sys.argv[1] == "keep" and runtime.keep_memory()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    before = faults()
    torch.ones(2**24)  # 64 MB, more than glibc ever keeps by itself
print(faults() - before, kept)
"""
    root = Path(__file__).resolve().parents[2]

    def pages(way: str) -> tuple[int, bool]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
        done = subprocess.run(
            [sys.executable, "-c", program, way], capture_output=True, text=True, check=True, cwd=root, env=environment
        )
        count, kept = done.stdout.split()
        return int(count), kept == "True"

    count, kept = pages("keep")
    if not kept:
        pytest.skip("the C library is not glibc")
    assert count < 100 < pages("leave")[0]


def test_the_users_own_settings_of_memory_stay(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "0")
    assert not runtime.keep_memory()


def test_a_processor_computes_as_many_batches_as_it_has_threads_up_to_eight():
    assert [runtime.streams(CPU, threads) for threads in (1, 2, 8, 64)] == [1, 2, 8, 8]


def test_a_pool_of_streams_shares_the_threads_and_gives_them_back():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with runtime.stream_pool(2) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_one_thread_is_one_and_the_others_come_back_whatever_happens():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(KeyError), runtime.one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
