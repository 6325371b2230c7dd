"""Where jobs run that share nothing: in this process, in worker processes, or on a Ray cluster.

Results do not depend on it: a job is a plain function and what it is given, chance included.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from inframind.errors import ConfigError

T = TypeVar("T")
ENGINES = ("local", "ray")
LOOPBACK = "127.0.0.1"


class Engine(AbstractContextManager["Engine"], Protocol):
    """Runs jobs. Use as a context manager: workers end with it, and jobs that have not begun are dropped."""

    def run(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """Call a function once per job; place and result of each, as they are done.

        What a job raises is raised here. Functions and arguments must be picklable where workers are other processes.
        """
        ...


class InProcess:
    """One after the other, here."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def run(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """In order."""
        for place, job in enumerate(jobs):
            yield place, function(*job)


class Processes:
    """Worker processes on this machine.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int) -> None:
        # Spawned, not forked: a fork of a process with threads may hang.
        self._pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """As they are done."""
        places = {self._pool.submit(function, *job): place for place, job in enumerate(jobs)}
        for future in as_completed(places):
            yield places[future], future.result()


class OnRay:
    """A Ray cluster: the one at an address, or one of this machine's own that ends with the context.

    Args:
        address: such as ``ray://head:10001`` or ``auto``; "" starts one here, reachable from this machine alone.
        workers: processes of a cluster that is started here; 0 for one per core.

    Raises:
        ConfigError: Ray is not installed, or workers are given for a cluster that runs already.
    """

    def __init__(self, address: str = "", workers: int = 0) -> None:
        if address and workers:
            raise ConfigError("workers", workers, "a running cluster has its own; leave it out")
        self._ray = _ray()
        self._address, self._workers = address, workers

    def __enter__(self) -> Self:
        if self._address:
            self._ray.init(address=self._address, log_to_driver=False)
        else:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would call home
            self._ray.init(
                num_cpus=self._workers or None,
                include_dashboard=False,
                log_to_driver=False,
                _node_ip_address=LOOPBACK,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.shutdown()

    def run(self, function: Callable[..., T], jobs: Sequence[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
        """As they are done; a job whose node is lost is run again by Ray, an error of its own is raised."""
        remote = self._ray.remote(num_cpus=1, runtime_env={"env_vars": _ONE_THREAD})(_call)
        shared = _Shared(self._ray)
        places = {remote.remote(function, *map(shared.put, job)): place for place, job in enumerate(jobs)}
        waiting = list(places)
        while waiting:
            (done,), waiting = self._ray.wait(waiting, num_returns=1)
            yield places[done], self._result(done)

    def _result(self, done: Any) -> Any:
        try:
            return self._ray.get(done)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error


def _call(function: Callable[..., T], *job: Any) -> T:
    """Ray takes functions that were defined in Python, and no others."""
    return function(*job)


_ONE_THREAD = {"OMP_NUM_THREADS": "1"}


class _Shared:
    """Sends an argument that many jobs have in common to the cluster once."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._sent: dict[int, Any] = {}
        self._kept: list[Any] = []

    def put(self, argument: Any) -> Any:
        """The argument, or where the cluster has it."""
        if isinstance(argument, int | float | str):
            return argument
        if id(argument) not in self._sent:
            self._sent[id(argument)] = self._ray.put(argument)
            self._kept.append(argument)  # or another might get its id
        return self._sent[id(argument)]


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Where jobs run.

    Raises:
        ConfigError: there is no such engine, fewer than one worker, or an address for another engine than Ray.
    """

    name: str = "local"
    """``local`` or ``ray``."""
    workers: int | None = None
    """Processes; None is one for ``local``, and one per core for ``ray``."""
    address: str = ""
    """Of a running Ray cluster."""

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise ConfigError("engine", self.name, f"use one of: {', '.join(ENGINES)}")
        if self.workers is not None and self.workers < 1:
            raise ConfigError("workers", self.workers, "use at least one process")
        if self.address and self.name != "ray":
            raise ConfigError("ray_address", self.address, "give it together with engine ray")

    def open(self, n_jobs: int) -> Engine:
        """The engine for so many jobs.

        Raises:
            ConfigError: Ray is wanted and not installed.
        """
        if self.name == "ray":
            return OnRay(self.address, min(self.workers, n_jobs) if self.workers else 0)
        workers = min(self.workers or 1, n_jobs)
        return InProcess() if workers <= 1 else Processes(workers)


LOCAL = EngineConfig()


def _ray() -> Any:
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        raise ConfigError("install", "ray", "run: pip install 'inframind[ray]'") from error
