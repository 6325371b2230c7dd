"""What an `InfraMind` runs beside its requests: it follows the roll-out, watches candidates, and learns where asked to.

All of it on a loop of its own, in a daemon thread: a slow store or a lost connection delays no request.
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING

from inframind import __version__
from inframind.errors import InfraMindError
from inframind.graphs.portal import Portal
from inframind.graphs.services import Services
from inframind.plugin.config import Settings
from inframind.plugin.online.exploring import exploring
from inframind.plugin.online.follower import FollowConfig, Follower
from inframind.plugin.online.tending import DEFAULT_TENDING, TendConfig, tend
from inframind.plugin.online.watching import ShadowWatch
from inframind.router.policy_file import StoredPolicy
from inframind.router.rollout import Lineup
from inframind.traces.shelf import Replica
from inframind.traces.shelves import shelf_of

if TYPE_CHECKING:
    from inframind.plugin.online.learning import LearnerService

RECALL_S = 2.0
"""Longest wait of a resumed run for the version that it began with; then it goes on with what serves."""


class AttachedOnline:
    """Keeps an `InfraMind` with the roll-out until it is closed.

    Args:
        services: whose versions are swapped.
        settings: what the configuration says.
        name: of this process, unique; host, process id and a random number unless given.
        tending: how patiently a job that failed is started again.

    Attributes:
        name: of this process in the shelf's reports.

    Raises:
        ConfigError: the store has no shelf, or settings that contradict each other.
    """

    def __init__(
        self,
        services: Services,
        settings: Settings,
        *,
        name: str = "",
        tending: TendConfig = DEFAULT_TENDING,
    ) -> None:
        self._services, self._portal, self._tending = services, Portal(), tending
        online = settings.online
        shelf = shelf_of(services.store)
        self.name = name or replica_name()
        self._follower = Follower(
            shelf,
            services,
            name=self.name,
            clock=services.clock,
            config=FollowConfig(report_s=online.report_s),
            bind=exploring if online.learner != "off" else StoredPolicy.bind,
            about={"host": socket.gethostname(), "pid": os.getpid(), "inframind": __version__},
        )
        self._watch = ShadowWatch(services.versions, services.decider.actions, share=online.shadow_share)
        self._learner = _learner_of(services, settings, self.name) if online.learner == "in-process" else None
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin; the version that serves is loaded soon, and until then the configured policy serves."""
        self._portal.run(self._start())
        self._services.on_decision = self._watch.take
        self._services.versions.recall = self._recall

    def caught_up(self) -> Lineup:
        """Serve what the shelf says, now, and what that is; waits for the store.

        Raises:
            StoreError: the shelf cannot be read.
        """
        return self._portal.run(self._follower.catch_up())

    @property
    def lineup(self) -> Lineup:
        """What serves here now."""
        return self._services.versions.lineup

    @property
    def replicas(self) -> Sequence[Replica]:
        """What the processes that share the store said lately: what they serve, and what they see of the fleet."""
        return self._follower.others

    async def aclose(self) -> None:
        """Stop; what was begun on the store ends first."""
        self._services.on_decision = self._services.versions.recall = None
        await asyncio.to_thread(self._portal.close)

    async def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        jobs: dict[str, Callable[[], Coroutine[None, None, None]]] = {
            "following the roll-out": self._follower.follow,
            "watching candidates": self._watch.watch,
        }
        if self._learner is not None:
            jobs["learning"] = self._learner.follow
        clock = self._services.clock
        self._tasks = [
            self._loop.create_task(tend(name, job, clock=clock, config=self._tending))
            for name, job in jobs.items()
        ]

    async def _recall(self, prefix: str) -> None:
        """On the loop of a request."""
        if self._loop is None or not prefix:
            return
        found = asyncio.run_coroutine_threadsafe(self._follower.recall(prefix), self._loop)
        try:
            await asyncio.wait_for(asyncio.wrap_future(found), RECALL_S)
        except (TimeoutError, InfraMindError):
            return  # the run goes on with what serves, as it would if the version were gone


def replica_name() -> str:
    """A name that no other process has."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:4]}"


def _learner_of(services: Services, settings: Settings, holder: str) -> LearnerService:
    from inframind.plugin.online.assembly import learner_service

    return learner_service(
        settings, services.store, services.decider.actions, holder=holder, clock=services.clock
    )
