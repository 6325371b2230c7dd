"""Which runs still say something of what is configured now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from inframind.advisor.current import current_runs
from inframind.traces.records import Decision, Trajectory

OLD, NEW = "a" * 64, "b" * 64


def document(**sections: Mapping[str, Any]) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "models": {"m0": {"quality": 0.5}, "m1": {"quality": 0.5, "price_input_usd_per_mtok": 1.0}},
        "strategies": {"Plain": {"instruction": ""}, "Concise": {"instruction": "be short"}},
        "topologies": {"IO": {"rounds": 1}, "Chain": {"rounds": 1}},
        "roles": {"general": ["Solver", "Critic"], "math": ["Prover"]},
        "role_texts": {"Solver": "solve", "Critic": "criticise"},
        "rules": [],
        "policy": {"name": "uniform", "version": "1"},
    }
    return {
        name: {**usual[name], **sections.get(name, {})} if name in sections else usual[name] for name in usual
    }


def decision(kind: str, actions: Sequence[str], impossible: str = "") -> Decision:
    may = [action != impossible for action in actions]
    return Decision(
        decision_id=kind,
        kind=kind,  # type: ignore[arg-type]
        made_s=0.0,
        policy="uniform",
        policy_version="1",
        features_version="1",
        actions=tuple(actions),
        probabilities=tuple(one / sum(may) for one in may),
        masked=tuple("" if one else "rule" for one in may),
        chosen=may.index(True),
        probability=1 / sum(may),
        choice={},
    )


STEPS = ("m0/Plain", "m0/Concise", "m1/Plain", "m1/Concise")


def run(number: int, configuration: str, *decisions: Decision, domain: str = "general") -> Trajectory:
    usual = (decision("plan", ("IO/1", "Chain/2")), decision("step", STEPS))
    return Trajectory(
        trace_id=f"{number:032x}",
        question="q",
        domain=domain,
        arrived_at_s=float(number),
        budget_s=9.0,
        configuration=configuration,
        decisions=decisions or usual,
    )


@pytest.mark.parametrize(
    ("section", "changed", "named"),
    [
        ("models", {"m1": {"quality": 0.9}}, "model m1 (1 runs)"),
        ("strategies", {"Concise": {"instruction": "be brief"}}, "strategy Concise (1 runs)"),
        ("topologies", {"Chain": {"rounds": 2}}, "topology Chain (1 runs)"),
        ("roles", {"general": ["Solver"]}, "the roles of general (1 runs)"),
        ("role_texts", {"Critic": "praise"}, "the roles of general (1 runs)"),
    ],
)
def test_runs_that_could_choose_what_has_changed_are_set_aside(
    section: str, changed: Mapping[str, Any], named: str
) -> None:
    documents = {OLD: document(), NEW: document(**{section: changed})}
    runs = [run(1, OLD), run(2, NEW)]
    found = current_runs(runs, configuration_id=NEW, documents=documents)
    assert found.runs == (runs[1],)
    assert found.set_aside == 1
    assert found.notes == (
        f"1 of 2 runs are set aside, as what they could choose has changed since: {named}.",
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"models": {"m1": {"quality": 0.5, "price_input_usd_per_mtok": 9.0}}},
        {"models": {"m2": {"quality": 0.9}}},
        {"roles": {"general": ["Solver", "Critic", "Judge"]}},
        {"roles": {"math": ["Solver"]}},
        {"role_texts": {"Prover": "prove"}},
        {"policy": {"version": "2", "exploration": 0.3}},
    ],
)
def test_prices_policies_and_what_was_added_set_nothing_aside(changed: Mapping[str, Any]) -> None:
    documents = {OLD: document(), NEW: document(**changed)}
    runs = (run(1, OLD), run(2, NEW))
    assert current_runs(runs, configuration_id=NEW, documents=documents).runs == runs


def test_a_run_that_chose_something_else_is_set_aside_too_but_not_one_that_could_not_choose_it() -> None:
    documents = {OLD: document(), NEW: document(models={"m1": {"quality": 0.9}})}
    chose_other = run(1, OLD, decision("step", STEPS))
    could_not = run(2, OLD, decision("step", ("m0/Plain", "m1/Plain"), impossible="m1/Plain"))
    found = current_runs([chose_other, could_not], configuration_id=NEW, documents=documents)
    assert found.runs == (could_not,)


def test_what_is_configured_no_more_is_named_so() -> None:
    now = document()
    del now["models"]["m1"]
    found = current_runs([run(1, OLD)], configuration_id=NEW, documents={OLD: document(), NEW: now})
    assert "model m1, which is no more (1 runs)" in found.notes[0]


def test_a_run_of_an_unknown_configuration_counts_unless_what_it_chose_from_changed_later() -> None:
    documents = {OLD: document(), NEW: document(strategies={"Concise": {"instruction": "be brief"}})}
    before, between, after = run(1, ""), run(5, "c" * 64), run(9, "")
    runs = [before, run(3, OLD), between, run(7, NEW), after]
    found = current_runs(runs, configuration_id=NEW, documents=documents)
    assert found.runs == (between, runs[3], after)


def test_where_the_configuration_of_now_is_unknown_all_runs_count() -> None:
    runs = (run(1, OLD), run(2, NEW))
    found = current_runs(runs, configuration_id=NEW, documents={OLD: document()})
    assert (found.runs, found.set_aside, found.notes) == (runs, 0, ())
