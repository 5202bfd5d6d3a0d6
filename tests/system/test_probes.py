"""Micro-benchmarks: choices depend on the measurement, which is cached for this machine only."""

from __future__ import annotations

import json

import pytest
import torch

from revcd_cli.system import files, precision, probes

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache_path(tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "cache_file", lambda: tmp_path / "cache" / "trials.json")
    return tmp_path / "cache" / "trials.json"


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (2.13, (torch.bfloat16, "bfloat16 (2.1 times as fast as float32 here)")),
        (1.1, (torch.float32, "float32 (bfloat16 is 1.1 times as fast here)")),
        (0.0, (torch.float32, "float32 (bfloat16 is 0.0 times as fast here)")),
    ],
)
def test_bfloat16_is_chosen_automatically_if_and_only_if_it_is_clearly_faster(monkeypatch, ratio, expected):
    monkeypatch.setattr(probes, "speedup", lambda device, dtype: ratio)
    choice = precision.choose_precision("auto", CPU)
    assert (choice.value, choice.reason) == expected


def test_a_real_micro_benchmark_gives_a_finite_ratio_and_keeps_the_threads():
    before = torch.get_num_threads()
    ratio = probes.speedup(CPU, torch.bfloat16)
    assert 0 < ratio < 1000
    assert torch.get_num_threads() == before


def test_float32_is_as_fast_as_itself():
    assert 0.2 < probes.speedup(CPU, torch.float32) < 5


def test_a_type_that_the_device_cannot_compute_is_never_worthwhile():
    assert not probes.is_worthwhile(probes.speedup(CPU, torch.int8))


def test_each_question_is_measured_once_on_each_machine(monkeypatch):
    asked = []

    def measure() -> int:
        asked.append(1)
        return len(asked)

    assert [probes.cached(["a", 1], measure) for _ in range(3)] == [1, 1, 1]
    assert probes.cached(["a", 2], measure) == 2
    monkeypatch.setattr(probes, "machine_id", lambda: "another")
    assert probes.cached(["a", 1], measure) == 3


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_an_unreadable_cache_is_replaced(cache_path, content):
    cache_path.parent.mkdir()
    cache_path.write_bytes(content)
    assert probes.cached(["a"], lambda: 5) == 5
    assert list(json.loads(files.read_checksummed(cache_path)).values()) == [5]


def test_without_a_writable_cache_each_run_measures(cache_path):
    cache_path.parent.write_text("a file")
    answers = iter([1, 2])
    assert [probes.cached(["a"], lambda: next(answers)) for _ in range(2)] == [1, 2]


SIZES = (4, 8, 16, 32)


@pytest.mark.parametrize(
    ("rates", "best"),
    [((10, 20, 30, 40), 32), ((10, 20, 20.1, 40), 8), ((10, 9, 50, 50), 4), ((10, 20, None, 99), 8), ((None,) * 4, 4)],
)
def test_the_batch_size_grows_while_it_is_faster_and_fits_into_memory(rates, best):
    def rate(size: int) -> float:
        found = rates[SIZES.index(size)]
        if found is None:
            raise torch.OutOfMemoryError("out of memory")
        return found

    assert probes.best_batch_size(rate, SIZES) == best
