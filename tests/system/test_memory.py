"""The memory limit, and freed memory that the process keeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from revcd_cli.system import memory

CPU = torch.device("cpu")


def test_the_memory_limit_is_that_of_the_machine_or_the_container(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_MEMORY_LIMIT", tmp_path / "memory.max")
    whole = memory.memory_size()
    assert whole == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line, expected in (("max\n", whole), (f"{2**20}\n", 2**20), (f"{2**80}\n", whole)):
        (tmp_path / "memory.max").write_text(line)
        assert memory.memory_size() == expected


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform != "linux", reason="of glibc only")
def test_kept_memory_is_reused_without_new_page_faults():
    program = """
import resource, sys, torch
from revcd_cli.system import device, image_noise, memory, precision, threads
kept = sys.argv[1] == "keep" and memory.keep_freed_memory()
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


def test_memory_settings_of_the_user_are_kept(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "0")
    assert not memory.keep_freed_memory()
