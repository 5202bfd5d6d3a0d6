"""Run trainings sequentially or in worker processes.

The steps of one training are many small matrix products, which hardly gain from several threads. Several trainings of
one thread each do gain, and each gives the same model as it would alone.

Each worker has its own pipe, so that its end is noticed at any moment. `concurrent.futures.ProcessPoolExecutor` was
tried instead (Python 3.11). It waits forever if a worker is killed while it sends a result, its idle workers outlive a
killed parent, it reports neither the signal nor the exit code of a worker, and it cannot stop running tasks.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import cast

import safetensors.torch
import torch
from torch import Tensor

from ...config import Config
from ...data.datasets.dataset import FeaturedDataset
from ...errors import RevcdError
from ...scoring.model import network_configs
from ...system.memory import memory_size
from ...system.threads import choose_threads
from .unit import EpochResult, TrainingUnit

Start = tuple[int, dict[str, Tensor]]  # number of finished epochs, and the state after them
NOTHING_DONE: Start = (0, {})
_STEPS_PER_PROCESS = 500  # training steps of one network that outweigh the start of one more process
_PROCESS_BYTES = 400 * 2**20  # memory of one process without data
_COPIES = 8  # of the features in one process, including those for fitting the closed forms


def choose_processes(dataset: FeaturedDataset, config: Config, device: torch.device, folds: int) -> int:
    """Return how many of the trainings of a model to run concurrently, see `run_units`.

    On a CPU as many as there are threads, if their data fit into memory and the trainings are long enough: a process
    takes two or three seconds to start. A GPU runs one training at a time.
    """
    if device.type != "cpu":
        return 1
    rows = len(dataset.split.trainval) // config.train.batch_size
    steps = (folds + 1) * config.train.epochs * max(1, rows) * len(network_configs(config))
    room = memory_size() // 2 // (_PROCESS_BYTES + _COPIES * dataset.features.nbytes)
    return max(1, min(choose_threads().value, folds + 1, 1 + steps // _STEPS_PER_PROCESS, room))


def run_units(
    units: Sequence[TrainingUnit], starts: Mapping[str, Start], processes: int, save_seconds: float
) -> Generator[tuple[TrainingUnit, EpochResult], None, None]:
    """Yield each remaining epoch with its unit; the epochs of one unit are in order.

    starts: finished epochs and state by the name of the unit. processes: number of units that run concurrently; 1 means
    in this process. save_seconds: see `TrainingUnit.run`. Closing the iterator early ends the processes. Raises
    `RevcdError` if a process dies, and any exception that a unit raises.
    """
    missing = [unit for unit in units if starts.get(unit.name, NOTHING_DONE)[0] < unit.epochs]
    if min(processes, len(missing)) > 1:
        yield from _run_in_processes(missing, starts, min(processes, len(missing)), save_seconds)
        return
    for unit in missing:
        for result in unit.run(*starts.get(unit.name, NOTHING_DONE), save_seconds):
            yield unit, result


def _run_in_processes(
    units: Sequence[TrainingUnit], starts: Mapping[str, Start], processes: int, save_seconds: float
) -> Iterator[tuple[TrainingUnit, EpochResult]]:
    waiting = deque(enumerate(units))
    busy: dict[Connection, TrainingUnit] = {}
    with _workers(units, processes, save_seconds) as workers:
        idle = list(workers)
        while waiting or busy:
            while waiting and idle:
                connection, (number, unit) = idle.pop(0), waiting.popleft()
                done, saved = starts.get(unit.name, NOTHING_DONE)
                _send(connection, workers[connection], (number, done, _packed(saved)))
                busy[connection] = unit
            for connection in cast(list[Connection], wait(list(busy))):
                answer = _receive(connection, workers[connection])
                if answer is None:
                    del busy[connection]
                    idle.append(connection)
                elif isinstance(answer[0], Exception):
                    raise answer[0] from RuntimeError(answer[1])
                else:
                    info, found, state = answer
                    later = None if state is None else _unpacked(state)
                    yield busy[connection], EpochResult(info, _unpacked(found), later)


@contextlib.contextmanager
def _workers(
    units: Sequence[TrainingUnit], processes: int, save_seconds: float
) -> Iterator[dict[Connection, SpawnProcess]]:
    """Yield worker processes by the connection to each; they end with the block."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit locks, but not the threads that hold them
    workers: dict[Connection, SpawnProcess] = {}
    try:
        with _interrupts_held():
            for _ in range(processes):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, units, save_seconds), daemon=True)
                process.start()
                theirs.close()  # else the end of the process would not close the pipe
                workers[ours] = process
        yield workers
    finally:
        for connection, process in workers.items():
            connection.close()
            process.terminate()
        for process in workers.values():
            process.join()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block Ctrl-C in processes that are started in the block: a terminal sends it to all of its processes."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where workers ignore it once they run
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, units: Sequence[TrainingUnit], save_seconds: float) -> None:
    """Train the requested units until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, OSError):
        while True:
            number, done, state = connection.recv()
            try:
                for result in units[number].run(done, _unpacked(state), save_seconds):
                    later = None if result.state is None else _packed(result.state)
                    connection.send((result.info, _packed(result.found), later))
            except ConnectionError:
                raise
            except Exception as error:
                connection.send((error, traceback.format_exc()))
            connection.send(None)


def _send(connection: Connection, process: SpawnProcess, message: tuple) -> None:
    try:
        connection.send(message)
    except OSError as error:
        raise _died(process) from error


def _receive(connection: Connection, process: SpawnProcess) -> tuple | None:
    try:
        return connection.recv()
    except (EOFError, OSError) as error:  # at the end of a message, or within one
        raise _died(process) from error


def _died(process: SpawnProcess) -> RevcdError:
    process.join()
    code = process.exitcode
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    return RevcdError(
        f"A worker process of the training {how}, possibly for lack of memory.",
        hint="Resume with --resume; with OMP_NUM_THREADS=1 the folds are trained sequentially, with the least memory.",
    )


# Tensors are sent as bytes: torch would send them through shared memory, of which containers have little.
def _packed(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: value.cpu().contiguous() for name, value in tensors.items()})


def _unpacked(content: bytes) -> dict[str, Tensor]:
    return safetensors.torch.load(content)
