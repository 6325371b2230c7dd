"""What recorded runs say of a version before it serves any: off-policy evaluation beside another's.

Of its steps alone, which runs say most about; of plans and steps where rules about plans differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.online.protocol import Label
from inframind.router.ope.estimate import Estimate, NoSupport
from inframind.router.ope.evaluation import OpeConfig, compare_read, read_traces
from inframind.router.ope.runs import Level
from inframind.router.policy_file import StoredPolicy
from inframind.router.rulebook import RuleBook, after_own, plan_rules, roles_in
from inframind.router.rules import RoutingRule
from inframind.traces.records import Trajectory

LATEST = 500
"""Labelled runs that are asked about, the latest ones."""


def foreseen(
    new: StoredPolicy,
    old: StoredPolicy,
    runs: Sequence[Trajectory],
    labels: Mapping[str, Label],
    *,
    actions: ActionSpace,
    exploration: float,
    rules: Sequence[RoutingRule] = (),
) -> Estimate | NoSupport | None:
    """By how much more of these runs would have been right and in time; None where none can be asked about.

    Args:
        new: a version.
        old: another.
        runs: finished runs of any policies.
        labels: by trace id; runs without one are left out.
        actions: what may be chosen.
        exploration: share of decisions that both draw evenly.
        rules: under which both serve, beside their own.
    """
    solved = {run.trace_id: labels[run.trace_id].solved for run in runs if run.trace_id in labels}
    if not solved:
        return None
    of_new, of_old = (plan_rules(after_own(rules, stored.rules)) for stored in (new, old))
    level: Level = "workflow" if of_new != of_old else "step"
    config = OpeConfig(level=level, methods=("dr",), exploration=exploration)
    try:
        traces = read_traces(runs, solved, actions, config)
        found = compare_read(
            new.bind(actions),
            old.bind(actions),
            traces,
            config,
            rules=_as_served(rules, new, actions),
            old_rules=_as_served(rules, old, actions),
        )
    except (
        ConfigError
    ):  # of none of them everything can be rebuilt, or a person's rule speaks of what is gone
        return None
    return found.best


def _as_served(own: Sequence[RoutingRule], stored: StoredPolicy, actions: ActionSpace) -> RuleBook:
    """The configuration's own rules, and the version's; whether there are such roles was seen where they serve."""
    rules = after_own(own, stored.rules)
    return RuleBook(rules, actions, roles=roles_in(rules))
