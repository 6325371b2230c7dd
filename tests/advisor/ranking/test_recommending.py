from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inframind.advisor.ranking.changes import rule_document
from inframind.advisor.ranking.features import NAMES, VERSION
from inframind.advisor.ranking.history import History
from inframind.advisor.ranking.monitor import MonitorConfig
from inframind.advisor.ranking.protocol import Array
from inframind.advisor.ranking.takeover import TakeoverConfig
from inframind.advisor.ranking.unranked import Unranked
from inframind.advisor.recommending import Ranking, RankingConfig, recommend
from inframind.errors import ConfigError
from inframind.traces.advice import KINDS, Recommendation
from inframind.traces.configurations import configuration_of

DAY_S = 86_400.0


class ByGain:
    """Likes what promises more success; says so with the noise that it is given."""

    name = "by gain"

    def __init__(self, noise: float = 0.0) -> None:
        self.noise = noise

    def scores(self, features_KD: Array, segment: str, rng: np.random.Generator) -> Array:
        return self.draws(features_KD, segment, 1, rng)[0]

    def draws(self, features_KD: Array, segment: str, count: int, rng: np.random.Generator) -> Array:
        gains = features_KD[:, NAMES.index("success_gain")]
        return gains + self.noise * rng.standard_normal((count, len(gains)))

    def learn(self, lessons: Any) -> None:
        raise AssertionError("nobody is to teach it")


def ask(bench: Any, options: Any, chooser: Any = None, **more: Any) -> tuple[Recommendation, ...]:
    known = {"now_s": 5.0, "rng": np.random.default_rng(1), "new_id": bench.new_id, **more}
    history = known.pop("history", History())
    return recommend(bench.analysis(tuple(options)), history, chooser or Unranked(), **known)


def promising(bench: Any, kind: Any, gain: float, **more: Any) -> Any:
    return bench.option(kind, predictions=(bench.prediction("success", gain),), **more)


def test_the_best_of_each_kind_comes_best_first(bench: Any) -> None:
    gains = {"balanced": (0.01, 0.2), "cheapest": (0.1, 0.02), "model_switch": (0.15,)}
    options = [promising(bench, kind, gain) for kind, all_of in gains.items() for gain in all_of]
    made = ask(bench, options, ByGain())
    assert [(one.kind, one.prediction("success").change, one.rank) for one in made] == [
        ("balanced", 0.2, 0),
        ("model_switch", 0.15, 1),
        ("cheapest", 0.1, 2),
    ]
    assert len(ask(bench, options, ByGain(), most=2)) == 2


def test_a_recommendation_carries_its_option_and_what_the_chooser_saw(bench: Any) -> None:
    option = promising(bench, "balanced", 0.1, domain="math", evidence=("t1",), cluster_id="0" * 12)
    made = ask(bench, [option], ByGain(), segment="ops")[0]
    assert (made.title, made.reason, made.predictions, made.evidence) == (
        option.title,
        option.reason,
        option.predictions,
        ("t1",),
    )
    assert (made.domain, made.segment, made.cluster_id, made.made_at_s) == ("math", "ops", "0" * 12, 5.0)
    assert made.rules == tuple(rule_document(rule, advice=made.recommendation_id) for rule in option.rules)
    assert (made.features_version, len(made.features), made.chosen_by) == (VERSION, len(NAMES), "by gain")
    assert made.configuration_id == bench.analysis(()).configuration_id


def test_probabilities_are_shares_of_draws_that_one_comes_first_in(bench: Any) -> None:
    options = [promising(bench, "balanced", 0.1), promising(bench, "cheapest", 0.1)]
    made = ask(bench, options, ByGain(noise=1.0), draws=4000)
    assert [one.probability for one in made] == pytest.approx([0.5, 0.5], abs=0.03)
    assert sum(one.probability for one in made) == pytest.approx(1.0)
    sure = ask(bench, [*options, promising(bench, "model_switch", 0.5)], ByGain())
    assert [one.probability for one in sure] == [1.0, 0.0, 0.0]


def test_options_that_score_the_same_share_the_first_place(bench: Any) -> None:
    options = [promising(bench, kind, 0.1) for kind in KINDS]
    assert [one.probability for one in ask(bench, options, ByGain())] == [0.25] * 4


