"""The columns of what a trained policy sees: sole owner of their order, of their bounds and of what views alone tell.

A reading that is missing or stale is a mask column and an age, never a zero that looks like an idle server.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from inframind.fleet.snapshot import EndpointLoad
from inframind.router.actions import ExecutorAction, PlannerAction
from inframind.router.views import Slot

QUESTION_COLUMNS = ("difficulty", "log_length")
"""What is known of the question; the first columns of every state."""
TIME_COLUMNS = ("log_remaining", "log_budget", "share_of_budget_left", "crowding")
"""Time left, and requests per slot of the whole fleet."""
STEP_COLUMNS = (
    *QUESTION_COLUMNS,
    *TIME_COLUMNS,
    "is_judge",
    "position",
    "team_size",
    "round",
    "depth_left",
    "agreement",
    "agreement_known",
    "log_prompt_tokens",
)
"""Columns of a step's state (D)."""
PLAN_COLUMNS = (*QUESTION_COLUMNS, *TIME_COLUMNS, "log_prompt_tokens")
"""Columns of a plan's state (D)."""
ROLE_COLUMNS = (*QUESTION_COLUMNS, "seat", "team_size", "is_taken_by_someone")
"""Columns of a role's state (D)."""
ACTION_COLUMNS = (
    "prior_logit",
    "slack",
    "log_q50",
    "log_share_of_time",
    "crowding",
    "waiting_per_slot",
    "kv_cache_usage",
    "load_known",
    "load_age",
    "log_size_b",
    "log_cost",
)
"""Columns of a model with a strategy (K)."""
WORKFLOW_COLUMNS = ("prior_logit", "slack", "log_share_of_time", "log_calls", "depth", "team_size")
"""Columns of a plan (K)."""
ROLE_CANDIDATE_COLUMNS = ("is_taken",)
"""Columns of a role (K)."""

TABLES = {"step": ("topology", "role", "domain"), "plan": ("domain",), "role": ("topology", "domain")}
"""Names in the state that have learned rows of their own, by kind of decision."""
CANDIDATE_TABLES = {"step": ("model", "strategy"), "plan": ("topology",), "role": ("role",)}
"""Names of candidates that have learned rows of their own."""

LARGEST_SLACK = 4.0
"""Standard deviations between the predicted median and the time left are cut here: beyond there is nothing to tell."""
LARGEST_LOGIT = 6.0
"""Log odds known before anything was learned are cut here."""
LEAST_TIME_S = 1e-3
"""Seconds left that a late run counts as having, so that logarithms stay finite."""
LARGEST_LOG_RATIO = 4.0
"""Log of the predicted time over the time left is cut here."""
OLDEST_AGE_S = 60.0
"""Age of a reading that counts as 1 in ``load_age``; older ones, and no reading at all, do too."""
LEAST_SIGMA = 0.05
"""Log spread of a predicted latency, at least."""
SLACK_LOGIT = 1.702
"""A logistic curve of this slope is a normal distribution function to within 0.01 (Camilli 1994)."""


def column_counts(kind: str) -> tuple[int, int]:
    """Number of state and of candidate columns of a kind of decision."""
    state = {"step": STEP_COLUMNS, "plan": PLAN_COLUMNS, "role": ROLE_COLUMNS}
    candidate = {"step": ACTION_COLUMNS, "plan": WORKFLOW_COLUMNS, "role": ROLE_CANDIDATE_COLUMNS}
    return len(state[kind]), len(candidate[kind])


def load_row(load: EndpointLoad | None, slots: float) -> tuple[float, float, float, float, float]:
    """Columns of `ACTION_COLUMNS` from ``crowding`` to ``load_age``, of a replica with so many slots."""
    if load is None:
        return (1.0, 0.0, 0.0, 0.0, 1.0)
    age_s = load.age_s
    age = 1.0 if age_s is None or age_s > OLDEST_AGE_S else age_s / OLDEST_AGE_S
    running, waiting = load.engine_now
    return (
        (running + waiting + load.waiting_here) / slots,
        waiting / slots,
        load.kv_cache_usage or 0.0,
        0.0 if age_s is None or load.running is None else 1.0,
        age,
    )


def time_columns(remaining_s: float, budget_s: float, crowding: float) -> tuple[float, float, float, float]:
    """`TIME_COLUMNS`."""
    left_s = max(remaining_s, LEAST_TIME_S)
    return (math.log(left_s) / 5, math.log(budget_s) / 5, max(remaining_s, 0.0) / budget_s, crowding)


def slot_columns(slot: Slot) -> tuple[float, ...]:
    """The columns of `STEP_COLUMNS` that tell where the workflow stands."""
    agreement = slot.agreement
    return (
        1.0 if slot.kind == "judge" else 0.0,
        slot.position / 3,
        slot.team_size / 3,
        slot.round / 2,
        slot.depth_left / 3,
        agreement or 0.0,
        0.0 if agreement is None else 1.0,
        log_prompt(slot.prompt_tokens),
    )


def log_prompt(prompt_tokens: int) -> float:
    """``log_prompt_tokens``."""
    return math.log1p(prompt_tokens) / 8


def action_names(actions: Sequence[ExecutorAction]) -> dict[str, tuple[str, ...]]:
    """Names of executor actions by candidate table."""
    return {
        "model": tuple(action.model for action in actions),
        "strategy": tuple(action.strategy for action in actions),
    }


def plan_names(plans: Sequence[PlannerAction]) -> dict[str, tuple[str, ...]]:
    """Names of plans by candidate table."""
    return {"topology": tuple(plan.topology for plan in plans)}


def role_names(roles: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Names of roles by candidate table."""
    return {"role": tuple(roles)}
