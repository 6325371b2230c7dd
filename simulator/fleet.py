"""Several simulated servers on loopback ports: in this event loop, or in a process of their own."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from types import MappingProxyType, TracebackType
from typing import Literal, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock, SystemClock
from inframind.simulator.chat import DROP_EXTENSION
from inframind.simulator.model import LanguageModel
from inframind.simulator.profiles import ModelProfile, load_profiles
from inframind.simulator.server import ServerSpec, SimulatedServer, create_app

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 5.0


def default_specs(
    *,
    profiles: Iterable[ModelProfile] | None = None,
    replicas: int = 1,
    scheduling_policy: Literal["fcfs", "priority"] = "fcfs",
    api_key: str | None = None,
) -> tuple[ServerSpec, ...]:
    """The given models, or the five of `load_profiles`, each as often as ``replicas`` says.

    A single replica is named as its model, several get ``-0``, ``-1`` and so on.
    """
    return tuple(
        ServerSpec(
            name=profile.name if replicas == 1 else f"{profile.name}-{index}",
            model=profile.name,
            profile=replace(profile.engine, scheduling_policy=scheduling_policy),
            is_reasoning=profile.is_reasoning,
            api_key=api_key,
        )
        for profile in (load_profiles().values() if profiles is None else profiles)
        for index in range(replicas)
    )


class SimulatedFleet:
    """Runs one server per spec while its ``async with`` block lasts.

    Args:
        specs: one per replica; names must differ.
        model: thinks of the answers of all of them.
        seed: of all replies; added to each spec's own.
        speed: simulated seconds per second of the clock.
        host: address to bind.
        port_base: port of the first server, the others follow; 0 takes free ones.
        clock: must agree with the running loop.

    Attributes:
        base_urls: ``http://host:port/v1`` by server name, once started.
        servers: the servers by name, once started; their ``faults`` can be changed at any time.
    """

    def __init__(
        self,
        specs: Sequence[ServerSpec],
        model: LanguageModel,
        *,
        seed: int = 0,
        speed: float = 1.0,
        host: str = "127.0.0.1",
        port_base: int = 0,
        clock: Clock | None = None,
    ) -> None:
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names) or not names:
            raise ConfigError("specs", names, "give at least one spec, and each a name of its own")
        self._specs = [replace(spec, seed=spec.seed + seed) for spec in specs]
        if port_base and not 1 <= port_base <= 65536 - len(names):
            raise ConfigError("port_base", port_base, f"leave room for {len(names)} ports below 65536")
        self._model, self._speed, self._host, self._port_base = model, speed, host, port_base
        self._clock = clock or SystemClock()
        self._tasks: list[asyncio.Task[None]] = []
        self._uvicorns: list[_QuietServer] = []
        self.base_urls: Mapping[str, str] = MappingProxyType({})
        self.servers: Mapping[str, SimulatedServer] = MappingProxyType({})

    async def __aenter__(self) -> Self:
        """Bind every port first, then serve; returns once all servers answer."""
        apps = [create_app(spec, self._model, self._clock, speed=self._speed) for spec in self._specs]
        sockets = self._bind_all()
        self._uvicorns = [_QuietServer(_config(app)) for app in apps]
        self._tasks = [
            asyncio.create_task(server.serve(sockets=[bound]))
            for server, bound in zip(self._uvicorns, sockets, strict=True)
        ]
        await asyncio.gather(*(server.ready.wait() for server in self._uvicorns))
        names = [spec.name for spec in self._specs]
        urls = [f"http://{self._host}:{bound.getsockname()[1]}/v1" for bound in sockets]
        self.base_urls = MappingProxyType(dict(zip(names, urls, strict=True)))
        self.servers = MappingProxyType(dict(zip(names, [app.state.server for app in apps], strict=True)))
        return self

    def _bind_all(self) -> list[socket.socket]:
        """Sockets for all servers, or for none.

        Raises:
            ConfigError: a port of the wanted range is taken.
        """
        bound: list[socket.socket] = []
        for index in range(len(self._specs)):
            port = self._port_base + index if self._port_base else 0
            try:
                bound.append(_bind(self._host, port))
            except OSError as error:
                for other in bound:
                    other.close()
                raise ConfigError("port_base", self._port_base, f"port {port}: {error.strerror}") from error
        return bound

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all servers at once; requests in flight lose their connection."""
        for running in self._uvicorns:
            running.stop()
        await asyncio.gather(*self._tasks)
        for server in self.servers.values():
            server.close()


