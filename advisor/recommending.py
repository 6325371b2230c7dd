"""Recommendations: a handful of an analysis' options for a person, best first, as the chooser in charge sees it.

`recommend` is pure: the same options, history, chooser and seed give the same recommendations. `Ranking` holds what
it needs and learns as events come in.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from inframind.advisor.analysis import Analysis
from inframind.advisor.option import Option
from inframind.advisor.ranking.changes import change_of, rule_document, rules_of
from inframind.advisor.ranking.features import VERSION, features_of
from inframind.advisor.ranking.history import History
from inframind.advisor.ranking.monitor import MonitorConfig, Stop, first_stop, news_of
from inframind.advisor.ranking.ordering import chances_to_be_first, shown
from inframind.advisor.ranking.process import ProcessConfig, ProcessPolicy
from inframind.advisor.ranking.protocol import Array, Chooser, Lesson
from inframind.advisor.ranking.supervised import SupervisedConfig, SupervisedRanker
from inframind.advisor.ranking.takeover import Comparison, Takeover, TakeoverConfig
from inframind.advisor.ranking.thompson import ThompsonConfig, ThompsonSampling
from inframind.advisor.ranking.unranked import Unranked
from inframind.errors import ConfigError
from inframind.traces.advice import AdviceEvent, Recommendation
from inframind.traces.configurations import Configuration

DAY_S = 86_400.0
Mode = Literal["learned", "process"]


@dataclass(frozen=True, kw_only=True)
class RankingConfig:
    """How recommendations are ranked.

    Raises:
        ConfigError: a number out of its range, or an unknown mode.
    """

    mode: Mode = "learned"
    """``learned``: by chance, then the supervised ranker, then the bandit. ``process``: group-relative updates, as
    long as measured reliability keeps up with what people accept; then as ``learned``."""
    most: int = 4
    """Recommendations at a time."""
    patience_s: float = DAY_S
    """Seconds after which one without a verdict counts as ignored, once something newer was shown."""
    pause_s: float = 7 * DAY_S
    """Seconds before something that was rejected may come back, with other predictions."""
    draws: int = 200
    """Draws behind the probability that one comes first."""
    supervised: SupervisedConfig = field(default_factory=SupervisedConfig)
    """Of the supervised ranker."""
    thompson: ThompsonConfig = field(default_factory=ThompsonConfig)
    """Of the bandit."""
    takeover: TakeoverConfig = field(default_factory=TakeoverConfig)
    """Of who is in charge."""
    process: ProcessConfig = field(default_factory=ProcessConfig)
    """Of group-relative updates."""
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    """Of what stops these."""
    resumed_at_s: float = -math.inf
    """When a person last let the mode ``process`` go on after it was stopped, seconds since the Unix epoch."""

    def __post_init__(self) -> None:
        if self.mode not in ("learned", "process"):
            raise ConfigError("advisor.ranking.mode", self.mode, "use learned or process")
        for name in ("most", "draws"):
            if getattr(self, name) < 1:
                raise ConfigError(f"advisor.ranking.{name}", getattr(self, name), "use at least 1")
        for name in ("patience_s", "pause_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"advisor.ranking.{name}", getattr(self, name), "use seconds of at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Who ranks, and why.

    Attributes:
        chooser: its name.
        labels: verdicts that were learned.
        comparison: how the supervised ranker and the bandit predicted verdicts.
        stop: why the mode ``process`` was stopped, or None.
    """

    chooser: str
    labels: int
    comparison: Comparison
    stop: Stop | None = None


