"""What is concluded from results: no more than they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from inframind.arena.candidates.campaign import Plan
from inframind.arena.candidates.candidate import AS_IT_IS, Candidate, Setup, without_addresses
from inframind.arena.candidates.results import Job, JobResult, PlayedFigures
from inframind.arena.candidates.verdict import Standings, standings_of, summary_of
from inframind.fleet.endpoints import EndpointSpec
from inframind.graphs.assembly import Parts
from inframind.router.policy import JustEnoughPolicy
from inframind.router.rules import RoutingRule
from inframind.traces.advice import METRICS, Prediction


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """Traffic whose results are given: success and cost by candidate and seed, or predictions by candidate."""

    seeds: tuple[int | None, ...] = (0, 1, 2, 3)
    success: Mapping[str, Sequence[float]] = field(default_factory=dict)
    cost: Mapping[str, float | None] = field(default_factory=dict)
    predictions: Mapping[str, tuple[Prediction, ...]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    applied: Mapping[str, int] = field(default_factory=dict)
    baseline: Setup = field(
        default_factory=lambda: Setup(
            parts=Parts(
                endpoints=without_addresses(
                    [EndpointSpec(name="a-0", base_url="http://gpu.invalid/v1", model="a")]
                )
            ),
            policy=JustEnoughPolicy(),
        )
    )

    def facts(self) -> Mapping[str, Any]:
        return {"on": "known"}

    def jobs(self, candidate: Candidate) -> Sequence[Job]:
        return [Job(candidate=candidate.name, seed=seed, rate_per_min=60.0) for seed in self.seeds]

    def jobs_apiece(self, jobs: int, workers: int) -> int:
        return 1

    def play(self, candidate: Candidate, job: Job) -> JobResult:
        name = candidate.name
        if name in self.predictions:
            return JobResult(job=job, predictions=self.predictions[name])
        figures = PlayedFigures(
            offered=100,
            success=self.success[name][job.seed or 0],
            solved=0.8,
            on_time=0.9,
            failed=0.0,
            latency_s=10.0,
            latency_p95_s=20.0,
            cost=self.cost.get(name, 1.0),
            completion_tokens=300.0,
            applied=self.applied.get(name),
        )
        return JobResult(job=job, figures=figures, error=self.errors.get(name, ""))


def standings(traffic: Known, names: Sequence[str]) -> tuple[Plan, Standings]:
    rule = RoutingRule(name="small", most_agents=1)
    plan = Plan.of([Candidate(name=name, rules=(rule,)) for name in names], traffic)
    done = {job: traffic.play(one, job) for batch in plan.batches() for one, job in batch}
    return plan, standings_of(plan, done)


BEFORE = (0.50, 0.60, 0.40, 0.50)


def shifted(change: float, *noise: float) -> tuple[float, ...]:
    return tuple(
        value + change + more for value, more in zip(BEFORE, noise or (0.0, 0.0, 0.0, 0.0), strict=True)
    )


def test_differences_are_taken_seed_by_seed() -> None:
    """The seeds differ by twenty points, the candidate by five on each: that is known exactly."""
    _, found = standings(Known(success={AS_IT_IS: BEFORE, "new": shifted(0.05)}), ["new"])
    (new,) = found.verdicts
    success = new.changes["success"]
    assert (success.change, success.low, success.high) == pytest.approx((0.05, 0.05, 0.05))
    assert success.value == pytest.approx(0.55)
    assert new.standing == "better"
    assert found.baseline["success"] == pytest.approx(0.5)


def test_of_rules_that_never_applied_nothing_is_concluded() -> None:
    same = {AS_IT_IS: BEFORE, "never": BEFORE, "once": BEFORE}
    _, found = standings(Known(success=same, applied={"never": 0, "once": 1}), ["never", "once"])
    never, once = sorted(found.verdicts, key=lambda one: one.name)
    assert (never.standing, never.reason) == ("unknown", "applied to 0 of 400 runs")
    success = never.changes["success"]
    assert (success.value, success.change, success.low, success.high) == (
        pytest.approx(0.5),
        None,
        None,
        None,
    )
    assert once.standing == "undecided"


def test_the_interval_is_students_over_the_seeds() -> None:
    _, found = standings(
        Known(success={AS_IT_IS: BEFORE, "new": shifted(0.05, 0.01, -0.01, 0.01, -0.01)}), ["new"]
    )
    success = found.verdicts[0].changes["success"]
    half = 3.1824 * (4 * 0.01**2 / 3) ** 0.5 / 2
    assert (success.low, success.high) == pytest.approx((0.05 - half, 0.05 + half), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "noise", "others", "standing"),
    [
        (0.05, 0.01, 0, "better"),
        (0.05, 0.01, 40, "likely better"),
        (0.05, 0.08, 0, "undecided"),
        (-0.05, 0.01, 0, "worse"),
        (-0.05, 0.01, 40, "likely worse"),
    ],
)
def test_many_candidates_ask_for_more_evidence(
    change: float, noise: float, others: int, standing: str
) -> None:
    new = shifted(change, noise, -noise, noise, -noise)
    rest = {f"other {number}": BEFORE for number in range(others)}
    _, found = standings(Known(success={AS_IT_IS: BEFORE, "new": new, **rest}), ["new", *rest])
    assert {one.name: one.standing for one in found.verdicts}["new"] == standing


def test_too_few_seeds_give_values_and_no_conclusion() -> None:
    _, found = standings(Known(seeds=(0, 1), success={AS_IT_IS: BEFORE, "new": shifted(0.3)}), ["new"])
    (new,) = found.verdicts
    assert (new.standing, new.reason) == ("unknown", "intervals need 3 seeds: there are 2")
    assert new.changes["success"].change == pytest.approx(0.3)
    assert new.changes["success"].low is None


def test_nobody_on_the_front_is_beaten_in_both() -> None:
    worth = {
        AS_IT_IS: (0.0, 2.0), "cheap": (-0.1, 1.0), "dear": (0.1, 3.0), "waste": (-0.05, 2.5), "free": (0.0, None),
    }  # fmt: skip
    traffic = Known(
        success={name: shifted(change) for name, (change, _) in worth.items()},
        cost={name: cost for name, (_, cost) in worth.items()},
    )
    plan, found = standings(traffic, ["cheap", "dear", "waste", "free"])
    assert [one.name for one in found.verdicts if one.on_front] == ["dear", "cheap"]
    assert found.baseline_on_front
    assert summary_of(plan, found)["front"] == [AS_IT_IS, "dear", "cheap"]
    free = {one.name: one for one in found.verdicts}["free"]
    assert free.changes["cost"].objection == "not known"


def test_candidates_are_not_judged_by_a_baseline_that_failed() -> None:
    traffic = Known(success={AS_IT_IS: BEFORE, "new": BEFORE}, errors={AS_IT_IS: "ConfigError: no such file"})
    _, found = standings(traffic, ["new"])
    assert found.verdicts[0].standing == "unknown"
    assert found.reason == "ConfigError: no such file"
    assert found.verdicts[0].reason == "the configuration as it is failed: ConfigError: no such file"


def test_candidates_with_work_left_are_left_out() -> None:
    traffic = Known(success={AS_IT_IS: BEFORE, "done": BEFORE, "begun": BEFORE})
    plan, _ = standings(traffic, ["done", "begun"])
    done = {job: traffic.play(one, job) for batch in plan.batches() for one, job in batch}
    part = {
        job: result
        for job, result in done.items()
        if job != Job(candidate="begun", seed=3, rate_per_min=60.0)
    }
    assert [one.name for one in standings_of(plan, part).verdicts] == ["done"]


def predictions(success: tuple[float, float, float], objection: str = "") -> tuple[Prediction, ...]:
    made = dict.fromkeys(METRICS, (0.0, 0.0, 0.0)) | {"success": success}
    return tuple(
        Prediction(
            metric=metric, before=0.5, change=made[metric][0], low=made[metric][1], high=made[metric][2],
            runs=1000, affected=300, effective_size=200.0, method="exact", objection=objection,
        )
        for metric in METRICS
    )  # fmt: skip


def recorded(success: tuple[float, float, float], objection: str = "", others: int = 0) -> Standings:
    none = predictions((0.0, 0.0, 0.0))
    rest = {f"other {number}": none for number in range(others)}
    traffic = Known(
        seeds=(None,), predictions={AS_IT_IS: none, "new": predictions(success, objection), **rest}
    )
    return standings(traffic, ["new", *rest])[1]


def test_recorded_runs_are_concluded_from_by_their_predictions() -> None:
    found = recorded((0.04, 0.01, 0.07))
    assert found.verdicts[0].standing == "better"
    assert found.verdicts[0].changes["success"].value == pytest.approx(0.54)
    assert found.baseline["latency_s"] == 0.5
    assert {one.name: one.standing for one in recorded((0.04, 0.01, 0.07), others=40).verdicts}[
        "new"
    ] == "likely better"


def test_what_lacks_evidence_has_no_value() -> None:
    found = recorded((0.0, 0.0, 0.0), objection="effective sample size 12 is below 100")
    (new,) = found.verdicts
    assert (new.standing, new.reason) == ("unknown", "effective sample size 12 is below 100")
    assert new.changes["success"].value is None
    assert not new.on_front