def unproven(bench: Any, kind: Any, **more: Any) -> Any:
    doubt = bench.prediction("success", 0.0, half=0.4, objection="not enough evidence: 2 decisions in effect")
    return bench.option(kind, predictions=(doubt,), cluster_id="0" * 12, **more)


def test_what_is_not_proven_comes_last_once_and_never_first_whoever_chooses(bench: Any) -> None:
    proven = [promising(bench, "cheapest", -0.2), promising(bench, "balanced", -0.3)]
    doubtful = [unproven(bench, kind) for kind in ("model_switch", "highest_performance", "cheapest")]
    for seed, chooser in itertools.product(range(8), (Unranked(), ByGain(), ByGain(noise=1.0))):
        made = ask(bench, [*doubtful, *proven], chooser, rng=np.random.default_rng(seed))
        assert {one.kind for one in made[:2]} == {"cheapest", "balanced"}
        assert [one.kind in ("model_switch", "highest_performance") for one in made] == [False, False, True]
        assert made[2].probability == 0.0
        assert made[0].probability + made[1].probability == pytest.approx(1.0)


def test_where_nothing_is_proven_one_suggestion_is_shown(bench: Any) -> None:
    made = ask(bench, [unproven(bench, kind) for kind in KINDS])
    assert [one.probability for one in made] == [0.25]


@pytest.mark.parametrize("seed", range(5))
def test_before_there_are_verdicts_the_answer_to_a_pattern_that_promises_most_is_shown(
    bench: Any, seed: int
) -> None:
    answers = [promising(bench, "cheapest", gain, cluster_id="0" * 12) for gain in (0.02, 0.08, 0.05)]
    options = [promising(bench, "cheapest", 0.3), *answers, promising(bench, "balanced", 0.01)]
    made = {one.kind: one for one in ask(bench, options, rng=np.random.default_rng(seed))}
    assert made["cheapest"].prediction("success").change == 0.08
    assert {kind: one.probability for kind, one in made.items()} == {"cheapest": 0.5, "balanced": 0.5}


def test_before_there_are_verdicts_kinds_and_real_equals_come_in_any_order(bench: Any) -> None:
    options = [promising(bench, "cheapest", 0.1) for _ in range(3)] + [promising(bench, "balanced", 0.2)]
    rng = np.random.default_rng(2)
    first = Counter(ask(bench, options, rng=rng, draws=1)[0].rules[0]["avoid_models"][0] for _ in range(2000))
    equal, other = [first[name_of(one)] for one in options[:3]], first[name_of(options[3])]
    assert other == pytest.approx(1000, abs=100)
    assert max(equal) <= 1.5 * min(equal)
    assert ask(bench, options, rng=rng)[0].probability in (pytest.approx(1 / 6), pytest.approx(1 / 2))


def name_of(option: Any) -> str:
    (name,) = option.rules[0].avoid_models
    return str(name)


def test_the_same_seed_gives_the_same_recommendations_whatever_the_order_of_options(bench: Any) -> None:
    options = bench.four()

    def told(order: Any) -> list[Any]:
        return [(one.kind, one.probability) for one in ask(bench, order, rng=np.random.default_rng(4))]

    assert told(options) == told(options[::-1])


def test_a_person_who_asks_about_a_domain_sees_what_concerns_it(bench: Any) -> None:
    options = [
        bench.option(kind, domain=domain)
        for kind, domain in zip(KINDS, ("math", "code", "", "math"), strict=True)
    ]
    assert {one.domain for one in ask(bench, options, domain="math")} == {"math", ""}
    assert len(ask(bench, options)) == 4


def test_what_the_configuration_does_already_is_not_recommended(bench: Any) -> None:
    options = bench.four()
    present = [rule_document(rule, advice="1" * 32) for rule in options[2].rules]
    made = ask(bench, options, configuration=configuration_of({"rules": present}))
    assert {one.kind for one in made} == {one.kind for one in options} - {options[2].kind}


def test_nothing_on_offer_is_nothing_recommended(bench: Any) -> None:
    assert ask(bench, []) == ()


