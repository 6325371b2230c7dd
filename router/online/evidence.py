"""What a finished run says of the models that took part: which calls have what share in it, and what was expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inframind.router.actions import ActionSpace, ExecutorAction
from inframind.router.online.call_odds import CallOdds
from inframind.router.policy_learned import LearnedPolicy
from inframind.router.recorded_views import RecordedViews
from inframind.traces.records import Decision, Step, Trajectory

NOT_OFFERED = "not offered"
"""Why a candidate that a trace does not know is masked in its views."""
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
        self._odds, self._actions, self._final_share = CallOdds(policy), actions, final_share
        self._views = RecordedViews(actions)
        self._places = {label: place for place, label in enumerate(actions.executor_labels)}

    def read(self, run: Trajectory) -> Evidence | None:
        """What the run says; None where it gave no answer, or none of its calls can be rebuilt.

        A run that ended without an answer says something of servers and deadlines, not of who is right.
        """
        if run.status not in _ANSWERED or (run.steps and run.final_step_id is None):
            return None
        made = {step.decision_id: step for step in run.steps}
        decisions = self._decisions(run, made)
        if not decisions:
            return None
        views = [step.view for step in self._views.steps(replace(run, decisions=tuple(decisions)))]
        places = [self._place(decision, made.get(decision.decision_id)) for decision in decisions]
        share_N = _shares(decisions, _final_decision(run, decisions), self._final_share)
        shares: dict[ExecutorAction, float] = {}
        for place, share in zip(places, share_N, strict=True):
            action = self._actions.executor_actions[place]
            shares[action] = shares.get(action, 0.0) + share
        return Evidence(shares=shares, logit=float(self._odds.of(views, places).dot(share_N)))

    def _decisions(self, run: Trajectory, made: Mapping[str, Step]) -> list[Decision]:
        """Decisions whose calls gave a text, over the candidates that there are now."""
        decisions = [one for one in run.decisions if one.kind == "step" and _may_speak(one, made)]
        return [one for one in map(self._aligned, decisions) if one is not None]

    def _place(self, decision: Decision, step: Step | None) -> int:
        """Of the action that answered, which after a failover is not the one that was chosen."""
        if step is None or not step.served_model or step.served_model == step.model:
            return decision.chosen
        return self._places.get(f"{step.served_model}/{step.strategy}", decision.chosen)

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


def _may_speak(decision: Decision, made: Mapping[str, Step]) -> bool:
    """Whether its call gave a text; where a trace tells of no calls, all decisions count."""
    if not made:
        return True
    step = made.get(decision.decision_id)
    return step is not None and not step.error


def _final_decision(run: Trajectory, decisions: Sequence[Decision]) -> str:
    """Of the call that wrote the answer; the last one where the trace does not say."""
    final = next((step for step in run.steps if step.step_id == run.final_step_id), None)
    return final.decision_id if final is not None else decisions[-1].decision_id


def _shares(decisions: Sequence[Decision], final: str, final_share: float) -> list[float]:
    """Of each decision; all alike where the one that wrote the answer is alone, or is not among them."""
    n_others = sum(decision.decision_id != final for decision in decisions)
    if n_others in (0, len(decisions)):
        return [1.0 / len(decisions)] * len(decisions)
    n_final = len(decisions) - n_others
    return [
        final_share / n_final if decision.decision_id == final else (1.0 - final_share) / n_others
        for decision in decisions
    ]
