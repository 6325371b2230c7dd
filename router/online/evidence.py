"""What a finished run says of the models that took part: which calls have what share in it, and what was expected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from inframind.router.actions import ActionSpace, ExecutorAction
from inframind.router.policy_learned import LearnedPolicy
from inframind.router.recorded_views import RecordedStep, RecordedViews
from inframind.traces.records import Decision, Step, Trajectory

NOT_OFFERED = "not offered"
"""Why a candidate that a trace does not know is masked in its views."""
_LEAST_SHARE = 1e-6
_ANSWERED = ("ok", "late")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One run that gave an answer.

    Attributes:
        shares: of the credit, by what was called; they add up to 1.
        logit: log odds of being right that the policy gives the run, averaged by share.
    """

    shares: Mapping[ExecutorAction, float]
    logit: float


class EvidenceReader:
    """Reads runs, whoever served them.

    Args:
        policy: what is expected of calls.
        actions: what it may choose from.
        final_share: share of the call that wrote the answer, where there are others.
    """

    def __init__(self, policy: LearnedPolicy, actions: ActionSpace, final_share: float) -> None:
        self._policy, self._actions, self._final_share = policy, actions, final_share
        self._views = RecordedViews(actions)
        self._places = {label: place for place, label in enumerate(actions.executor_labels)}

    def read(self, run: Trajectory) -> Evidence | None:
        """What the run says; None where it gave no answer, or none of its calls can be rebuilt.

        A run that ended without an answer says something of servers and deadlines, not of who is right.
        """
        if run.status not in _ANSWERED or (run.steps and run.final_step_id is None):
            return None
        calls = list(self._calls(run))
        if not calls:
            return None
        shares: dict[ExecutorAction, float] = {}
        logit = 0.0
        for call, share in zip(calls, _shares(calls, self._final_share), strict=True):
            shares[call.action] = shares.get(call.action, 0.0) + share
            logit += share * call.logit
        return Evidence(shares=shares, logit=logit)

    def _calls(self, run: Trajectory) -> Iterator[_Call]:
        made = {step.decision_id: step for step in run.steps}
        decisions = [one for one in run.decisions if one.kind == "step" and self._may_speak(one, made)]
        aligned = [one for one in map(self._aligned, decisions) if one is not None]
        final = _final_decision(run, aligned)
        recorded = self._views.steps(replace(run, decisions=tuple(aligned)))
        for decision, step in zip(aligned, recorded, strict=True):
            yield self._call(step, made.get(decision.decision_id), decision.decision_id == final)

    def _may_speak(self, decision: Decision, made: Mapping[str, Step]) -> bool:
        """Whether its call gave a text; where a trace tells of no calls, all decisions count."""
        if not made:
            return True
        step = made.get(decision.decision_id)
        return step is not None and not step.error

    def _call(self, recorded: RecordedStep, step: Step | None, is_final: bool) -> _Call:
        chosen = self._actions.executor_actions[recorded.chosen]
        served = step.served_model if step is not None and step.served_model else chosen.model
        answered = ExecutorAction(served, chosen.strategy)
        place = self._places.get(answered.label, recorded.chosen)
        share = float(self._policy.step_worth(recorded.view).solved[place])
        share = min(max(share, _LEAST_SHARE), 1.0 - _LEAST_SHARE)
        action = self._actions.executor_actions[place]
        return _Call(action, math.log(share / (1.0 - share)), is_final)

    def _aligned(self, decision: Decision) -> Decision | None:
        """The decision over the candidates that there are now; None where the choice is none of them."""
        labels = self._actions.executor_labels
        if decision.actions == labels:
            return decision
        if decision.action not in self._places or not decision.latency_q50_s:
            return None
        before = {label: place for place, label in enumerate(decision.actions)}
        places = [before.get(label, decision.chosen) for label in labels]
        known = [label in before for label in labels]
        return replace(
            decision,
            actions=labels,
            probabilities=tuple(
                decision.probabilities[place] if is_known else 0.0
                for place, is_known in zip(places, known, strict=True)
            ),
            masked=tuple(
                decision.masked[place] if is_known else NOT_OFFERED
                for place, is_known in zip(places, known, strict=True)
            ),
            latency_q50_s=tuple(decision.latency_q50_s[place] for place in places),
            latency_q90_s=tuple(decision.latency_q90_s[place] for place in places),
            chosen=self._places[decision.action],
        )


@dataclass(frozen=True, slots=True)
class _Call:
    action: ExecutorAction
    logit: float
    is_final: bool


def _final_decision(run: Trajectory, decisions: list[Decision]) -> str:
    """Of the call that wrote the answer; the last one where the trace does not say."""
    final = next((step for step in run.steps if step.step_id == run.final_step_id), None)
    if final is not None:
        return final.decision_id
    return decisions[-1].decision_id if decisions else ""


def _shares(calls: list[_Call], final_share: float) -> list[float]:
    n_final = sum(call.is_final for call in calls)
    n_others = len(calls) - n_final
    if not n_final or not n_others:
        return [1.0 / len(calls)] * len(calls)
    return [final_share / n_final if call.is_final else (1.0 - final_share) / n_others for call in calls]
