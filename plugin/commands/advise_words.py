"""Advice in words, the same in every command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from inframind.advisor.analysis import Analysis
from inframind.advisor.cluster import FailureCluster, Trait
from inframind.plugin.advice.again import AGAIN
from inframind.plugin.advice.decisions import TOGETHER
from inframind.plugin.advice.measuring import Moved
from inframind.plugin.advice.promises import Promise, Verdict
from inframind.plugin.advice.stories import Standing, Story
from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.plugin.rollout_words import ago, name_of
from inframind.plugin.terminal import one_line, percent
from inframind.traces.advice import AdviceEvent, Metric, Prediction, Recommendation, RecommendationKind

DIGITS = 8
"""Of ids in tables."""
NOT_ENOUGH = "not enough evidence"
KIND_NAMES: dict[RecommendationKind, str] = {
    "cheapest": "cheapest",
    "highest_performance": "performance",
    "balanced": "balanced",
    "model_switch": "switch",
}
_STYLES: dict[Standing, str] = {
    "serves": "green",
    "rolled back": "red",
    "on trial": "yellow",
    "reverted": "dim",
}
VERDICT_STYLES: dict[Verdict, str] = {"kept": "green", "broken": "red", "not known": ""}
SHARES: tuple[Metric, ...] = ("success", "solved", "on_time")
"""Metrics that are shares of runs."""
_TRAITS = 3
_LONGEST_TITLE = 300
_METHODS = {
    "canary": "adjusted for when each was dealt out, measured in the canary",
    "before and after": "measured before and after it took effect",
}
_LIMITS = {
    "plans": ("avoid_topologies", "most_agents"),
    "models": ("avoid_models", "only_models", "avoid_actions", "avoid_endpoints"),
    "strategies": ("avoid_strategies", "avoid_actions"),
}
"""What rules limit, by what they say."""


def change_text(found: Prediction | None) -> str:
    """A predicted change with its 95 % interval: points of a share, seconds, or percent of the cost."""
    if found is None or not found.is_enough:
        return NOT_ENOUGH
    return moved_text(found.metric, found)


def moved_text(metric: Metric, found: Prediction | Moved) -> str:
    """A change with its 95 % interval: points of a share, seconds, or percent of the cost before."""
    ends = (found.change, found.low, found.high)
    change, low, high = (_amount(metric, found.before, value) for value in ends)
    return f"{change} [{low}, {high}]{_unit(metric, found.before)}"


def short_change(story: Story, metric: Metric) -> Text:
    """For a table: green where it is surely for the better, red where surely for the worse."""
    found = story.recommendation.prediction(metric)
    text = change_text(found)
    if found is None or not found.is_enough:
        return Text(text, "dim")
    sign = 1.0 if metric in SHARES else -1.0
    worst, best = sorted((sign * found.low, sign * found.high))
    return Text(text, "green" if worst > 0 else "red" if best < 0 else "")


def standing_text(story: Story, *, tries: bool) -> Text:
    """How a recommendation stands; an accepted one waits for the roll-out where there is one."""
    standing = story.standing
    name = "waits" if standing == "accepted" and tries else str(standing)
    return Text(name, _STYLES.get(standing, ""))


_COLUMNS = (
    Column(name="id"),
    Column(name="kind"),
    Column(name="what to change", may_wrap=True),
    Column(name="success, points", justify="right"),
    Column(name="in time, points", justify="right", leave_out=2),
    Column(name="latency", justify="right", leave_out=1),
    Column(name="cost", justify="right", leave_out=3),
    Column(name="state"),
)
_PROMISE = Column(name="promise", leave_out=4)
"""Of what has been measured."""


def advice_table(stories: tuple[Story, ...], *, tries: bool) -> FittedTable:
    """Recommendations, what they promise, and whether those that were measured kept it."""
    rows = [_cells(story, tries) for story in stories]
    promises = [story.promise for story in stories]
    if not any(promises):
        return FittedTable(_COLUMNS, [Row(cells) for cells in rows])
    told = [Row((*cells, verdict_text(found))) for cells, found in zip(rows, promises, strict=True)]
    return FittedTable((*_COLUMNS, _PROMISE), told)


def verdict_text(found: Promise | None) -> Text:
    """Whether a promise was kept; nothing where nothing was measured."""
    return Text(found.verdict, VERDICT_STYLES[found.verdict]) if found else Text()


def _cells(story: Story, tries: bool) -> tuple[Text, ...]:
    made = story.recommendation
    return (
        Text(made.recommendation_id[:DIGITS], "bold"),
        Text(KIND_NAMES[made.kind]),
        Text(one_line(made.title, _LONGEST_TITLE)),
        short_change(story, "success"),
        short_change(story, "on_time"),
        short_change(story, "latency_s"),
        short_change(story, "cost"),
        standing_text(story, tries=tries),
    )


def is_proven(story: Story) -> bool:
    """Whether there is enough evidence for what it is recommended for, which is predicted first."""
    return any(found.is_enough for found in story.recommendation.predictions[:1])


def alternatives(stories: Iterable[Story]) -> Iterator[Text]:
    """Which of those that are open or accepted answer the same: each promise was made without the others."""
    over = ("in force", "rejected", "set aside", "rolled back", "reverted")
    left = [one for one in stories if one.standing not in over]
    while left:
        group = [left.pop(0)]
        for story in left:
            if any(_answer_the_same(story, one) for one in group):
                group.append(story)
        left = [story for story in left if story not in group]
        undecided = [one for one in group if one.standing == "open"]
        if len(group) > len(undecided) > 0:
            told = f"alternative to an accepted one, so look at runs with that first: {_ids(undecided)}"
            yield Text(told, "yellow")
        elif len(undecided) > 1:
            yield Text(f"{_ids(undecided)} are alternatives: accept one, then look again", "yellow")


def _ids(stories: Sequence[Story]) -> str:
    *most, last = (one.recommendation.recommendation_id[:DIGITS] for one in stories)
    return f"{', '.join(most)} and {last}" if most else last


def _answer_the_same(story: Story, other: Story) -> bool:
    one, two = story.recommendation, other.recommendation
    if one.cluster_id and one.cluster_id == two.cluster_id:
        return True
    return any(_overlap(rule, another) for rule in one.rules for another in two.rules)


def _overlap(rule: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether they limit the same thing for some of the same questions."""
    domains, others = (set(one.get("when", {}).get("domains", ())) for one in (rule, other))
    is_apart = domains and others and not domains & others
    return not is_apart and bool(_limited(rule) & _limited(other))


