"""What learns, what it begins with, and what becomes of it: a version no further from what serves than may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from inframind.plugin.online.foresight import foreseen
from inframind.router.actions import ActionSpace
from inframind.router.confidence import Interval
from inframind.router.guards.change import Change, StepLimit, change_of
from inframind.router.offsets import Offsets
from inframind.router.online.config import OnlineConfig
from inframind.router.online.evidence import EvidenceReader
from inframind.router.online.learner import OnlineLearner
from inframind.router.online.protocol import Label, LabelledRun
from inframind.router.ope.estimate import Estimate
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_shelf import policy_of
from inframind.router.recorded_views import RecordedViews
from inframind.router.rules import RoutingRule
from inframind.router.views import PlanView, StepView
from inframind.traces.records import Trajectory
from inframind.traces.shelf import Shelf

FRACTIONS = (1.0, 0.5, 0.25, 0.125)
"""How much of what was learned is published at once: the most to which the step limit has no objection."""


class Student(Protocol):
    """What the service needs of a learner, see `inframind.router.online.learner.OnlineLearner`."""

    def learn(self, runs: Sequence[LabelledRun]) -> Any:
        """Learn from runs, in order; how they are cut into calls makes no difference."""
        ...

    def candidate(self) -> StoredPolicy:
        """The policy as it is now."""
        ...

    def state(self) -> bytes:
        """Everything that is needed to go on."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """What is to be published.

    Attributes:
        stored: the policy.
        change: what it does otherwise than what serves.
        fraction: share of what was learned that it holds.
    """

    stored: StoredPolicy
    change: Change
    fraction: float


@dataclass(frozen=True, slots=True)
class Withheld:
    """Nothing is to be published.

    Attributes:
        reason: why, for people.
    """

    reason: str


@dataclass(frozen=True, kw_only=True)
class School:
    """Makes learners, and policies of what they learned.

    Attributes:
        configured: policy that serves where nothing is published.
        actions: what may be chosen.
        config: how it is learned.
        limit: how much one publication may change.
        exploration: share of decisions that are drawn evenly.
        rules: of the configuration, under which every version serves beside its own.
    """

    configured: StoredPolicy
    actions: ActionSpace
    config: OnlineConfig = field(default_factory=OnlineConfig)
    limit: StepLimit = field(default_factory=StepLimit)
    exploration: float = 0.0
    rules: tuple[RoutingRule, ...] = ()

    def begin(self, stored: StoredPolicy) -> Student:
        """A learner that begins with a policy."""
        return OnlineLearner(stored, self.actions, self.config)

    def restored(self, state: bytes) -> Student:
        """A learner that goes on.

        Raises:
            CheckpointError: the state is damaged, or of another release.
        """
        return OnlineLearner.restored(state, self.actions, self.config)

    def reader(self, stored: StoredPolicy) -> EvidenceReader:
        """Says what a policy expected of runs."""
        return EvidenceReader(stored.bind(self.actions), self.actions, self.config.final_share)

    def foreseen(
        self,
        new: StoredPolicy,
        old: StoredPolicy,
        runs: Sequence[Trajectory],
        labels: Mapping[str, Label],
    ) -> Interval | None:
        """The difference in runs right and in time that recorded runs expect; None where they say too little."""
        found = foreseen(
            new,
            old,
            runs,
            labels,
            actions=self.actions,
            exploration=self.exploration,
            rules=self.rules,
        )
        return found.running_interval() if isinstance(found, Estimate) else None

    async def stored(self, shelf: Shelf, version: str) -> StoredPolicy:
        """A version as it lies on the shelf; "" is the configured policy.

        Raises:
            UnknownPolicy, CheckpointError: it is gone, or this release cannot read it.
        """
        if not version:
            return self.configured
        row = await shelf.policy(version)
        return policy_of(row, await shelf.policy_content(version))

    def to_publish(
        self, student: Student, serving: StoredPolicy, runs: Sequence[Trajectory], *, least_views: int
    ) -> Published | Withheld:
        """What was learned, or as much of it as may change on these runs; withheld where even little is too much.

        It has the rules of what serves: what people accepted is not learned, and stays.

        Args:
            student: who learned.
            serving: what it is held against.
            runs: recorded ones.
            least_views: decisions of theirs that must be there to see a change by.
        """
        learned, old = replace(student.candidate(), rules=serving.rules), serving.bind(self.actions)
        views = list(views_of(runs, self.actions))
        if len(views) < least_views:
            return Withheld(
                f"{len(views)} recorded decisions show too little; at least {least_views} are needed"
            )
        objection = ""
        for fraction in FRACTIONS:
            stored = _part_of(learned, serving.weights.offsets, fraction)
            change = change_of(stored.bind(self.actions), old, views)
            objection = self.limit.objection(change)
            if not objection:
                return Published(stored, change, fraction)
        return Withheld(f"even with {FRACTIONS[-1]:.1%} of it, {objection}")


def views_of(runs: Sequence[Trajectory], actions: ActionSpace) -> Iterator[PlanView | StepView]:
    """What was seen at the decisions of runs, as far as it can be rebuilt."""
    views = RecordedViews(actions)
    for run in runs:
        plan = views.plan(run)
        if plan is not None:
            yield plan.view
        yield from (step.view for step in views.steps(run))


def _part_of(learned: StoredPolicy, before: Offsets, fraction: float) -> StoredPolicy:
    """The policy with this share of the way from the offsets that serve."""
    if fraction == 1.0:
        return learned
    offsets = learned.weights.offsets
    logit = {
        label: before.logit.get(label, 0.0) + fraction * (value - before.logit.get(label, 0.0))
        for label, value in offsets.logit.items()
    }
    return replace(learned, weights=replace(learned.weights, offsets=replace(offsets, logit=logit)))
