"""From settings to a learner service."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.advice.assembly import advice_desk
from inframind.plugin.advice.tender import AdviceTender
from inframind.plugin.build import stored_policy
from inframind.plugin.config import Settings
from inframind.plugin.online.hearing import hearing_of
from inframind.plugin.online.judging import Judge, JudgeConfig
from inframind.plugin.online.learn_config import LearnConfig
from inframind.plugin.online.learning import LearnerService, Round
from inframind.plugin.online.school import School
from inframind.router.actions import ActionSpace
from inframind.router.online.config import OnlineConfig, SlowConfig
from inframind.traces.shelf import Shelf
from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore

BESIDE_REQUESTS: Mapping[str, Any] = {"slice": 4, "breath_s": 0.005}
"""Few runs at a time, and a pause between, where requests are served by the same process."""


def learner_service(
    settings: Settings,
    store: TraceStore,
    actions: ActionSpace,
    *,
    holder: str,
    clock: Clock,
    tell: Callable[[Round], None] = lambda round: None,
    stands: Callable[[bool], None] = lambda leads: None,
    shelf: Shelf | None = None,
) -> LearnerService:
    """Who learns from the store's traces as the section ``[online]`` says.

    Args:
        settings: the configuration.
        store: where traces are.
        actions: what may be chosen.
        holder: name of the process.
        clock: time.
        tell: is shown every round.
        stands: is told whether it leads, whenever it has tried to.
        shelf: instead of the store's own.

    Raises:
        ConfigError: nothing is to be learned, or settings contradict each other.
    """
    online = settings.online
    if online.learner == "off":
        raise ConfigError("online.learner", online.learner, "use 'separate' or 'in-process'")
    shelf = shelf or shelf_of(store)
    hearing = hearing_of(settings)
    judging = JudgeConfig(
        gate=settings.gate_config(), settle_s=online.gate.settle_s, alarm_s=online.gate.alarm_s
    )
    school = School(
        configured=stored_policy(settings.policy),
        actions=actions,
        exploration=settings.policy.exploration,
        rules=settings.own_rules(),
        config=OnlineConfig(slow=SlowConfig() if online.networks else None),
    )
    return LearnerService(
        store,
        shelf,
        school,
        hearing=hearing,
        judge=Judge(store, shelf, judging, hearing, school),
        config=LearnConfig(
            batch=online.batch,
            patience_s=online.patience_s,
            publish_every=online.publish_every,
            keep_versions=online.keep_versions,
            poll_s=online.poll_s,
            **(BESIDE_REQUESTS if online.learner == "in-process" else {}),
        ),
        clock=clock,
        holder=holder,
        tell=tell,
        stands=stands,
        advice=_advice(settings, store, actions, clock),
    )


def _advice(settings: Settings, store: TraceStore, actions: ActionSpace, clock: Clock) -> AdviceTender:
    rng = np.random.default_rng(settings.policy.seed)
    desk = advice_desk(settings, store, actions=actions, clock=clock, rng=rng)
    return AdviceTender(desk, clock, analyse_every_s=settings.advisor.analyse_every_s)