def _limited(rule: Mapping[str, Any]) -> set[str]:
    return {what for what, names in _LIMITS.items() if any(name in rule for name in names)}


def concerns(cluster: FailureCluster, domain: str) -> bool:
    """Whether a failure pattern may be of a domain's questions: no trait names another one; "" is all."""
    named = {trait.values["domain"] for trait in cluster.traits if "domain" in trait.values}
    return not domain or not named or domain in named


def analysis_line(analysis: Analysis, now_s: float) -> Text:
    """What was looked at, as a sentence."""
    return Text(
        f"{analysis.runs:,} runs of the last {ago(analysis.since_s, now_s).removesuffix(' ago')}, "
        f"{analysis.labelled:,} with a verdict: {analysis.failures:,} failed, were late or wrong "
        f"(analysed {ago(analysis.at_s, now_s)})"
    )


def cluster_lines(cluster: FailureCluster) -> Iterator[Text]:
    """A failure pattern: how large, whither, what sets it apart, and runs to look at."""
    yield Text.assemble(
        (one_line(cluster.label, 100), "bold"),
        f"  {cluster.size:,} runs, {percent(cluster.share)} of failures{_trend(cluster)}",
    )
    for trait in cluster.traits[:_TRAITS]:
        yield Text(f"  {_trait_text(trait)}")
    for note in cluster.notes:
        yield Text(f"  {one_line(note, 400)}", "yellow")
    if cluster.exemplars:
        yield Text(f"  such as {', '.join(one[:DIGITS] for one in cluster.exemplars[:_TRAITS])}", "dim")


def prediction_table(made: Recommendation) -> FittedTable:
    """All that it promises, and what that rests on."""
    columns = (
        Column(name="of"),
        Column(name="so far", justify="right"),
        Column(name="change"),
        Column(name="runs", justify="right", leave_out=2),
        Column(name="concerned", justify="right"),
        Column(name="rests on", justify="right", leave_out=1),
        Column(name="method or objection", may_cut=True),
    )
    return FittedTable(columns, [_prediction_row(found) for found in made.predictions])