class Ranking:
    """Everything that ranks, kept up to date as recommendations are made and decided on.

    Not thread-safe. What it believes, and whether the mode ``process`` was stopped, hangs on the recommendations and
    events alone, in whatever order they came here.

    Args:
        config: how.
    """

    def __init__(self, config: RankingConfig | None = None) -> None:
        self.config = config or RankingConfig()
        self.history = History(patience_s=self.config.patience_s)
        self._lessons: dict[str, Lesson] = {}
        self._places: dict[str, tuple[float, str]] = {}
        self._order: list[tuple[float, str]] = []
        self._supervised = SupervisedRanker(self.config.supervised)
        self._thompson = ThompsonSampling(self.config.thompson)
        self._process = ProcessPolicy(self.config.process)
        self._takeover = Takeover(
            self.config.takeover,
            supervised=lambda: SupervisedRanker(self.config.supervised),
            thompson=lambda: ThompsonSampling(self.config.thompson),
        )
        self._resumed_at_s = self.config.resumed_at_s
        self._stop: Stop | None = None
        self._is_process_stale = False

    def add(self, recommendations: Iterable[Recommendation] = (), events: Iterable[AdviceEvent] = ()) -> None:
        """Take in recommendations and what became of them: any number, in any order, again if need be."""
        changed = self.history.add(recommendations, events)
        news = [lesson for one in sorted(changed) if (lesson := self._decided(one)) is not None]
        self._supervised.learn(news)
        self._thompson.learn(news)
        self._is_process_stale |= bool(changed)

    def resume(self, at_s: float) -> None:
        """Let the mode ``process`` go on after it was stopped; what was known by then counts no more against it.

        To last beyond this object, it has to stand in the configuration as well: `RankingConfig.resumed_at_s`.
        """
        self._resumed_at_s = max(at_s, self._resumed_at_s)
        self._is_process_stale = True

    @property
    def chooser(self) -> Chooser:
        """Who is in charge now."""
        if len(self._lessons) < self.config.takeover.labels:
            return Unranked()
        if self.config.mode == "process":
            return self._thompson if self.stop else self._process
        return self._thompson if self.comparison.in_charge == "thompson" else self._supervised

    @property
    def comparison(self) -> Comparison:
        """How the supervised ranker and the bandit predicted verdicts so far."""
        return self._takeover.compare([self._lessons[one] for _, one in self._order])

    @property
    def stop(self) -> Stop | None:
        """Why the mode ``process`` was stopped, or None where it was not or is not on."""
        if self.config.mode == "process" and self._is_process_stale:
            self._process.learn(self.history.lessons())
            news = news_of(self.history, self._process.name)
            self._stop = first_stop(news, self.config.monitor, resumed_at_s=self._resumed_at_s)
            self._is_process_stale = False
        return self._stop

    @property
    def standing(self) -> Standing:
        """Who is in charge now, and why."""
        return Standing(
            chooser=self.chooser.name,
            labels=len(self._lessons),
            comparison=self.comparison,
            stop=self.stop,
        )

    def recommend(
        self,
        analysis: Analysis,
        *,
        segment: str = "",
        domain: str = "",
        configuration: Configuration | None = None,
        most: int | None = None,
        now_s: float,
        rng: np.random.Generator,
        new_id: Callable[[], str],
    ) -> tuple[Recommendation, ...]:
        """See `recommend`; what it returns is not known to `self.history` before it is added."""
        return recommend(
            analysis,
            self.history,
            self.chooser,
            segment=segment,
            domain=domain,
            configuration=configuration,
            most=self.config.most if most is None else most,
            pause_s=self.config.pause_s,
            draws=self.config.draws,
            now_s=now_s,
            rng=rng,
            new_id=new_id,
        )

    def _decided(self, recommendation_id: str) -> Lesson | None:
        """The lesson of a recommendation with a verdict, put where that belongs among the others."""
        fate = self.history.fate(recommendation_id)
        lesson = self.history.lesson(fate) if fate is not None and fate.verdict is not None else None
        if fate is None or lesson is None:
            return None
        place = (fate.decided_at_s, recommendation_id)
        if (before := self._places.get(recommendation_id)) != place:
            if before is not None:
                self._order.remove(before)
            bisect.insort(self._order, place)
            self._places[recommendation_id] = place
        self._lessons[recommendation_id] = lesson
        return lesson


