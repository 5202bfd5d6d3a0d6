"""The number of threads, and how concurrent batches share them."""

from __future__ import annotations

import os

import pytest
import torch

from revcd_cli.system import device, threads

CPU = torch.device("cpu")


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
    assert threads.cpu_quota(line) == expected


def test_threads_follow_the_quota_of_a_container(monkeypatch, tmp_path):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(threads, "_CPU_QUOTA", tmp_path / "cpu.max")
    (tmp_path / "cpu.max").write_text("300000 100000\n")
    assert threads.choose_threads() == device.Chosen(3, "3 threads (the container's quota)")


def test_a_number_of_threads_set_by_the_user_is_kept(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    assert threads.use_threads().value == before == torch.get_num_threads()


def test_the_number_of_concurrent_batches_is_that_of_the_threads_up_to_eight():
    assert [threads.stream_count(CPU, number) for number in (1, 2, 8, 64)] == [1, 2, 8, 8]


def test_a_pool_of_streams_shares_the_threads_and_restores_them():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with threads.stream_pool(2) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)


def test_one_thread_restores_the_number_of_threads_also_after_an_error():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(KeyError), threads.one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
