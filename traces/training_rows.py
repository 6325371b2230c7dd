"""Traces in the shapes that fine-tuning and reinforcement-learning tools read. Pure: trajectories in, rows out.

``runs`` and ``steps`` give ``prompt``, ``completion``, ``reward`` and ``group_id``, for policy-gradient and
group-relative methods; ``chat`` gives ``messages``, for supervised fine-tuning; ``pairs`` gives ``prompt``, ``chosen``
and ``rejected``, for preference methods. Rows of one question share a ``group_id``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from inframind.errors import ConfigError
from inframind.traces.records import SOLVED_ONLY, Decision, SolvedKeys, Step, Trajectory, solved_of

Shape = Literal["runs", "steps", "chat", "pairs"]
Row = dict[str, Any]
Kind = Literal["text", "number", "integer", "texts", "messages"]
SHAPES: tuple[Shape, ...] = get_args(Shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """Which rows to make of traces.

    Attributes:
        shape: see this module.
        reward: ``solved`` (1 or 0), ``on_time`` (1 when right and in time, else 0), or ``key:NAME`` (the latest
            score under that feedback key).
        solved_keys: which feedback says whether a run was solved.
        policy: only runs in which this policy (a name, or the beginning of a version) decided, and of them only its
            steps.
        least: only rows with at least this reward.
        most: only rows with at most this reward.
        unlabelled: keep runs without a verdict, with None for a reward; they are left out otherwise. Missing is not 0.

    Raises:
        ConfigError: an unknown shape or reward, an empty range, or unlabelled rows where rewards are compared.
    """

    shape: Shape = "runs"
    reward: str = "solved"
    solved_keys: SolvedKeys = SOLVED_ONLY
    policy: str = ""
    least: float | None = None
    most: float | None = None
    unlabelled: bool = False

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ConfigError("shape", self.shape, f"use one of: {', '.join(SHAPES)}")
        kind, _, key = self.reward.partition(":")
        if self.reward not in ("solved", "on_time") and not (kind == "key" and key):
            raise ConfigError("reward", self.reward, "use solved, on_time, or key:NAME")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ConfigError("most", self.most, f"give at least {self.least}")
        if self.unlabelled and (self.shape == "pairs" or self.least is not None or self.most is not None):
            raise ConfigError("unlabelled", True, "a run without a verdict has no reward to compare")

    @property
    def columns(self) -> Mapping[str, Kind]:
        """What each column of the rows holds; any but the texts may be empty (None)."""
        return _COLUMNS[self.shape]

    def of(self, trajectory: Trajectory) -> Iterator[Row]:
        """The rows of one trace; of shape ``pairs`` its run, for `Pairs`. One without its texts has none."""
        reward = self.reward_of(trajectory)
        if trajectory.question_read or not self._wants(trajectory, reward):
            return
        about = _about(trajectory, reward)
        if self.shape == "chat":
            yield {"messages": _messages(trajectory), **about}
        elif self.shape == "steps":
            yield from (
                _step_row(trajectory, step, decision, about) for step, decision in self._steps(trajectory)
            )
        else:
            yield {"prompt": trajectory.question, "completion": trajectory.text, **about}

    def reward_of(self, trajectory: Trajectory) -> float | None:
        """The reward of a run, or None while there is no verdict."""
        if self.reward.startswith("key:"):
            key = self.reward.removeprefix("key:")
            return next((one.score for one in reversed(trajectory.outcomes) if one.key == key), None)
        solved = solved_of(trajectory.outcomes, self.solved_keys)
        if solved is None:
            return None
        return float(solved and (self.reward == "solved" or trajectory.on_time))

    def _wants(self, trajectory: Trajectory, reward: float | None) -> bool:
        if trajectory.status == "open" or not trajectory.text or not self._decided(trajectory.decisions):
            return False
        if reward is None:
            return self.unlabelled
        return (self.least is None or reward >= self.least) and (self.most is None or reward <= self.most)

    def _decided(self, decisions: Iterable[Decision]) -> bool:
        return not self.policy or any(self._is_policy(decision) for decision in decisions)

    def _is_policy(self, decision: Decision) -> bool:
        return not self.policy or (
            decision.policy == self.policy or decision.policy_version.startswith(self.policy)
        )

    def _steps(self, trajectory: Trajectory) -> Iterator[tuple[Step, Decision | None]]:
        by_id = {decision.decision_id: decision for decision in trajectory.decisions}
        for step in trajectory.steps:
            decision = by_id.get(step.decision_id)
            if step.text and not step.error and (not self.policy or (decision and self._is_policy(decision))):
                yield step, decision


def group_id(trajectory: Trajectory) -> str:
    """The same for all runs of one question: by its id where the caller gave one, else by its text."""
    name = f"id:{trajectory.question_id}" if trajectory.question_id else f"text:{trajectory.question}"
    return hashlib.sha256(f"{trajectory.domain}/{name}".encode()).hexdigest()[:16]


def _about(trajectory: Trajectory, reward: float | None) -> Row:
    final = next((step for step in trajectory.steps if step.step_id == trajectory.final_step_id), None)
    planned = next((one for one in trajectory.decisions if one.kind == "plan"), None)
    first = planned or (trajectory.decisions[0] if trajectory.decisions else None)
    return {
        "reward": reward,
        "group_id": group_id(trajectory),
        "trace_id": trajectory.trace_id,
        "arrived_at_s": float(trajectory.arrived_at_s),
        "domain": trajectory.domain,
        "topology": trajectory.topology,
        "model": (final.served_model or final.model) if final else "",
        "strategy": final.strategy if final else "",
        "policy": first.policy if first else "",
        "policy_version": first.policy_version if first else "",
        "latency_s": float(trajectory.latency_s),
        "budget_s": float(trajectory.budget_s),
        "completion_tokens": trajectory.completion_tokens,
    }


def _step_row(trajectory: Trajectory, step: Step, decision: Decision | None, about: Mapping[str, Any]) -> Row:
    texts = {other.step_id: other.text for other in trajectory.steps}
    return {
        "prompt": trajectory.question,
        "completion": step.text,
        **about,
        "step_id": step.step_id,
        "node": step.node,
        "role": step.role,
        "round": step.round,
        "model": step.served_model or step.model,
        "strategy": step.strategy,
        "shown": [texts[parent] for parent in step.parents if texts.get(parent)],
        "policy": decision.policy if decision else "",
        "policy_version": decision.policy_version if decision else "",
        "propensity": decision.probability if decision else None,
        "completion_tokens": step.completion_tokens,
        "latency_s": step.latency_s,
    }


def _messages(trajectory: Trajectory) -> list[Row]:
    return [
        {"role": "user", "content": trajectory.question},
        {"role": "assistant", "content": trajectory.text},
    ]


class Pairs:
    """The best and the worst answer to each question, where one is better than the other.

    Of equally good ones the quicker is chosen; of equally bad ones the slower is rejected. Holds two runs per question.
    """

    def __init__(self) -> None:
        self._best: dict[str, Row] = {}
        self._worst: dict[str, Row] = {}

    def add(self, runs: Iterable[Row]) -> None:
        """Some more rows of `TrainingRows.of`."""
        for run in runs:
            group = run["group_id"]
            if group not in self._best or _rank(run) > _rank(self._best[group]):
                self._best[group] = run
            if group not in self._worst or _rank(run) < _rank(self._worst[group]):
                self._worst[group] = run

    def __iter__(self) -> Iterator[Row]:
        for group, chosen in self._best.items():
            rejected = self._worst[group]
            if chosen["reward"] > rejected["reward"] and chosen["completion"] != rejected["completion"]:
                yield _pair(chosen, rejected)


def _rank(run: Row) -> tuple[float, float]:
    return run["reward"], -run["latency_s"]


def _pair(chosen: Row, rejected: Row) -> Row:
    both = {"prompt": chosen["prompt"], "group_id": chosen["group_id"], "domain": chosen["domain"]}
    sides = {"chosen": chosen, "rejected": rejected}
    return (
        both
        | {side: row["completion"] for side, row in sides.items()}
        | {f"{side}_{name}": row[name] for side, row in sides.items() for name in _OF_EACH}
    )


_OF_EACH = ("reward", "trace_id", "model", "policy_version")


_ABOUT: Mapping[str, Kind] = {
    "reward": "number",
    "group_id": "text",
    "trace_id": "text",
    "arrived_at_s": "number",
    "domain": "text",
    "topology": "text",
    "model": "text",
    "strategy": "text",
    "policy": "text",
    "policy_version": "text",
    "latency_s": "number",
    "budget_s": "number",
    "completion_tokens": "integer",
}
_ANSWER: Mapping[str, Kind] = {"prompt": "text", "completion": "text", **_ABOUT}
_COLUMNS: Mapping[Shape, Mapping[str, Kind]] = {
    "runs": _ANSWER,
    "steps": {
        **_ANSWER,
        "step_id": "integer",
        "node": "text",
        "role": "text",
        "round": "integer",
        "strategy": "text",
        "shown": "texts",
        "propensity": "number",
    },
    "chat": {"messages": "messages", **_ABOUT},
    "pairs": {
        "prompt": "text",
        "group_id": "text",
        "domain": "text",
        "chosen": "text",
        "rejected": "text",
        "chosen_reward": "number",
        "chosen_trace_id": "text",
        "chosen_model": "text",
        "chosen_policy_version": "text",
        "rejected_reward": "number",
        "rejected_trace_id": "text",
        "rejected_model": "text",
        "rejected_policy_version": "text",
    },
}
