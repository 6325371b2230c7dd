"""Decisions by the LangGraph task that they were made for: a task that is executed again decides the same again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from inframind.fleet.messages import Message
from inframind.plugin.calls.scope import RunScope
from inframind.plugin.calls.site import CallSite
from inframind.router.decide import StepChoice
from inframind.traces.records import Decision

KEPT = 2_000
"""Tasks that are remembered; what waits longer for a person decides anew."""


@dataclass(slots=True)
class MadeDecision:
    """A decision, the run that it belongs to, and the step that came of it."""

    scope: RunScope
    choice: StepChoice
    decision: Decision
    step_id: int
    has_failed: bool = False


@dataclass(slots=True)
class _Task:
    """What one task decided, and how often each prompt was asked in the execution that runs now."""

    execution: object
    asked: dict[str, int] = field(default_factory=dict)
    made: dict[Hashable, MadeDecision] = field(default_factory=dict)


class Replays:
    """Remembers decisions by (thread, task, prompt, how often it was asked).

    LangGraph executes an interrupted node again from its top. Its calls are made again, and what was decided for them
    must be decided again, once credited; a call that failed is decided anew.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._tasks: OrderedDict[tuple[str, str], _Task] = OrderedDict()

    def claim(self, site: CallSite, messages: Sequence[Message]) -> Claim | None:
        """The place of this call; None where it is made outside any thread, and cannot be executed again."""
        if not site.task_id or not site.thread_id:
            return None
        task = self._task(site)
        prompt = _fingerprint(messages)
        number = task.asked.get(prompt, 0)
        task.asked[prompt] = number + 1
        return Claim(task.made, (prompt, number))

    def _task(self, site: CallSite) -> _Task:
        key = (site.thread_id, site.task_id)
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = _Task(site.execution)
            if len(self._tasks) > self._kept:
                self._tasks.popitem(last=False)
        elif task.execution is not site.execution:
            task.execution, task.asked = site.execution, {}
        self._tasks.move_to_end(key)
        return task


@dataclass(frozen=True, slots=True)
class Claim:
    """One call's place among a task's decisions."""

    made: dict[Hashable, MadeDecision]
    key: Hashable

    @property
    def earlier(self) -> MadeDecision | None:
        """What was decided here before, unless it failed."""
        found = self.made.get(self.key)
        return None if found is None or found.has_failed else found

    def keep(self, decision: MadeDecision) -> None:
        """Remember what was decided here."""
        self.made[self.key] = decision


def _fingerprint(messages: Sequence[Message]) -> str:
    digest = blake2b(digest_size=16)
    for message in messages:
        digest.update(repr(sorted(message.items(), key=lambda pair: pair[0])).encode())
    return digest.hexdigest()
