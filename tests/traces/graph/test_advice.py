"""Recommendations and what became of them: kept as they were, in one order, and decided on once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from inframind.errors import AdviceMoved, ConfigError, StoreError, UnknownRecommendation
from inframind.traces.advice import AdviceEvent
from inframind.traces.outcome_graph import KeptAnalysis, OutcomeGraph
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.store import open_store

ODD = {"nul": "a\0b", "private": "\ue0000", "large": 1e300, "whole": 1e16, "text": "naïve 答え", "none": None}


async def test_a_recommendation_comes_back_as_it_was(graph: OutcomeGraph, made: Any) -> None:
    one = made.advice(1, title="a\0b \ue0001", rules=(ODD, {"list": [1, 2.0, True]}), segment="ann")
    await graph.add_recommendations([one])
    found = await graph.recommendation(one.recommendation_id)
    assert found == one
    assert type(found.rules[0]["whole"]) is float
    assert found.prediction("cost") == one.predictions[1]


async def test_those_kept_together_are_shown_together_in_their_order(graph: OutcomeGraph, made: Any) -> None:
    both = [made.advice(2, made_at_s=5.0), made.advice(1, made_at_s=5.0, rank=1)]
    await graph.add_recommendations(both)
    assert await graph.advice_events() == [
        AdviceEvent(recommendation_id=one.recommendation_id, kind="shown", at_s=5.0, by="advisor", number=n)
        for n, one in enumerate(both, start=1)
    ]
    assert await graph.recommendations() == both


async def test_adding_again_changes_nothing_and_shows_nothing(graph: OutcomeGraph, made: Any) -> None:
    one = made.advice(1)
    await graph.add_recommendations([one])
    await graph.add_recommendations([made.advice(1, title="another"), made.advice(2), made.advice(2)])
    await graph.add_recommendations([])
    assert await graph.recommendation(one.recommendation_id) == one
    assert [event.recommendation_id[:6] for event in await graph.advice_events()] == ["000001", "000002"]


async def test_of_recommendations_that_cannot_be_kept_none_is(graph: OutcomeGraph, made: Any) -> None:
    with pytest.raises(StoreError, match="not plain JSON"):
        await graph.add_recommendations([made.advice(1), made.advice(2, rules=({"name": "\ud800"},))])
    assert (await graph.recommendations(), await graph.advice_events()) == ([], [])


@pytest.mark.parametrize("name", ["before", "change", "low", "high", "effective_size"])
async def test_a_prediction_that_is_not_finite_is_named(graph: OutcomeGraph, made: Any, name: str) -> None:
    odd = made.prediction(metric="latency_s", **{name: float("nan")})
    with pytest.raises(ConfigError, match="finite") as caught:
        await graph.add_recommendations([made.advice(1, predictions=(made.prediction(), odd))])
    assert caught.value.field == f"predictions.latency_s.{name}"


@pytest.mark.parametrize("own_id", ["", "A" * 32, "0" * 31, "g" * 32])
async def test_an_id_of_another_form_is_refused(graph: OutcomeGraph, made: Any, own_id: str) -> None:
    with pytest.raises(ConfigError, match="recommendation_id"):
        await graph.add_recommendations([made.advice(1, recommendation_id=own_id)])


async def test_other_numbers_that_are_not_finite_are_refused(graph: OutcomeGraph, made: Any) -> None:
    for changes in ({"features": (float("inf"),)}, {"made_at_s": float("nan")}):
        with pytest.raises(StoreError, match="NaN or infinite"):
            await graph.add_recommendations([made.advice(1, **changes)])


async def test_recommendations_come_newest_first(graph: OutcomeGraph, made: Any) -> None:
    older, newer = made.advice(1), made.advice(2)
    await graph.add_recommendations([older])
    await graph.add_recommendations([newer])
    assert await graph.recommendations() == [newer, older]
    assert await graph.recommendations(limit=1) == [newer]
    assert await graph.recommendations(since_s=102.0) == [newer]
    with pytest.raises(ConfigError, match="limit"):
        await graph.recommendations(limit=0)


async def test_recommendations_are_given_in_the_order_asked_for(graph: OutcomeGraph, made: Any) -> None:
    known = [made.advice(n) for n in range(4)]
    await graph.add_recommendations(known)
    wanted = [known[2].recommendation_id, "f" * 32, known[0].recommendation_id]
    assert await graph.recommendations_of(wanted) == [known[2], known[0]]
    assert await graph.recommendations_of([]) == []


async def test_a_recommendation_is_found_by_its_first_digits(graph: OutcomeGraph, made: Any) -> None:
    one, twin = made.advice(1), made.advice(1, recommendation_id="000001" + "a" * 26)
    await graph.add_recommendations([one])
    assert await graph.recommendation("000001") == one
    await graph.add_recommendations([twin])
    assert await graph.recommendation("000001A") == twin
    with pytest.raises(ConfigError, match="several recommendations begin so"):
        await graph.recommendation("000001")
    with pytest.raises(UnknownRecommendation, match="advise list"):
        await graph.recommendation("fffffff")
    for prefix in ("00000", "0" * 33, "xyzxyz"):
        with pytest.raises(ConfigError, match="6 to 32 hex digits of the recommendation's id"):
            await graph.recommendation(prefix)


async def test_events_are_numbered_without_gaps(graph: OutcomeGraph, made: Any) -> None:
    one, other = made.advice(1), made.advice(2)
    await graph.add_recommendations([one, other])
    accepted = await graph.add_event(made.event(one, "accepted", facts={"file": "a\0b", "odd": ODD}))
    with pytest.raises(AdviceMoved):
        await graph.add_event(made.event(one, "accepted"))
    rejected = await graph.add_event(made.event(other, "rejected"))
    assert (accepted.number, rejected.number) == (3, 4)
    assert accepted.facts == {"file": "a\0b", "odd": ODD}
    assert (await graph.advice_events(after=2)) == [accepted, rejected]
    assert (await graph.advice_events(after=2, limit=1)) == [accepted]
    assert [event.number for event in await graph.advice_events()] == [1, 2, 3, 4]


@pytest.mark.parametrize(("first", "second"), [("accepted", "rejected"), ("rejected", "accepted")])
async def test_accepted_and_rejected_exclude_each_other(
    graph: OutcomeGraph, made: Any, first: Any, second: Any
) -> None:
    one = made.advice(1)
    await graph.add_recommendations([one])
    await graph.add_event(made.event(one, first))
    with pytest.raises(AdviceMoved, match=f"was {first} already, and cannot be {second}"):
        await graph.add_event(made.event(one, second))


@pytest.mark.parametrize("kind", ["accepted", "rejected", "proposed", "promoted", "rolled_back", "reverted"])
async def test_what_happens_once_happens_once(graph: OutcomeGraph, made: Any, kind: Any) -> None:
    one, other = made.advice(1), made.advice(2)
    await graph.add_recommendations([one, other])
    await graph.add_event(made.event(one, kind))
    with pytest.raises(AdviceMoved) as caught:
        await graph.add_event(made.event(one, kind))
    assert (caught.value.kind, caught.value.earlier) == (kind, kind)
    await graph.add_event(made.event(other, kind))


async def test_what_was_measured_may_be_measured_again(graph: OutcomeGraph, made: Any) -> None:
    one = made.advice(1)
    await graph.add_recommendations([one])
    for kind in ("accepted", "measured", "measured", "shown", "proposed", "promoted", "reverted"):
        await graph.add_event(made.event(one, kind))
    assert len(await graph.advice_events()) == 8


async def test_an_event_of_an_unknown_recommendation_is_refused(graph: OutcomeGraph, made: Any) -> None:
    with pytest.raises(UnknownRecommendation):
        await graph.add_event(made.event(made.advice(1), "accepted"))


async def test_an_event_that_cannot_be_written_down_is_refused(graph: OutcomeGraph, made: Any) -> None:
    one = made.advice(1)
    await graph.add_recommendations([one])
    for changes in ({"facts": {"x": float("nan")}}, {"by": "\ud800"}, {"facts": {"x": object()}}):
        with pytest.raises(StoreError):
            await graph.add_event(made.event(one, "accepted", **changes))
    with pytest.raises(StoreError, match="kind"):
        await graph.add_event(made.event(one, "liked"))
    assert len(await graph.advice_events()) == 1


async def test_of_two_that_decide_at_once_one_does(shared_url: str, made: Any) -> None:
    """Two processes' stores on one database: nobody is told that both were heard."""
    advice = [made.advice(n) for n in range(12)]
    async with open_store(shared_url) as one, open_store(shared_url) as other:
        graphs = [graph_of(one), graph_of(other)]
        await graphs[0].add_recommendations(advice)
        results = await asyncio.gather(
            *(
                graph.add_event(made.event(recommendation, kind))
                for recommendation in advice
                for graph, kind in zip(graphs, ("accepted", "rejected"), strict=True)
            ),
            return_exceptions=True,
        )
        moved = [result for result in results if isinstance(result, AdviceMoved)]
        added = [result for result in results if isinstance(result, AdviceEvent)]
        assert (len(moved), len(added)) == (12, 12)
        assert {event.recommendation_id for event in added} == {one.recommendation_id for one in advice}
        events = await graphs[1].advice_events()
        assert [event.number for event in events] == [*range(1, 25)]


