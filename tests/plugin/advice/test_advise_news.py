"""`inframind advise` begins with what became of what was accepted, where that is worth saying."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inframind.fleet.clock import SystemClock
from inframind.traces.advice import AdviceEvent

from .conftest import NO_DEBATE, NO_LARGE, Office, option, prediction
from .test_advise_commands import advise, at_office, folder, said

__all__ = ["folder"]


def accepted(folder: Path, **values: Any) -> str:
    """Id of a change that was accepted: it promised 5 to 15 points more, 10 at best."""
    at_office(folder, lambda office: office.keep(option(1, NO_LARGE, **values)))
    (made,) = said(folder)["recommendations"]
    advise(folder, "accept", made["recommendation_id"], "--yes")
    return str(made["recommendation_id"])


def measure(
    folder: Path, advice: str, change: float, low: float, high: float, *, age_s: float = 0.0, **other: Any
) -> None:
    facts = {
        "method": "before and after", "before": 0.5, "after": 0.5 + change, "change": change, "low": low,
        "high": high, "before_labelled": 90, "after_labelled": 70, "together_with": [], **other,
    }  # fmt: skip
    at_s = SystemClock().wall_s() - age_s
    event = AdviceEvent(recommendation_id=advice, kind="measured", at_s=at_s, by="advisor", facts=facts)
    at_office(folder, lambda office: office.graph.add_event(event))


def first_line(folder: Path) -> str:
    out = advise(folder).output
    return " ".join(out[: out.index("500 runs of")].split())


def test_what_surely_made_it_worse_is_told_first_and_how_to_take_it_back(folder: Path) -> None:
    advice = accepted(folder)
    assert first_line(folder) == ""
    measure(folder, advice, -0.043, -0.08, -0.01)
    shown = advice[:8]
    told = f"{shown} promised +10.0 points, measured -4.3 points so far; `inframind advise revert {shown}`"
    assert first_line(folder) == told
    assert said(folder)["news"] == [{"recommendation_id": advice, "kind": "broken", "told": told}]
    advise(folder, "revert", advice, "--yes")
    assert first_line(folder) == "" and said(folder)["news"] == []


def test_what_surely_brought_less_than_promised_is_told(folder: Path) -> None:
    advice = accepted(folder)
    measure(folder, advice, -0.01, -0.06, 0.04)
    shown = advice[:8]
    told = f"{shown} promised +10.0 points, measured -1.0 points so far, surely less"
    assert first_line(folder) == f"{told}; see `inframind advise show {shown}`"


def test_what_may_yet_keep_its_promise_is_no_news(folder: Path) -> None:
    measure(folder, accepted(folder), -0.01, -0.10, 0.08)
    assert first_line(folder) == ""


def test_what_kept_its_promise_is_told_briefly_and_for_a_day(folder: Path) -> None:
    advice = accepted(folder)
    measure(folder, advice, 0.12, 0.02, 0.2)
    assert first_line(folder) == f"{advice[:8]}: promise kept: success rose by 12.0 points [2.0, 20.0]"
    measure(folder, advice, 0.12, 0.02, 0.2, age_s=86_401.0)
    assert first_line(folder) == ""


def test_what_was_to_be_cheaper_and_is_dearer_is_told_in_cost(folder: Path) -> None:
    cost = prediction(metric="cost", before=2.0, change=-0.6, low=-0.8, high=-0.4)
    advice = accepted(
        folder, kind="cheapest", predictions=(cost, prediction(change=0.0, low=-0.01, high=0.0))
    )
    dearer = {"before": 2.0, "after": 2.1, "change": 0.1, "low": 0.05, "high": 0.15,
              "before_runs": 90, "after_runs": 70}  # fmt: skip
    measure(folder, advice, -0.004, -0.007, -0.001, cost=dearer)
    shown = advice[:8]
    assert first_line(folder) == (
        f"{shown} promised -30 % of the cost, measured +5 % of the cost so far; `inframind advise revert {shown}`"
    )


@pytest.mark.parametrize("most", [3])
def test_at_most_three_are_told_the_worst_first(folder: Path, most: int) -> None:
    async def four(office: Office) -> list[str]:
        names = []
        for number, rule in enumerate((NO_LARGE, NO_DEBATE, *(_strategy(name) for name in "ab")), 1):
            await office.keep(option(number, rule))
            made, *_ = await office.desk().recommend()
            await office.graph.add_event(
                AdviceEvent(
                    recommendation_id=made.recommendation_id, kind="accepted", at_s=1.0, by="user:ann"
                )
            )
            names.append(made.recommendation_id)
        return names

    names = at_office(folder, four)
    for name in names[:3]:
        measure(folder, name, 0.12, 0.02, 0.2)
    measure(folder, names[3], -0.043, -0.08, -0.01)
    lines = advise(folder).output.split("500 runs of")[0]
    assert lines.startswith(names[3][:8])
    assert sum(name[:8] + ":" in lines or name[:8] + " promised" in lines for name in names) == most


def _strategy(name: str) -> Any:
    from inframind.router.rules import RoutingRule

    return RoutingRule(name=name, avoid_strategies=frozenset({name}))