class SimulatedFleetProcess:
    """The same fleet in its own process, so that neither disturbs the other's event loop.

    The process ends with the ``with`` block, and also when its parent dies: it watches the pipe between them.
    The model is pickled; faults cannot be injected from here.
    """

    def __init__(
        self,
        specs: Sequence[ServerSpec],
        model: LanguageModel,
        *,
        seed: int = 0,
        speed: float = 1.0,
        host: str = "127.0.0.1",
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._theirs: Connection | None = theirs
        self._process = spawn.Process(
            target=_serve_in_process, args=(theirs, tuple(specs), model, seed, speed, host), daemon=True
        )
        self.base_urls: Mapping[str, str] = MappingProxyType({})

    def __enter__(self) -> Self:
        """Start the process and wait for its URLs.

        Raises:
            RuntimeError: it ended, or said nothing, before its servers answered.
        """
        self._process.start()
        if self._theirs is not None:
            self._theirs.close()
        try:
            if not self._pipe.poll(_START_TIMEOUT_S):
                raise RuntimeError(f"the fleet's process said nothing for {_START_TIMEOUT_S:g} s")
            self.base_urls = MappingProxyType(self._pipe.recv())
        except (EOFError, RuntimeError) as error:
            self._stop()
            raise RuntimeError("the fleet's process did not start: its own output says why") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._stop()

    @property
    def pid(self) -> int | None:
        """The process's id, once started."""
        return self._process.pid

    def _stop(self) -> None:
        self._pipe.close()
        self._process.join(_STOP_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _serve_in_process(
    pipe: Connection,
    specs: tuple[ServerSpec, ...],
    model: LanguageModel,
    seed: int,
    speed: float,
    host: str,
) -> None:
    # A Ctrl-C reaches the whole process group; the parent decides what becomes of its fleet.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fleet = SimulatedFleet(specs, model, seed=seed, speed=speed, host=host)
    asyncio.run(_serve_until_closed(fleet, pipe))


async def _serve_until_closed(fleet: SimulatedFleet, pipe: Connection) -> None:
    """Serve until the other end of the pipe is closed, by its owner or by its owner's death."""
    closed = asyncio.Event()
    async with fleet:
        asyncio.get_running_loop().add_reader(pipe.fileno(), closed.set)
        pipe.send(dict(fleet.base_urls))
        await closed.wait()
        asyncio.get_running_loop().remove_reader(pipe.fileno())


class _QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals alone, says when it is ready and stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._stopping = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to whoever runs the loop."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then say so."""
        await super().startup(sockets=sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Wait for `stop`, and look at the wall clock for the date header once a second."""
        while not self._stopping.is_set():
            await self.on_tick(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), timeout=1.0)

    def stop(self) -> None:
        """Begin to shut down."""
        self._stopping.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, cut every connection and wait for the handlers to notice."""
        for listener in self.servers:
            listener.close()
        for bound in sockets or []:
            bound.close()
        for connection in self.server_state.connections:
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_STOP_TIMEOUT_S)


class _DroppableProtocol(HttpToolsProtocol):
    """Lets an app close its connection without a reply, which ASGI itself has no word for."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {DROP_EXTENSION: {"close": self.transport.abort}}


def _config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=_DroppableProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
    )


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound
