"""Compute shards on a Ray cluster: one task for each shard, which writes its own part.

Tasks are repeated here and not by Ray, which does not count why attempts ended: a shard that crashes its worker is left
out after `MAX_CRASHES` attempts, while the loss of nodes is tolerated far longer.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...data.storage.listing import Shard
from ...errors import RevcdError, UsageError, brief
from ...system.offline import is_offline
from ...version import __version__
from .compute import Work, enter
from .engine import MAX_CRASHES, Outcome, outcome_of
from .jobs import Job, OnPhoto
from .ray_address import check_cluster

OnNote = Callable[[str], None]

_MAX_LOSSES = 30  # attempts of one shard that ended with their node
_WAIT = 2.0  # seconds, after which the size of the cluster is looked up again


@dataclass(frozen=True)
class _Refusal:
    """A `RevcdError` of a worker, which ends the run."""

    message: str
    hint: str | None


class RayEngine:
    """A Ray cluster. address: of a running one, such as "auto"; None starts one on this machine.

    cpus, gpus: of each worker. The decoders of a worker have as many threads as it has CPUs.
    """

    def __init__(
        self, address: str | None = None, *, cpus: int = 2, gpus: float = 0, on_note: OnNote | None = None
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise UsageError("Ray is not installed.", hint="Run: pip install 'revcd[ray]'") from error
        self._ray: Any = ray
        self._address, self._cpus, self._gpus = address, cpus, gpus
        self._note = on_note or (lambda text: None)
        self._has_started = False

    def pin(self, job: Job, earlier: Mapping[str, Any]) -> Job:
        """See `Engine`. The choices are made by a worker: the machine of this process may have other hardware."""
        self._start()
        job = job if job.workers is not None else job.with_workers(self._cpus)
        found = self._get(self._remote(_pinned).remote(job, earlier, is_offline(), __version__))
        return _accepted(found)

    def run(self, work: Work, shards: Iterable[Shard], on_photo: OnPhoto | None) -> Iterator[Outcome]:
        """See `Engine`. Photos are not counted before their shard is finished."""
        self._start()
        task, shared = self._remote(_computed), self._ray.put((work, is_offline()))
        waiting, again = iter(shards), list[Shard]()
        running: dict[Any, Shard] = {}
        crashes, losses = Counter[int](), Counter[int]()
        try:
            while True:
                while len(running) < self._window():
                    shard = again.pop() if again else next(waiting, None)
                    if shard is None:
                        break
                    running[task.remote(shared, shard)] = shard
                if not running:
                    return
                ready, _ = self._ray.wait(list(running), num_returns=1, timeout=_WAIT)
                for reference in ready:
                    shard = running.pop(reference)
                    outcome = self._outcome(reference, shard, crashes, losses)
                    if outcome is None:
                        again.append(shard)
                    else:
                        yield outcome
        finally:
            for reference in running:
                with contextlib.suppress(Exception):
                    self._ray.cancel(reference, force=True)
            self._stop()

    def _outcome(self, reference: Any, shard: Shard, crashes: Counter[int], losses: Counter[int]) -> Outcome | None:
        """Return the outcome of a task that ended, None if it is to be repeated."""
        errors = self._ray.exceptions
        try:
            return _accepted(self._ray.get(reference))
        except (errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
            crashes[shard.number] += 1
            if crashes[shard.number] >= MAX_CRASHES:
                kind = "ran out of memory" if isinstance(error, errors.OutOfMemoryError) else "crashed"
                return Outcome(shard.number, None, f"its worker {kind} {MAX_CRASHES} times")
        except errors.RayTaskError as error:
            return Outcome(shard.number, None, f"unexpected error: {brief(error.cause)}")
        except errors.RayError as error:
            losses[shard.number] += 1
            if losses[shard.number] >= _MAX_LOSSES:
                return Outcome(shard.number, None, f"its node was lost {_MAX_LOSSES} times ({brief(error)})")
        return None

    def _start(self) -> None:
        if self._ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report the use of a new cluster to its makers
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
        if self._address is not None:
            check_cluster(self._address)
            options.pop("include_dashboard")
        on_termination = signal.getsignal(signal.SIGTERM)
        try:
            self._ray.init(address=self._address or "local", **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise RevcdError(
                f"{self._address or 'this machine'}: Ray cannot be reached or started ({brief(error)}).",
                hint="Check --address; on a node of the cluster it is auto.",
            ) from error
        self._has_started = True
        _keep_silent(self._ray)
        if threading.current_thread() is threading.main_thread():  # Ray's own handler would exit with another code
            signal.signal(signal.SIGTERM, on_termination)
        if self._workers():
            return
        needed = f"{self._cpus} CPUs" + (f" and {self._gpus:g} GPUs" if self._gpus else "")
        if self._address is not None:
            self._note(f"No node of the cluster has {needed} for a worker at present; waiting until one joins.")
            return
        self._stop()
        raise UsageError(f"This machine does not have the {needed} of one worker.", hint="See --cpus-per-worker.")

    def _stop(self) -> None:
        """Disconnect, unless the program was connected before."""
        if self._has_started:
            self._ray.shutdown()
            self._has_started = False

    def _remote(self, function: Any) -> Any:
        # max_calls=0: with GPUs, Ray would end the process after each task, and the model would be loaded each time.
        options = {"num_cpus": self._cpus, "num_gpus": self._gpus, "max_calls": 0, "max_retries": 0}
        return self._ray.remote(**options)(function)

    def _workers(self) -> int:
        """Return how many workers fit on the nodes that are alive."""
        count = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                by_gpu = int(has.get("GPU", 0) / self._gpus) if self._gpus else None
                by_cpu = int(has.get("CPU", 0) / self._cpus)
                count += by_cpu if by_gpu is None else min(by_cpu, by_gpu)
        return count

    def _window(self) -> int:
        """Return how many tasks to have in flight: twice the workers, so that none waits, and a cluster may grow."""
        return 2 * max(self._workers(), 1)

    def _get(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise RevcdError(
                f"A Ray worker cannot start: {brief(error.cause)}.",
                hint="revcd must be installed on every node, in the same version as here.",
            ) from error
        except self._ray.exceptions.RayError as error:
            raise RevcdError(f"A Ray worker ended while it loaded the model: {brief(error)}.") from error


def _keep_silent(ray: Any) -> None:
    """Keep Ray from printing to standard output that workers were lost. Runs repeat their shards, and tell of the rest.

    Ray has no option for it; where the function has another name, it prints.
    """
    with contextlib.suppress(AttributeError):
        if callable(ray._private.worker.print_to_stdstream):
            ray._private.worker.print_to_stdstream = lambda *_, **__: None


def _pinned(job: Job, earlier: Mapping[str, Any], offline: bool, version: str) -> Job | _Refusal:
    """Pin a job, in a worker."""
    _prepare(offline)
    if version != __version__:
        hint = "Install the same version of revcd on every node."
        return _Refusal(f"A worker has revcd {__version__}, and this is {version}.", hint)
    try:
        return job.pinned(earlier)
    except RevcdError as error:
        return _Refusal(error.message, error.hint)


def _computed(shared: tuple[Work, bool], shard: Shard) -> Outcome | _Refusal:
    """Compute a shard, in a worker."""
    work, offline = shared
    _prepare(offline)
    try:
        enter(work)
        return outcome_of(work, shard)
    except RevcdError as error:
        return _Refusal(error.message, error.hint)


def _prepare(offline: bool) -> None:
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


def _accepted(found: Any) -> Any:
    if isinstance(found, _Refusal):
        raise RevcdError(found.message, hint=found.hint)
    return found
