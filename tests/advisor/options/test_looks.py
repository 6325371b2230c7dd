"""Looking often claims no more that is false, and forgets nothing that was claimed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inframind.advisor.analysis import Analysis
from inframind.advisor.options.looks import FIRST_LOOK, Look, look_after
from inframind.advisor.options.standing import content_of
from inframind.router.rules import RoutingRule
from inframind.traces.records import SOLVED_ONLY, Outcome, Trajectory


def runs_from(first: int, last: int, labelled: int) -> list[Trajectory]:
    graded = Outcome(feedback_id="g", key="solved", score=1.0, recorded_at_s=0.0)
    return [
        Trajectory(
            trace_id=f"{number:032x}",
            question="q",
            arrived_at_s=float(number),
            budget_s=9.0,
            outcomes=(graded,) if number < labelled else (),
        )
        for number in range(first, last)
    ]


def looked_at(runs: list[Trajectory]) -> Analysis:
    return Analysis(
        at_s=0.0,
        configuration_id="",
        runs=len(runs),
        labelled=sum(run.solved is not None for run in runs),
        failures=0,
        since_s=runs[0].arrived_at_s,
        until_s=runs[-1].arrived_at_s,
    )


@pytest.mark.parametrize(
    ("before", "now", "share"),
    [
        ((0, 100, 100), (0, 100, 100), 0.0),
        ((0, 100, 200), (10, 110, 200), 0.1),
        ((0, 100, 200), (100, 200, 200), 1.0),
        ((90, 100, 200), (0, 100, 200), 0.9),
        ((0, 100, 20), (0, 100, 80), 0.75),
        ((0, 100, 0), (0, 110, 0), 10 / 110),
    ],
)
def test_what_may_be_spent_is_the_share_of_news(
    before: tuple[int, int, int], now: tuple[int, int, int], share: float
) -> None:
    look = look_after(looked_at(runs_from(*before)), runs_from(*now), SOLVED_ONLY)
    assert look.share == pytest.approx(share)


def test_the_first_look_may_spend_all() -> None:
    assert look_after(None, runs_from(0, 9, 0), SOLVED_ONLY) is FIRST_LOOK
    assert FIRST_LOOK.weight("cheapest", RoutingRule(name="r", avoid_models={"a"})) == 1.0


def test_what_was_claimed_is_kept_up_without_news_and_nothing_else_is_claimed(
    make_world: Any, make_proposer: Any
) -> None:
    world = make_world(seed=3)
    logs = world.logs()
    first = make_proposer(logs, world.actions).options(())
    assert first
    kept = first[0]
    claimed = frozenset({(kept.kind, content_of(kept.rules[0]))})
    for look, ids in (
        (Look(share=0.0), []),
        (Look(share=0.0, claimed=claimed), [kept.option_id]),
    ):
        again = replace(make_proposer(logs, world.actions), look=look).options(())
        assert [option.option_id for option in again] == ids


def test_a_smaller_share_of_news_asks_for_more(make_world: Any, make_proposer: Any) -> None:
    world = make_world(seed=3)
    logs = world.logs()

    def offered(share: float) -> int:
        return len(replace(make_proposer(logs, world.actions), look=Look(share=share)).options(()))

    counts = [offered(share) for share in (1.0, 0.1, 1e-3, 1e-12)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
