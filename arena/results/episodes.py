"""What came of a workload: one `Episode` per offered question, and the figures that sum them up.

Every rate is over all offered questions. A question that failed or found no answer in time counts as not solved
and not on time: leaving it out would reward a system for dropping what is hard.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

EpisodeStatus = Literal["ok", "late", "failed"]
Z95 = 1.959963984540054
"""Standard normal quantile of 0.975: two-sided 95 % intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call to a model that an episode made.

    Attributes:
        model: model that was decided on.
        strategy: strategy that was decided on.
        completion_tokens: output tokens as far as the server reported them.
    """

    model: str
    strategy: str
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a contender gives back for one question.

    Attributes:
        is_late: whether the deadline cut the run or passed before the answer came.
        solved: whether a grader found it right.
        latency_s: seconds from the call to the final answer; grading is not part of it.
        topology: name of the topology.
        model: model that wrote the answer.
        strategy: strategy that it was written with.
        calls: every call of the run.
        trace_id: where the whole story is.
    """

    is_late: bool
    solved: bool
    latency_s: float
    topology: str = ""
    model: str = ""
    strategy: str = ""
    calls: tuple[Call, ...] = ()
    trace_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One offered question and its end.

    Attributes:
        index: 0-based, in the order of arrival.
        item_id: id of the question.
        level: difficulty of the question.
        arrived_s: planned arrival, in seconds after the start.
        budget_s: seconds that it had.
        status: ``ok``; ``late`` when the answer came after the deadline or not at all for lack of time;
            ``failed`` when there was an error.
        latency_s: seconds from the *planned* arrival to the answer or the error, so that a sender that falls
            behind cannot hide it.
        lag_s: seconds by which the sender was behind when it sent the question; part of ``latency_s``.
        solved: whether there was an answer and it was right.
        error: class name and message of the error, or "".
        topology: name of the topology, or "".
        model: model that wrote the answer, or "".
        strategy: strategy that it was written with, or "".
        calls: every call that is known of.
        trace_id: where the whole story is, or "".
    """

    index: int
    item_id: str
    level: int
    arrived_s: float
    budget_s: float
    status: EpisodeStatus
    latency_s: float
    lag_s: float = 0.0
    solved: bool = False
    error: str = ""
    topology: str = ""
    model: str = ""
    strategy: str = ""
    calls: tuple[Call, ...] = ()
    trace_id: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether there was an answer, in time or not."""
        return not self.error

    @property
    def is_on_time(self) -> bool:
        """Whether there was an answer within the budget."""
        return self.status == "ok"

    @property
    def completion_tokens(self) -> int:
        """Output tokens of all calls."""
        return sum(call.completion_tokens for call in self.calls)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials, with its uncertainty.

    Attributes:
        hits: trials that succeeded.
        trials: all trials.
    """

    hits: int
    trials: int

    @property
    def value(self) -> float:
        """The share; 0 when there were no trials."""
        return self.hits / self.trials if self.trials else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % score interval; (0, 1) when there were no trials.

        ``(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)``: Wilson, JASA 22 (1927) 209. Unlike the
        normal interval it keeps its coverage for small counts and for shares near 0 and 1.
        """
        if not self.trials:
            return 0.0, 1.0
        n, p, z2 = self.trials, self.value, Z95**2
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = Z95 * (p * (1 - p) / n + z2 / (4 * n * n)) ** 0.5 / (1 + z2 / n)
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A workload in figures. Latencies are None when nothing was answered.

    Attributes:
        offered: questions that were sent.
        late: of these, answered too late or not in time.
        failed: of these, ended in an error.
        accuracy: solved, in time or not, over offered.
        on_time_success: solved within the own budget, over offered; the headline.
        slo_attainment: answered within the own budget, over offered.
        latency_mean_s: mean over the answered ones.
        latency_p50_s: their median.
        latency_p95_s: their 95 % quantile (linear interpolation).
        completion_tokens: output tokens of all calls.
        models: share of calls per model.
        strategies: share of calls per strategy.
        topologies: share of episodes per topology, of those that have one.
    """

    offered: int
    late: int
    failed: int
    accuracy: Rate
    on_time_success: Rate
    slo_attainment: Rate
    latency_mean_s: float | None
    latency_p50_s: float | None
    latency_p95_s: float | None
    completion_tokens: int
    models: Mapping[str, float]
    strategies: Mapping[str, float]
    topologies: Mapping[str, float]


def summarise(episodes: Sequence[Episode]) -> Summary:
    """Sum up a workload."""
    latencies_s = [episode.latency_s for episode in episodes if episode.is_answered]
    calls = [call for episode in episodes for call in episode.calls]
    return Summary(
        offered=len(episodes),
        late=sum(episode.status == "late" for episode in episodes),
        failed=sum(episode.status == "failed" for episode in episodes),
        accuracy=_rate(episodes, lambda episode: episode.solved),
        on_time_success=_rate(episodes, lambda episode: episode.solved and episode.is_on_time),
        slo_attainment=_rate(episodes, lambda episode: episode.is_on_time),
        latency_mean_s=fmean(latencies_s) if latencies_s else None,
        latency_p50_s=_quantile(latencies_s, 0.50),
        latency_p95_s=_quantile(latencies_s, 0.95),
        completion_tokens=sum(episode.completion_tokens for episode in episodes),
        models=shares([call.model for call in calls]),
        strategies=shares([call.strategy for call in calls]),
        topologies=shares([episode.topology for episode in episodes if episode.topology]),
    )


def summarise_by(episodes: Sequence[Episode], key: Callable[[Episode], str]) -> Mapping[str, Summary]:
    """Sum up the episodes of each value of ``key``, most frequent value first."""
    groups: dict[str, list[Episode]] = defaultdict(list)
    for episode in episodes:
        groups[key(episode)].append(episode)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    return {name: summarise(group) for name, group in ordered}


def shares(names: Sequence[str]) -> Mapping[str, float]:
    """Share of each name, most frequent first."""
    return {name: count / len(names) for name, count in Counter(names).most_common()}


def _rate(episodes: Sequence[Episode], is_hit: Callable[[Episode], bool]) -> Rate:
    return Rate(sum(map(is_hit, episodes)), len(episodes))


def _quantile(values: Sequence[float], q: float) -> float | None:
    return float(np.quantile(values, q)) if values else None
