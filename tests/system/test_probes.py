"""Trials: what is chosen follows from what was measured, and is remembered for this machine alone."""

from __future__ import annotations

import json

import pytest
import torch

from revcd_cli.system import files, probes, runtime

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "trials_file", lambda: tmp_path / "cache" / "trials.json")
    return tmp_path / "cache" / "trials.json"


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (2.13, (torch.bfloat16, "bfloat16 (2.1 times as fast as float32 here)")),
        (1.1, (torch.float32, "float32 (bfloat16 is 1.1 times as fast here)")),
        (0.0, (torch.float32, "float32 (bfloat16 is 0.0 times as fast here)")),
    ],
)
def test_bfloat16_is_automatic_exactly_where_it_is_clearly_faster(monkeypatch, ratio, expected):
    monkeypatch.setattr(probes, "speed_ratio", lambda device, dtype: ratio)
    choice = runtime.choose_precision("auto", CPU)
    assert (choice.value, choice.reason) == expected


def test_a_real_trial_gives_a_finite_ratio_and_leaves_the_threads_alone():
    before = torch.get_num_threads()
    ratio = probes.speed_ratio(CPU, torch.bfloat16)
    assert 0 < ratio < 1000
    assert torch.get_num_threads() == before


def test_float32_is_as_fast_as_itself():
    assert 0.2 < probes.speed_ratio(CPU, torch.float32) < 5


def test_a_type_that_the_device_cannot_compute_is_never_worth_it():
    assert not probes.is_worth(probes.speed_ratio(CPU, torch.int8))


def test_an_answer_is_found_out_once_for_each_question_and_machine(monkeypatch):
    asked = []

    def find_out() -> int:
        asked.append(1)
        return len(asked)

    assert [probes.remembered(["a", 1], find_out) for _ in range(3)] == [1, 1, 1]
    assert probes.remembered(["a", 2], find_out) == 2
    monkeypatch.setattr(probes, "machine", lambda: "another")
    assert probes.remembered(["a", 1], find_out) == 3


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_an_unreadable_memory_is_begun_anew(place, content):
    place.parent.mkdir()
    place.write_bytes(content)
    assert probes.remembered(["a"], lambda: 5) == 5
    assert list(json.loads(files.read_sealed(place)).values()) == [5]


def test_where_nothing_can_be_kept_each_run_finds_out_for_itself(place):
    place.parent.write_text("a file")
    answers = iter([1, 2])
    assert [probes.remembered(["a"], lambda: next(answers)) for _ in range(2)] == [1, 2]


SIZES = (4, 8, 16, 32)


@pytest.mark.parametrize(
    ("rates", "best"),
    [((10, 20, 30, 40), 32), ((10, 20, 20.1, 40), 8), ((10, 9, 50, 50), 4), ((10, 20, None, 99), 8), ((None,) * 4, 4)],
)
def test_the_batch_grows_while_that_pays_and_fits(rates, best):
    def rate(size: int) -> float:
        found = rates[SIZES.index(size)]
        if found is None:
            raise torch.OutOfMemoryError("out of memory")
        return found

    assert probes.best_size(rate, SIZES) == best
