"""Trainings in turn, or several at a time in processes of their own.

The steps of one training are many small products, at which several threads are hardly faster than one. Several
trainings of one thread each are, and every one of them comes out as it would alone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import safetensors.torch
import torch
from torch import Tensor

from ...config import Config
from ...data.datasets.dataset import FeaturedDataset
from ...errors import RevcdError
from ...scoring.model import network_configs
from ...system.memory import memory_size
from ...system.threads import choose_threads
from .unit import Step, TrainingUnit

Start = tuple[int, dict[str, Tensor]]  # epochs that are done, and the state after them
NOTHING_DONE: Start = (0, {})
_STEPS_WORTH = 500  # steps of one network, for each of which there may be one more process
_PROCESS_BYTES = 400 * 2**20  # of one process without data
_COPIES = 8  # of the features, with what fitting closed forms takes


def choose_processes(dataset: FeaturedDataset, config: Config, device: torch.device, folds: int) -> int:
    """Return how many of the trainings that a model takes should run at a time, see `run_units`.

    On a processor as many as there are threads to use, if their data fit into memory and there is enough to do: a
    process is ready after two or three seconds. A GPU has one training at a time.
    """
    if device.type != "cpu":
        return 1
    rows = len(dataset.split.trainval) // config.train.batch_size
    steps = (folds + 1) * config.train.epochs * max(1, rows) * len(network_configs(config))
    room = memory_size() // 2 // (_PROCESS_BYTES + _COPIES * dataset.features.nbytes)
    return max(1, min(choose_threads().value, folds + 1, 1 + steps // _STEPS_WORTH, room))


def run_units(
    units: Sequence[TrainingUnit], starts: Mapping[str, Start], processes: int, save_seconds: float
) -> Iterator[tuple[TrainingUnit, Step]]:
    """Yield every epoch that is missing, with its unit. Those of one unit come in order.

    starts: how far units have come, by their names. processes: how many units run at a time; 1 is this process itself.
    save_seconds: see `TrainingUnit.run`. Closing the iterator early ends the processes. Raises `RevcdError` if one of
    them dies, and whatever a unit raises.
    """
    missing = [unit for unit in units if starts.get(unit.name, NOTHING_DONE)[0] < unit.epochs]
    if min(processes, len(missing)) > 1:
        yield from _run_in_processes(missing, starts, min(processes, len(missing)), save_seconds)
        return
    for unit in missing:
        for step in unit.run(*starts.get(unit.name, NOTHING_DONE), save_seconds):
            yield unit, step


def _run_in_processes(
    units: Sequence[TrainingUnit], starts: Mapping[str, Start], processes: int, save_seconds: float
) -> Iterator[tuple[TrainingUnit, Step]]:
    waiting, busy = deque(enumerate(units)), {}
    with _workers(units, processes, save_seconds) as workers:
        idle = list(workers)
        while waiting or busy:
            while waiting and idle:
                connection, (number, unit) = idle.pop(0), waiting.popleft()
                done, state = starts.get(unit.name, NOTHING_DONE)
                _send(connection, workers[connection], (number, done, _packed(state)))
                busy[connection] = unit
            for connection in wait(list(busy)):
                answer = _receive(connection, workers[connection])
                if answer is None:
                    del busy[connection]
                    idle.append(connection)
                elif isinstance(answer[0], Exception):
                    raise answer[0] from RuntimeError(answer[1])
                else:
                    info, found, state = answer
                    yield busy[connection], Step(info, _unpacked(found), None if state is None else _unpacked(state))


@contextlib.contextmanager
def _workers(
    units: Sequence[TrainingUnit], processes: int, save_seconds: float
) -> Iterator[dict[Connection, BaseProcess]]:
    """Yield processes that wait for work, by the connection to each; they end with the block."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit locks of threads that it does not have
    workers: dict[Connection, BaseProcess] = {}
    try:
        with _interrupts_held():
            for _ in range(processes):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, units, save_seconds), daemon=True)
                process.start()
                theirs.close()  # or its end would not be noticed
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
    """Keep Ctrl-C, which reaches every process of a terminal, for this one: those started inside never see it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where they ignore it themselves once they have begun
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, units: Sequence[TrainingUnit], save_seconds: float) -> None:
    """Train the units that are asked for, until nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, OSError):
        while True:
            number, done, state = connection.recv()
            try:
                for step in units[number].run(done, _unpacked(state), save_seconds):
                    later = None if step.state is None else _packed(step.state)
                    connection.send((step.info, _packed(step.found), later))
            except ConnectionError:
                raise
            except Exception as error:
                connection.send((error, traceback.format_exc()))
            connection.send(None)


def _send(connection: Connection, process: BaseProcess, message: tuple) -> None:
    try:
        connection.send(message)
    except OSError as error:
        raise _died(process) from error


def _receive(connection: Connection, process: BaseProcess) -> tuple | None:
    try:
        return connection.recv()
    except (EOFError, OSError) as error:  # at the end of a message, or within one
        raise _died(process) from error


def _died(process: BaseProcess) -> RevcdError:
    process.join()
    code = process.exitcode
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    return RevcdError(
        f"A process that trained {how}, perhaps for want of memory.",
        hint="Go on with --resume; OMP_NUM_THREADS=1 trains one after the other, with the least memory.",
    )


# Tensors go as bytes: by themselves they would go through shared memory, of which containers have little.
def _packed(tensors: Mapping[str, Tensor]) -> bytes:
    return safetensors.torch.save({name: value.cpu().contiguous() for name, value in tensors.items()})


def _unpacked(content: bytes) -> dict[str, Tensor]:
    return safetensors.torch.load(content)