async def test_two_that_show_at_once_share_the_numbers(shared_url: str, made: Any) -> None:
    async with open_store(shared_url) as one, open_store(shared_url) as other:
        await asyncio.gather(
            *(
                graph_of(store).add_recommendations([made.advice(n + k) for k in range(3)])
                for n in range(0, 20, 2)
                for store in (one, other)
            )
        )
        events = await graph_of(one).advice_events()
        assert [event.number for event in events] == [*range(1, 22)]
        assert len({event.recommendation_id for event in events}) == 21


async def test_the_newest_five_analyses_are_kept(graph: OutcomeGraph) -> None:
    assert await graph.latest_analysis() is None
    for n in range(8):
        kept = await graph.keep_analysis(
            KeptAnalysis(at_s=float(n), configuration_id="c" * 64, document={"odd": ODD, "n": n})
        )
        assert kept.number == n + 1
        assert await graph.latest_analysis() == kept
    assert kept.document == {"odd": ODD, "n": 7}


async def test_an_analysis_that_is_no_plain_data_is_refused(graph: OutcomeGraph) -> None:
    with pytest.raises(StoreError, match="analysis"):
        await graph.keep_analysis(KeptAnalysis(at_s=1.0, configuration_id="", document={"x": float("inf")}))
    assert await graph.latest_analysis() is None