def advice_event_line(event: AdviceEvent, now_s: float) -> Text:
    """What happened, as a line."""
    text = Text(f"{ago(event.at_s, now_s):>10}  {event.by}: ")
    text.append("set aside" if event.is_unproven else event.kind.replace("_", " "), "bold")
    return text.append(one_line("".join(f"; {part}" for part in _event_facts(event)), 400))


def plain_story(story: Story) -> dict[str, Any]:
    """For JSON."""
    made = {name: value for name, value in asdict(story.recommendation).items() if name != "features"}
    promise = story.promise
    return {
        **made,
        "state": story.standing,
        "without_effect": list(story.without_effect),
        "promise": None if promise is None else {"verdict": promise.verdict, **asdict(promise)},
        "events": [asdict(event) for event in story.events],
    }


def plain_cluster(cluster: FailureCluster) -> dict[str, Any]:
    """For JSON, without the ids of all its runs."""
    return {name: value for name, value in asdict(cluster).items() if name not in ("members", "centroid")}


def metric_name(metric: Metric) -> str:
    """For people."""
    return metric.replace("_s", "").replace("_", " ")


def level_text(metric: Metric, value: float) -> str:
    """A share, seconds or a cost."""
    return f"{value:.1%}" if metric in SHARES else f"{value:.4g}"


def _prediction_row(found: Prediction) -> Row:
    cells = (
        metric_name(found.metric),
        level_text(found.metric, found.before),
        change_text(found),
        f"{found.runs:,}",
        f"{found.affected:,}",
        f"{found.effective_size:,.0f}",
        found.objection or found.method,
    )
    return Row(tuple(Text(one_line(cell, 100)) for cell in cells))


def _event_facts(event: AdviceEvent) -> Iterator[str]:
    facts = event.facts
    if facts.get("version"):
        yield name_of(str(facts["version"]))
    if event.is_loss:
        yield "the file lacks its rules"
    if facts.get("reason"):
        yield str(facts["reason"])
    if event.kind == "accepted" and facts.get(TOGETHER):
        others = ", ".join(str(one)[:DIGITS] for one in facts[TOGETHER])
        yield f"beside {others}, not measured by then"
    if facts.get(AGAIN):
        yield f"the change of {str(facts[AGAIN])[:DIGITS]} again"
    if facts.get("file"):
        yield f"{facts['file']}" + (f", backup: {facts['backup']}" if facts.get("backup") else "")
    if event.kind == "measured":
        yield measured_text(event)


def measured_text(event: AdviceEvent) -> str:
    """What a measurement said."""
    facts = event.facts
    others = ", ".join(str(one)[:DIGITS] for one in facts.get("together_with", ()))
    return (
        f"success {facts['before']:.1%} ({facts['before_labelled']:,} runs) and {facts['after']:.1%} "
        f"({facts['after_labelled']:,} runs) with it: {100 * facts['change']:+.1f} points "
        f"[{100 * facts['low']:+.1f}, {100 * facts['high']:+.1f}], {_METHODS[facts['method']]}"
        + _families_text(facts)
        + (f", together with {others}" if others else "")
    )


def _families_text(facts: Mapping[str, Any]) -> str:
    """Which runs count, where there are several families of configurations."""
    families, left_out = facts.get("families", 0), facts.get("left_out", 0)
    if families + left_out < 2:
        return ""
    of = "1 family" if families == 1 else f"{families} families"
    others = f" ({left_out} more that served only with it left out)" if left_out else ""
    return f", of {of} of configurations that served before and after{others}"


def _amount(metric: Metric, before: float, value: float) -> str:
    if metric in SHARES:
        return f"{100 * value:+.1f}"
    if metric == "latency_s":
        return f"{value:+.2f}"
    return f"{100 * value / before:+.0f}" if before else f"{value:+.3g}"


def _unit(metric: Metric, before: float) -> str:
    if metric == "latency_s":
        return " s"
    return " %" if metric == "cost" and before else ""


def _trend(cluster: FailureCluster) -> str:
    if abs(cluster.trend_z) < 2:
        return ""
    return ", growing" if cluster.trend > 0 else ", shrinking"


def _trait_text(trait: Trait) -> str:
    named = ", ".join(f"{name} {value}" for name, value in trait.values.items())
    return (
        f"{one_line(named, 60)}: {percent(trait.failing)} fail so, {percent(trait.failing_without)} without"
    )
