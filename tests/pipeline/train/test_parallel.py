"""Training in worker processes: the same model as in one process, and the same errors and clean-up."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import revcd_cli.pipeline.train.run as run_module
from revcd_cli.config import Config
from revcd_cli.data.datasets.dataset import Dataset
from revcd_cli.errors import RevcdError
from revcd_cli.pipeline.compare.compare import compare_methods
from revcd_cli.pipeline.train import parallel
from revcd_cli.pipeline.train.parallel import choose_processes
from revcd_cli.pipeline.train.run import TrainingRun
from revcd_cli.pipeline.train.state import state_path
from revcd_cli.pipeline.train.train import EpochInfo, TrainSummary, config_path, train
from revcd_cli.pipeline.tune.tune import tune
from revcd_cli.system.device import Chosen
from revcd_cli.system.files import file_sha256

ROOT = Path(__file__).resolve().parents[3]
CPU = torch.device("cpu")
VARIED = {  # uses everything that draws random numbers or keeps counters
    "precondition": {"kind": "standardise+whiten"},
    "encoder": {"dropout": 0.2},
    "denoiser": {"dropout": 0.2, "norm": "batch"},
    "prototypes": {"components": 2, "whitening": 0.0, "length": 2.0, "noise": 0.2, "own_share": 0.1},
    "train": {"mixup": 0.3, "epochs": 4, "evaluate_every": 1},
}


@dataclasses.dataclass(frozen=True)
class Whole:
    """A finished training, run in this process."""

    dataset: Dataset
    config: Config
    seed: int
    summary: TrainSummary


@pytest.fixture(scope="module")
def whole(make_toy, small_config, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A training of which validation chooses fewer epochs than the last, so that one started ahead runs too long."""
    dataset, config, folder = make_toy(), small_config(**VARIED), tmp_path_factory.mktemp("whole")
    for seed in range(10):
        summary = train(dataset, config, folder / f"{seed}.safetensors", seed=seed, device="cpu")
        if summary.epochs < config.train.epochs:
            return Whole(dataset, config, seed, summary)
    raise AssertionError("every seed trains to the end")


def trained(whole: Whole, output: Path, **options: object) -> TrainSummary:
    return train(whole.dataset, whole.config, output, seed=whole.seed, device="cpu", **options)


def comparable(summary: TrainSummary) -> dict[str, object]:
    return dataclasses.asdict(dataclasses.replace(summary, seconds=0, output=Path()))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_the_model_is_the_same_byte_for_byte_with_worker_processes(whole: Whole, tmp_path: Path, processes: int):
    output, events = tmp_path / whole.summary.output.name, []
    summary = trained(whole, output, processes=processes, on_epoch=events.append)

    assert comparable(summary) == comparable(whole.summary)
    assert {path.name for path in tmp_path.iterdir()} == {f(output).name for f in (Path, config_path)}
    assert file_sha256(config_path(output)) == file_sha256(config_path(whole.summary.output))
    assert [info.done for info in events] == list(range(1, len(events) + 1))
    for fold in {info.fold for info in events}:
        assert [info.epoch for info in events if info.fold == fold] == list(range(1, 5))
    assert not multiprocessing.active_children()


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2), (2, 2)])
def test_an_interrupted_training_resumes_with_any_number_of_processes(
    whole: Whole, tmp_path: Path, first: int, then: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_module, "SAVE_SECONDS", -1)
    output, events = tmp_path / "m.safetensors", []

    def interrupt(info: EpochInfo) -> None:
        events.append(info)
        if len(events) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(whole, output, processes=first, on_epoch=interrupt)
    assert not multiprocessing.active_children()
    assert state_path(output).exists() and not output.exists()
    again: list[EpochInfo] = []
    resumed = trained(whole, output, processes=then, resume=True, on_epoch=again.append)

    assert comparable(resumed) == comparable(whole.summary)
    assert again[0].done == 6  # only the epoch whose report was interrupted is reported again


@pytest.mark.slow
def test_a_killed_worker_is_an_error_and_the_training_resumes(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_module, "SAVE_SECONDS", -1)
    output = tmp_path / "m.safetensors"

    def kill(info: EpochInfo) -> None:
        if info.done == 4:
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    with pytest.raises(RevcdError, match="A worker process of the training was killed by signal 9") as caught:
        trained(whole, output, processes=2, on_epoch=kill)
    assert "--resume" in caught.value.hint
    assert not multiprocessing.active_children()

    assert comparable(trained(whole, output, resume=True)) == comparable(whole.summary)


