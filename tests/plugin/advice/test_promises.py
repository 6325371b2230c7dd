"""Whether what was promised came: asked of the latest measurement, for each kind, and told in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from inframind.plugin.advice.promises import moved_of
from inframind.plugin.advice.stories import Story
from inframind.plugin.commands.advise_outcome import promise_text
from inframind.traces.advice import AdviceEvent, Recommendation

Range = tuple[float, float, float]
"""Change, low, high."""


def facts(success: Range, **moved: Any) -> dict[str, Any]:
    """Of a measurement; costs were 2.0 before."""
    change, low, high = success
    told = {
        name: {"before": 2.0, "after": 2.0 + by[0], "change": by[0], "low": by[1], "high": by[2],
               "before_runs": 90, "after_runs": 70}
        for name, by in moved.items()
    }  # fmt: skip
    return {
        "method": "canary", "before": 0.5, "after": 0.5 + change, "change": change, "low": low, "high": high,
        "before_labelled": 40, "after_labelled": 50, "improved": low > 0, "together_with": [], "margin": 0.01,
        **told,
    }  # fmt: skip


def story(kind: Any, *measured: Mapping[str, Any]) -> Story:
    made = Recommendation(
        recommendation_id="a" * 32, made_at_s=0.0, kind=kind, configuration_id="", title="t", reason="r",
        rules=(), predictions=(),
    )  # fmt: skip
    events = (
        AdviceEvent(recommendation_id="a" * 32, kind="measured", at_s=0.0, by="advisor", facts=one)
        for one in measured
    )
    return Story(recommendation=made, events=tuple(events))


def told(kind: Any, found: Mapping[str, Any]) -> str:
    promise = story(kind, found).promise
    assert promise is not None
    return promise_text(promise).plain


SAVED, LOST_COST, EVEN = (-0.6, -0.8, -0.4), (0.2, 0.1, 0.3), (-0.1, -0.4, 0.2)


@pytest.mark.parametrize(
    ("success", "cost", "words"),
    [
        (
            (0.0, -0.009, 0.02), SAVED,
            "kept: cost fell by 30 % [20, 40]; success kept within 1 point",
        ),
        (
            (0.05, -0.02, 0.12), SAVED,
            "not known: cost fell by 30 % [20, 40]; whether success kept within 1 point is not known yet "
            "(+5.0 points [-2.0, +12.0])",
        ),
        (
            (-0.1, -0.15, -0.05), SAVED,
            "broken: cost fell by 30 % [20, 40]; success lost 10.0 points [5.0, 15.0]",
        ),
        (
            (-0.005, -0.008, -0.002), LOST_COST,
            "broken: cost rose by 10 % [5, 15]; success kept within 1 point",
        ),
        (
            (-0.02, -0.04, -0.0), EVEN,
            "not known: whether cost fell is not known yet (-5 % [-20, +10]); whether success kept within 1 point "
            "is not known yet (-2.0 points [-4.0, -0.0])",
        ),
        (
            (0.0, -0.009, 0.02), None,
            "not known: whether cost fell is not known; success kept within 1 point",
        ),
    ],
)  # fmt: skip
def test_the_cheapest_promises_less_cost_and_success_that_stays(
    success: Range, cost: Range | None, words: str
) -> None:
    assert told("cheapest", facts(success, **({"cost": cost} if cost else {}))) == words


def test_the_margin_is_the_one_that_was_in_force_when_it_was_measured() -> None:
    found = facts((-0.02, -0.025, -0.015), cost=SAVED)
    assert told("cheapest", found).startswith("broken")
    assert "success kept within 3 points" in told("cheapest", {**found, "margin": 0.03})


@pytest.mark.parametrize("kind", ["highest_performance", "model_switch"])
@pytest.mark.parametrize(
    ("success", "words"),
    [
        ((0.12, 0.02, 0.2), "kept: success rose by 12.0 points [2.0, 20.0]"),
        ((-0.12, -0.2, -0.02), "broken: success fell by 12.0 points [2.0, 20.0]"),
        (
            (0.01, -0.02, 0.04),
            "not known: whether success rose is not known yet (+1.0 points [-2.0, +4.0])",
        ),
        ((0.0, 0.0, 0.0), "not known: whether success rose is not known yet (+0.0 points [+0.0, +0.0])"),
    ],
)
def test_the_others_promise_more_success(kind: Any, success: Range, words: str) -> None:
    assert told(kind, facts(success)) == words


def test_the_balanced_one_weighs_success_time_and_cost_with_ends_that_hold_however_they_hang_together() -> (
    None
):
    on_time, cost = (0.08, 0.04, 0.12), (-0.4, -0.6, -0.2)  # 20 % less
    found = facts((0.02, 0.01, 0.03), on_time=on_time, cost=cost)
    assert told("balanced", found) == (
        "kept: success, time and cost are together worth 6.0 points [3.0, 9.0] more"
    )
    loss = facts((-0.02, -0.03, -0.01), on_time=(-0.08, -0.12, -0.04), cost=(0.4, 0.2, 0.6))
    assert told("balanced", loss) == (
        "broken: success, time and cost are together worth 6.0 points [3.0, 9.0] less"
    )
    assert told("balanced", facts((0.02, 0.01, 0.03), on_time=on_time)) == (
        "not known: whether success, time and cost are together worth more is not known"
    )


def test_the_latest_measurement_counts_and_before_the_first_nothing_is_said() -> None:
    assert story("model_switch").promise is None
    found = story("model_switch", facts((-0.1, -0.2, -0.01)), facts((0.1, 0.05, 0.2))).promise
    assert found is not None and found.verdict == "kept"


def test_measurements_of_older_releases_are_read() -> None:
    old = {
        "method": "canary", "before": 0.5, "after": 0.6, "change": 0.12, "low": 0.02, "high": 0.2,
        "before_labelled": 40, "after_labelled": 50, "improved": True,
    }  # fmt: skip
    assert [*moved_of(old)] == ["success"]
    assert told("model_switch", old) == "kept: success rose by 12.0 points [2.0, 20.0]"
    assert told("cheapest", old) == "not known: whether cost fell is not known; success kept within 1 point"
    assert told("balanced", old).startswith("not known")


def test_of_a_measurement_that_says_less_nothing_is_known() -> None:
    found = story("highest_performance", {"change": 0.1, "low": 0.05}).promise
    assert found is not None and (found.verdict, found.parts[0].change) == ("not known", None)