def test_what_was_accepted_is_not_made_again_and_what_was_rejected_pauses(bench: Any) -> None:
    options = bench.four()
    made = {one.kind: one for one in ask(bench, options, segment="ops")}
    events = [
        bench.event(made["cheapest"], "accepted", 10.0),
        bench.event(made["balanced"], "rejected", 10.0),
    ]
    history = History.of(made.values(), events)

    def kinds(**more: Any) -> set[str]:
        return {one.kind for one in ask(bench, options, history=history, **more)}

    assert kinds(segment="ops", now_s=20.0) == {"highest_performance", "model_switch"}
    assert kinds(segment="others", now_s=20.0) == set(KINDS) - {"cheapest"}
    assert "balanced" not in kinds(segment="ops", now_s=90 * DAY_S)


@pytest.mark.parametrize("seed", range(2))
def test_equal_models_share_the_first_place_evenly(bench: Any, seed: int) -> None:
    options = [promising(bench, "model_switch", 0.05) for _ in range(5)]
    rng = np.random.default_rng(seed)
    ranking = taught(bench, seed, 60, segment="ops")
    first = Counter(
        ranking.recommend(
            bench.analysis(tuple(options)), segment="ops", now_s=1e6, rng=rng, new_id=bench.new_id
        )[0].rules[0]["avoid_models"][0]
        for _ in range(2000)
    )
    assert len(first) == 5
    assert max(first.values()) <= 1.5 * min(first.values())


@pytest.mark.parametrize("seed", range(2))
def test_kinds_that_are_accepted_alike_share_the_first_place_evenly(bench: Any, seed: int) -> None:
    ranking, rng = taught(bench, seed, 120, segment="ops"), np.random.default_rng(seed)
    analysis = bench.analysis(bench.four())
    first = Counter(
        ranking.recommend(analysis, segment="ops", now_s=1e6, rng=rng, new_id=bench.new_id)[0].kind
        for _ in range(2000)
    )
    assert max(first.values()) <= 1.5 * min(first.values())


def taught(bench: Any, seed: int, count: int, *, segment: str) -> Ranking:
    """By verdicts that are as often yes as no, whatever the kind, in turn."""
    ranking = Ranking(RankingConfig(draws=1))
    for number in range(count):
        made = bench.recommendation(KINDS[(number + seed) % 4], segment=segment, rules=unlike(number))
        verdict = "accepted" if number // 4 % 2 else "rejected"
        ranking.add([made], [bench.event(made, verdict, float(number))])
    return ranking


def unlike(number: int) -> tuple[dict[str, Any], ...]:
    return ({"name": "rule", "avoid_models": [f"former-{number}"]},)


def decided(bench: Any, count: int, liked: str = "balanced", **more: Any) -> tuple[list[Any], list[Any]]:
    """Recommendations of all kinds, one of which is liked, with verdicts in the order in which they were made."""
    made = [
        bench.recommendation(KINDS[number % 4], rules=unlike(number), made_at_s=float(number), **more)
        for number in range(count)
    ]
    events = [
        bench.event(one, "accepted" if one.kind == liked else "rejected", one.made_at_s + 0.5) for one in made
    ]
    return made, events


def test_who_is_in_charge_goes_by_labels_and_evidence(bench: Any) -> None:
    ranking = Ranking(RankingConfig(takeover=TakeoverConfig(compared=20, window=40)))
    made, events = decided(bench, 80)
    ranking.add(made, events[:9])
    assert ranking.chooser.name == "unranked"
    ranking.add((), events[9:10])
    assert ranking.chooser.name == "supervised"
    ranking.add((), events)
    assert ranking.standing.chooser == "thompson"
    assert ranking.standing.labels == 80


def test_ignored_recommendations_are_no_labels(bench: Any) -> None:
    ranking = Ranking(RankingConfig(patience_s=1.0))
    made = [bench.recommendation(kind, made_at_s=10.0 * at) for at, kind in enumerate(KINDS * 10)]
    ranking.add(made, [bench.event(one, "shown", one.made_at_s) for one in made])
    assert (ranking.standing.labels, ranking.standing.chooser) == (0, "unranked")
    assert len(ranking.history.ignored()) == 39


