"""What was decided under accepted advice is said of the failures among it, and of all runs that it narrowed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inframind.advisor.analysis import Analysis
from inframind.advisor.cluster import FailureCluster, Trait
from inframind.advisor.under_rules import InForce, under_rules
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.records import SOLVED_ONLY, Decision, Outcome, Trajectory

ADVICE = "5b911ba3" * 4
MATH = RoutingRule(
    name="advice-5b911ba3",
    when=Circumstances(domains=frozenset({"math"})),
    only_models=frozenset({"m0"}),
    advice=ADVICE,
)


def run(number: int, *masked: str, solved: bool | None = True, **seen: Any) -> Trajectory:
    decision = Decision(
        decision_id=f"{number}", kind="step", made_s=0.0, policy="p", policy_version="1", features_version="1",
        actions=("a", *masked), probabilities=(1.0, *(0.0 for _ in masked)), masked=("", *masked), chosen=0,
        probability=1.0, choice={}, seen=seen,
    )  # fmt: skip
    verdict = Outcome(feedback_id="f", key="solved", score=float(solved or 0), recorded_at_s=0.0)
    return Trajectory(
        trace_id=f"{number:032x}", question="q", arrived_at_s=float(number), budget_s=9.0, latency_s=1.0,
        status="ok", decisions=(decision,), outcomes=() if solved is None else (verdict,),
    )  # fmt: skip


def pattern(*members: Trajectory, **trait: str) -> FailureCluster:
    told = Trait(values=trait, share=1.0, share_elsewhere=0.0, failing=1.0, failing_without=0.0, z=9.0)  # type: ignore[arg-type]
    return FailureCluster(
        cluster_id="c", label="wrong answers", kinds={"wrong": len(members)}, size=len(members), share=1.0,
        runs=len(members), trend=0.0, trend_z=0.0, traits=(told,), exemplars=(),
        members=tuple(one.trace_id for one in members),
    )  # fmt: skip


def under(number: int, **given: Any) -> Trajectory:
    return run(number, "too slow", "rule advice-5b911ba3", **given)


def test_a_pattern_of_runs_under_a_rule_names_it() -> None:
    failed, fine = (
        [under(number, solved=False) for number in range(10)],
        [run(number) for number in range(10, 40)],
    )
    said = under_rules([*failed, *fine], [pattern(*failed, domain="math")], [MATH], SOLVED_ONLY)
    assert said.clusters[0].notes == (
        "all of these were decided under advice 5b911ba3 (use m0 alone where the domain is math), so nobody knows how "
        "they would do without: consider `inframind advise revert 5b911ba3`",
    )
    assert said.in_force == (
        InForce(
            advice=ADVICE,
            title="Use m0 alone where the domain is math",
            runs=10,
            known=10,
            failures=10,
            known_elsewhere=30,
            failures_elsewhere=0,
        ),
    )


@pytest.mark.parametrize(("without", "said"), [(0, "all of"), (1, "90% of"), (2, "")])
def test_nearly_all_is_nine_in_ten(without: int, said: str) -> None:
    failed = [run(n, solved=False) if n < without else under(n, solved=False) for n in range(10)]
    found = under_rules([*failed, run(99)], [pattern(*failed, model="m0")], [MATH], SOLVED_ONLY)
    notes = found.clusters[0].notes
    assert [note[: len(said)] for note in notes] == ([said] if said else [])


@pytest.mark.parametrize(
    ("trait", "count"), [({"model": "m0"}, 1), ({"hour_utc": "22-6"}, 0), ({"role": "Critic"}, 0)]
)
def test_a_rule_that_narrows_every_run_is_named_by_patterns_of_what_it_limits(
    trait: dict[str, str], count: int
) -> None:
    failed, fine = [under(n, solved=False) for n in range(10)], [under(n) for n in range(10, 40)]
    said = under_rules([*failed, *fine], [pattern(*failed, **trait)], [MATH], SOLVED_ONLY)
    assert len(said.clusters[0].notes) == count
    assert (said.in_force[0].runs, said.in_force[0].failures, said.in_force[0].known_elsewhere) == (40, 10, 0)


def test_a_server_that_is_tried_last_is_seen_and_open_runs_count_for_nothing() -> None:
    rule = RoutingRule(name="r", avoid_endpoints=frozenset({"e0"}), advice=ADVICE)
    runs = [run(1, solved=None, avoid_endpoints=["e0"]), run(2, avoid_endpoints=["e1"])]
    (found,) = under_rules(runs, [], [rule], SOLVED_ONLY).in_force
    assert (found.runs, found.known, found.known_elsewhere) == (1, 0, 1)


def test_rules_of_people_are_not_spoken_of() -> None:
    failed = [under(n, solved=False) for n in range(10)]
    own = MATH.model_copy(update={"advice": ""})
    cluster = pattern(*failed, model="m0")
    assert under_rules(failed, [cluster], [own], SOLVED_ONLY) == under_rules(
        failed, [cluster], [], SOLVED_ONLY
    )


def test_an_analysis_keeps_what_is_said_and_reads_what_older_releases_kept() -> None:
    failed = [under(n, solved=False) for n in range(10)]
    found = under_rules(failed, [pattern(*failed, model="m0")], [MATH], SOLVED_ONLY)
    made = Analysis(
        at_s=0.0, configuration_id="", runs=10, labelled=10, failures=10, since_s=0.0, until_s=0.0,
        clusters=found.clusters, in_force=found.in_force,
    )  # fmt: skip
    document = made.to_json()
    assert Analysis.from_json(document) == made
    del document["in_force"], document["clusters"][0]["notes"]
    older = Analysis.from_json(document)
    assert (older.in_force, older.clusters) == ((), (replace(found.clusters[0], notes=()),))
