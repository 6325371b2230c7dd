"""A pacer's columns: what they hold, and that a stored decision gives the same row as the view that was served."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.router.pace_features import (
    PACE_COLUMNS,
    pace_features,
    recorded_pace_features,
    topology_bucket,
)
from inframind.router.policy import Proposal
from inframind.router.views import PaceView, Query
from inframind.traces.codec import decode, encode
from inframind.traces.records import Trajectory

QUESTION = Query(text="How many?", domain="math", prompt_tokens=3)


class Watcher:
    """Keeps the view that it was shown."""

    name, version = "watcher", "1"
    view: PaceView

    def pace(self, view: PaceView) -> Proposal:
        self.view = view
        return Proposal(np.ones(2), "")


def run_of(decision: Any, *, topology: str, budget_s: float) -> Trajectory:
    return Trajectory(
        trace_id="0" * 32,
        question="How many?",
        arrived_at_s=0.0,
        budget_s=budget_s,
        topology=topology,
        decisions=(decision,),
    )


@settings(max_examples=60, deadline=None)
@given(
    topology=st.sampled_from(["Debate", "Reflection"]),
    round_number=st.integers(1, 3),
    agreement=st.sampled_from([0.0, 1 / 3, 2 / 3, 1.0]),
    stagnation=st.sampled_from([0.0, 1 / 3, 1.0]),
    budget_s=st.sampled_from([1e-6, 0.5, 5.0, 300.0]),
    spent_s=st.sampled_from([0.0, 0.4, 400.0]),
    team_size=st.sampled_from([None, 1, 3]),
    open_models=st.sampled_from([(), ("a",), ("a", "b")]),
)
def test_a_stored_decision_gives_the_row_that_was_served(
    make_any_bench: Any,
    topology: str,
    round_number: int,
    agreement: float,
    stagnation: float,
    budget_s: float,
    spent_s: float,
    team_size: int | None,
    open_models: tuple[str, ...],
) -> None:
    bench, watcher = make_any_bench(), Watcher()
    deadline = bench.within(budget_s)
    bench.clock.at_s += spent_s
    _, decision = bench.decider(watcher).pace(
        QUESTION,
        bench.actions.topology(topology),
        round_number=round_number,
        agreement=agreement,
        stagnation=stagnation,
        snapshot=bench.snapshot(**{model: {"breaker": "open"} for model in open_models}),
        deadline=deadline,
        decision_id="d",
        team_size=team_size,
    )
    stored = decode(encode(run_of(decision, topology=topology, budget_s=deadline.budget_s)))
    served = pace_features(watcher.view)
    assert np.isfinite(served).all()
    assert served.tolist() == recorded_pace_features(stored.decisions[0], stored).tolist()


def view_of(bench: Any, **values: Any) -> PaceView:
    given = {"round": 2, "rounds_left": 1, "agreement": 1.0, "stagnation": 0.5}
    times = {"remaining_s": 20.0, "round_q90_s": 2.0}
    return bench.pace_view(**{"query": QUESTION, "team_size": 3, **given, **times, **values})


def row(bench: Any, **values: Any) -> dict[str, float]:
    return dict(zip(PACE_COLUMNS, pace_features(view_of(bench, **values)).tolist(), strict=True))


def test_the_columns_hold_what_they_say(bench: Any) -> None:
    found = row(bench)
    topologies = {name: value for name, value in found.items() if name.startswith("topology_")}
    assert topologies == {name: float(name == f"topology_{topology_bucket('Debate')}") for name in topologies}
    assert {name: value for name, value in found.items() if name not in topologies} == pytest.approx(
        {
            "agreement": 1.0,
            "agreement_known": 1.0,
            "all_agree": 1.0,
            "stagnation": 0.5,
            "stagnation_known": 1.0,
            "round": 2.0,
            "rounds_left": 1.0,
            "log_remaining": np.log(20),
            "log_budget": np.log(60),
            "log_remaining_over_round": np.log(10),
            "team_size": 3.0,
            "team_size_known": 1.0,
        }
    )


def test_a_single_agent_agrees_with_nobody_and_is_not_said_to_disagree(bench: Any) -> None:
    found = row(bench, team_size=1, agreement=0.0)
    assert (found["agreement_known"], found["agreement"], found["all_agree"]) == (0.0, 0.0, 0.0)


def test_a_team_that_nobody_counted_is_unknown_not_small(bench: Any) -> None:
    found = row(bench, team_size=None)
    assert (found["team_size_known"], found["agreement_known"]) == (0.0, 1.0)


def test_the_topologies_with_rounds_have_columns_of_their_own() -> None:
    assert topology_bucket("Debate") != topology_bucket("Reflection")


@pytest.mark.parametrize("lost", ["kind", "rounds_left", "round"])
def test_decisions_without_the_columns_are_refused_by_name(bench: Any, lost: str) -> None:
    _, decision = bench.decider(Watcher()).pace(
        QUESTION,
        bench.actions.topology("Debate"),
        round_number=1,
        agreement=0.5,
        stagnation=0.0,
        snapshot=bench.snapshot(),
        deadline=bench.within(),
        decision_id="d-17",
    )
    broken = {
        "kind": replace(decision, kind="step"),
        "rounds_left": replace(decision, seen={k: v for k, v in decision.seen.items() if k != "rounds_left"}),
        "round": replace(decision, choice={"pace": "STAY"}),
    }[lost]
    with pytest.raises(ValueError, match="d-17"):
        recorded_pace_features(broken, run_of(broken, topology="Debate", budget_s=60.0))