def test_events_in_any_order_and_portions_lead_to_the_same_recommendations(bench: Any) -> None:
    made, events = decided(bench, 60)
    at_once, scattered = Ranking(), Ranking()
    at_once.add(made, events)
    rng = np.random.default_rng(3)
    for places in np.array_split(rng.permutation(60), 6):
        scattered.add([made[place] for place in places], [events[place] for place in places])
        assert scattered.comparison.compared == max(len(scattered.history) - 10, 0)
    options = bench.analysis(bench.four())

    def told(ranking: Ranking) -> list[tuple[str, str]]:
        asked = ranking.recommend(options, now_s=1e6, rng=np.random.default_rng(5), new_id=bench.new_id)
        return [(one.kind, one.chosen_by) for one in asked]

    assert told(at_once) == told(scattered)


def gamed(bench: Any, count: int, *, gain: float) -> tuple[list[Any], list[Any]]:
    """Screens of four of the mode ``process``; acceptance of the first rises, and what is applied brings ``gain``."""
    rng, made, events = np.random.default_rng(6), [], []
    for number in range(count):
        at_s = 10.0 * number
        screen = [
            bench.recommendation(kind, rules=unlike(4 * number + place), made_at_s=at_s, chosen_by="process")
            for place, kind in enumerate(KINDS)
        ]
        accepts = rng.random() < 0.3 + 0.6 * min(2 * number / count, 1)
        made += screen
        events += [bench.event(one, "shown", at_s) for one in screen]
        events.append(bench.event(screen[0], "accepted" if accepts else "rejected", at_s + 1))
        if accepts:
            change = float(rng.normal(gain, 0.05))
            events.append(bench.event(screen[0], "measured", at_s + 2, change=change, low=change - 0.1))
    return made, events


def test_the_process_mode_is_in_charge_until_rewards_outrun_reliability(bench: Any) -> None:
    honest = Ranking(RankingConfig(mode="process"))
    honest.add(*gamed(bench, 300, gain=0.1))
    assert (honest.standing.chooser, honest.stop) == ("process", None)
    ranking = Ranking(RankingConfig(mode="process"))
    made, events = gamed(bench, 300, gain=0.0)
    ranking.add(made, events)
    assert ranking.standing.chooser == "thompson"
    assert ranking.stop is not None and "success changed by" in str(ranking.stop)
    again = Ranking(RankingConfig(mode="process"))
    again.add(made, events)
    assert again.stop == ranking.stop


def test_every_process_says_of_the_same_events_whether_the_mode_was_stopped(bench: Any) -> None:
    """What is measured again, or taken back, after the stop takes back nothing of what led to it."""
    made, events = gamed(bench, 300, gain=0.0)
    applied = [event for event in events if event.kind == "measured"]
    again = [replace(one, at_s=2000.0 + place, facts={"change": 0.1}) for place, one in enumerate(applied)]
    taken_back = [replace(one, kind="reverted", at_s=one.at_s + 3000.0, facts={}) for one in applied]
    told = [replace(one, number=number) for number, one in enumerate([*events, *again, *taken_back], start=1)]
    lived = Ranking(RankingConfig(mode="process"))
    lived.add(made, told[: len(events)])
    stop = lived.stop
    assert stop is not None
    lived.add((), told[len(events) :])
    fresh = Ranking(RankingConfig(mode="process"))
    fresh.add(made, reversed(told))
    assert lived.stop == fresh.stop == stop


def test_only_a_person_lets_the_process_mode_go_on(bench: Any) -> None:
    made, events = gamed(bench, 300, gain=0.0)
    ranking = Ranking(RankingConfig(mode="process", monitor=MonitorConfig(window=40)))
    ranking.add(made, events)
    assert ranking.chooser.name == "thompson"
    more, _ = decided(bench, 1)
    ranking.add(more)
    assert ranking.chooser.name == "thompson"
    ranking.resume(events[-1].at_s)
    assert ranking.chooser.name == "process"
    lasting = Ranking(RankingConfig(mode="process", resumed_at_s=events[-1].at_s))
    lasting.add(made, events)
    assert lasting.chooser.name == "process"


@pytest.mark.parametrize(
    "wrong", [{"mode": "clever"}, {"most": 0}, {"draws": 0}, {"patience_s": -1.0}, {"pause_s": float("nan")}]
)
def test_a_ranking_that_could_not_rank_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RankingConfig(**wrong)