def recommend(
    analysis: Analysis,
    history: History,
    chooser: Chooser,
    *,
    segment: str = "",
    domain: str = "",
    configuration: Configuration | None = None,
    most: int = 4,
    pause_s: float = 7 * DAY_S,
    draws: int = 200,
    now_s: float,
    rng: np.random.Generator,
    new_id: Callable[[], str],
) -> tuple[Recommendation, ...]:
    """Recommendations for a person, best first, at most one of a kind.

    What is in force is not recommended again, and what the segment rejected only as
    `inframind.advisor.ranking.history.History.objection` says. Of a kind's options that score the same, those that
    answer a failure pattern come first, then those that surely promise more success; beyond that, and between kinds,
    chance decides. Whatever the chooser likes, options without enough evidence of success come after all others, and
    one of them at most.

    Args:
        analysis: whose options are on offer.
        history: of recommendations so far.
        chooser: scores options.
        segment: of the person, "" where there are none.
        domain: of the person's questions: options for other domains are left out; "" for all.
        configuration: in force: what its rules do already is not recommended.
        most: recommendations.
        pause_s: seconds before something that was rejected may come back.
        draws: how often the chooser is asked what it would put first, for the probabilities.
        now_s: seconds since the Unix epoch.
        rng: all chance there is.
        new_id: gives ids of 32 lowercase hex digits.
    """
    options = _on_offer(analysis, history, segment, domain, configuration, pause_s, now_s)
    if not options:
        return ()
    options = [options[place] for place in rng.permutation(len(options))]
    features_KD = features_of(
        options,
        analysis=analysis,
        acceptance=history,
        segment=segment,
        domain=domain,
        configuration=configuration,
    )
    places = shown(options, chooser.scores(features_KD, segment, rng), rng)[:most]
    chances_K = chances_to_be_first(options, chooser.draws(features_KD, segment, draws, rng))
    return tuple(
        _recommendation(
            options[place],
            features_KD[place],
            analysis=analysis,
            segment=segment,
            chooser=chooser,
            probability=float(chances_K[place]),
            rank=rank,
            now_s=now_s,
            new_id=new_id,
        )
        for rank, place in enumerate(places)
    )


def _on_offer(
    analysis: Analysis,
    history: History,
    segment: str,
    domain: str,
    configuration: Configuration | None,
    pause_s: float,
    now_s: float,
) -> list[Option]:
    in_force = (
        change_of(rules_of(configuration.document.get("rules") or ())) if configuration else frozenset()
    )
    offered: list[Option] = []
    for option in sorted(analysis.options, key=lambda one: one.option_id):
        change = change_of(option.rules)
        if change <= in_force or (domain and option.domain not in ("", domain)):
            continue
        if not history.objection(change, option.predictions, segment=segment, now_s=now_s, pause_s=pause_s):
            offered.append(option)
    return offered


def _recommendation(
    option: Option,
    features_D: Array,
    *,
    analysis: Analysis,
    segment: str,
    chooser: Chooser,
    probability: float,
    rank: int,
    now_s: float,
    new_id: Callable[[], str],
) -> Recommendation:
    recommendation_id = new_id()
    return Recommendation(
        recommendation_id=recommendation_id,
        made_at_s=now_s,
        kind=option.kind,
        configuration_id=analysis.configuration_id,
        cluster_id=option.cluster_id,
        title=option.title,
        reason=option.reason,
        rules=tuple(rule_document(rule, advice=recommendation_id) for rule in option.rules),
        predictions=option.predictions,
        evidence=option.evidence,
        segment=segment,
        domain=option.domain,
        features=tuple(features_D.tolist()),
        features_version=VERSION,
        chosen_by=chooser.name,
        probability=probability,
        rank=rank,
    )