def cpu_time(pid: int) -> int:
    """Return the processor time that a process has used, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.slow
def test_a_worker_killed_while_it_sends_a_result_is_an_error(
    make_toy, small_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_module, "SAVE_SECONDS", -1)
    config = small_config(denoiser={"width": 256})  # its state does not fit into a pipe

    def kill(info: EpochInfo) -> None:
        if info.done == 2:
            pids, before = [child.pid for child in multiprocessing.active_children()], None
            while before != (before := [cpu_time(pid) for pid in pids]):
                time.sleep(0.5)  # until both workers wait for this process to read
            os.kill(pids[0], signal.SIGKILL)

    with pytest.raises(RevcdError, match="A worker process of the training was killed by signal 9"):
        train(make_toy(), config, tmp_path / "m.safetensors", device="cpu", processes=2, on_epoch=kill)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_an_exception_in_a_worker_is_raised_here(make_toy, small_config, tmp_path: Path):
    config = small_config(loss={"rec_weight": 1e39})
    with pytest.raises(RevcdError, match=r"The loss became (inf|nan) in epoch 1 of the validation phase") as caught:
        train(make_toy(), config, tmp_path / "m.safetensors", device="cpu", processes=2)
    assert "learning_rate" in caught.value.hint
    assert "unit.py" in str(caught.value.__cause__)  # the traceback in the worker, for bug reports
    assert list(tmp_path.iterdir()) == []


def test_a_final_training_that_diverges_while_ahead_ends_without_an_error(make_toy, small_config):
    run = TrainingRun(make_toy(), small_config(loss={"rec_weight": 1e39}), None, 0, CPU)
    assert run.final_unit.ahead
    assert list(run.final_unit.run(0, {}, math.inf)) == []
    run.progress.decided = True
    assert not run.final_unit.ahead
    with pytest.raises(RevcdError, match="of the final phase"):
        list(run.final_unit.run(0, {}, math.inf))


TRAIN = """
import multiprocessing, pickle, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it in background processes
from revcd_cli.pipeline.train.train import train
folder = Path(sys.argv[1])
dataset, config = pickle.loads((folder / "inputs.pickle").read_bytes())
def report(info):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
train(dataset, config, folder / "m.safetensors", device="cpu", processes=2, on_epoch=report)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_the_training(make_toy, small_config, tmp_path: Path, number: int):
    dataset, config = make_toy(), small_config(train={"epochs": 2000, "evaluate_every": 2000})
    (tmp_path / "inputs.pickle").write_bytes(pickle.dumps((dataset, config)))
    command = [sys.executable, "-c", TRAIN, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        children = [int(pid) for pid in process.stdout.readline().split()]
        assert len(children) == 2
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # to all processes, as a terminal does
        else:
            process.send_signal(number)
        said = process.communicate()[1]
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert said.count("Traceback") == (number == signal.SIGINT)  # of the script itself


def test_threads_trainings_work_and_memory_limit_the_processes(make_toy, small_config, monkeypatch: pytest.MonkeyPatch):
    dataset, small, large = make_toy(), small_config(), small_config(train={"epochs": 10_000})
    monkeypatch.setattr(parallel, "choose_threads", lambda: Chosen(4, "4 threads"))

    assert choose_processes(dataset, large, CPU, 5) == 4  # threads
    assert choose_processes(dataset, large, CPU, 2) == 3  # trainings
    assert choose_processes(dataset, large, CPU, 0) == 1
    assert choose_processes(dataset, small, CPU, 5) == 1  # too little work
    assert choose_processes(dataset, large, torch.device("cuda"), 5) == 1
    monkeypatch.setattr(parallel, "memory_size", lambda: 2**31)
    assert choose_processes(dataset, large, CPU, 5) == 2  # memory
    monkeypatch.setattr(parallel, "memory_size", lambda: 2**20)
    assert choose_processes(dataset, large, CPU, 5) == 1


@pytest.mark.slow
def test_a_search_has_the_same_result_with_several_processes(make_toy, small_config, tmp_path: Path):
    dataset, config = make_toy(), small_config(train={"epochs": 2})
    alone, together = (
        tune(dataset, config, tmp_path / f"{count}.toml", trials=1, device="cpu", processes=count) for count in (1, 2)
    )
    assert [dataclasses.replace(result, seconds=0) for result in alone.results] == [
        dataclasses.replace(result, seconds=0) for result in together.results
    ]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["revcd", "gan"])
def test_a_comparison_has_the_same_result_with_several_processes(make_toy, small_config, method: str):
    alone, together = (
        compare_methods(make_toy(), small_config(), (0,), [method], device="cpu", processes=count)[0]
        for count in (1, 2)
    )
    assert dataclasses.replace(alone, seconds=0) == dataclasses.replace(together, seconds=0)
