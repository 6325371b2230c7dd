"""How many candidates are shown: who leads while they are tried, and a table of what is concluded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from rich.console import Console
from rich.text import Text

from inframind.arena.candidates.candidate import AS_IT_IS
from inframind.arena.candidates.grid import GRID
from inframind.arena.candidates.results import JobResult
from inframind.arena.candidates.verdict import Change, Standing, Standings, Verdict
from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.plugin.terminal import counted_progress, one_line, percent, safe, seconds
from inframind.traces.advice import Metric

_LOOKS = 100
"""How often, over a whole evaluation, it is worked out who leads."""
_REMARK_CHARS = 70
_NAME_WIDTH = 26
"""Terminal columns that names have before others are left out: `without ` and most names, whole."""
_STYLES: Mapping[Standing, str] = {
    "better": "green",
    "likely better": "green",
    "worse": "red",
    "likely worse": "red",
    "failed": "yellow",
    "invalid": "yellow",
}
_METHOD = {
    "traces": "Changes are those of runs of which this one alone is decided otherwise; what a candidate does to "
    "latency by loading servers differently, --on simulated says.",
    "simulated": "Changes are those on simulated servers, seed by seed; how good the real models are at your "
    "questions, --on traces says.",
}


class Board:
    """A progress bar that also says who leads so far.

    Attributes:
        done: jobs that are done.
    """

    def __init__(self, total: int, console: Console) -> None:
        self.done = 0
        self._every = max(1, total // _LOOKS)
        self._leaders = Leaders()
        self._progress = counted_progress(console)
        self._task = self._progress.add_task("trying candidates", total=total)

    def __enter__(self) -> Board:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def take(self, result: JobResult) -> None:
        """Count a job."""
        self.done += 1
        self._leaders.take(result)
        self._progress.update(self._task, advance=1)
        if self.done % self._every == 0:
            self._progress.update(self._task, description=self._leaders.line())


@dataclass(frozen=True, slots=True)
class Lead:
    """A candidate that looks good so far.

    Attributes:
        name: of it.
        change: of success, by what there is.
    """

    name: str
    change: float


class Leaders:
    """Who looks best by the jobs that are done, which proves nothing yet."""

    def __init__(self) -> None:
        self._success: dict[str, dict[tuple[int | None, float | None], float]] = defaultdict(dict)
        self._predicted: dict[str, float] = {}

    def take(self, result: JobResult) -> None:
        """A job that is done."""
        job = result.job
        if result.figures is not None:
            self._success[job.candidate][job.seed, job.rate_per_min] = result.figures.success
        for one in result.predictions:
            if one.metric == "success" and one.is_enough:
                self._predicted[job.candidate] = one.change

    def best(self) -> Lead | None:
        """The one with the greatest success above that of the configuration as it is, on the same workloads."""
        leads = [*self._played(), *(Lead(*pair) for pair in self._predicted.items())]
        return max(leads, key=lambda lead: lead.change, default=None)

    def line(self) -> str:
        """For people."""
        best = self.best()
        if best is None:
            return "trying candidates"
        return f"leading: {one_line(best.name, 32)} ({_points(best.change)} success)"

    def _played(self) -> Iterator[Lead]:
        as_it_is = self._success.get(AS_IT_IS, {})
        for name, by_place in self._success.items():
            gains = [success - as_it_is[place] for place, success in by_place.items() if place in as_it_is]
            if gains and name != AS_IT_IS:
                yield Lead(name, fmean(gains))


def print_standings(standings: Standings, on: str, console: Console) -> None:
    """A table of all candidates, best success first, and what it means."""
    shown = [one for one in standings.verdicts if not _is_idle(one)]
    console.print(standings_table(replace(standings, verdicts=tuple(shown))))
    if idle := len(standings.verdicts) - len(shown):
        console.print(_left_out(idle), style="dim")
    console.print(
        "\nbetter, worse: for all candidates at once at 95 %; likely: for this one by itself; "
        "*: nothing else is better in both success and cost",
        style="dim",
    )
    console.print(_METHOD[on], style="dim")
    for one in standings.verdicts:
        if one.standing in ("failed", "invalid"):
            console.print(Text(f"{one.name}: {safe(one.reason)}", "yellow"))


def _is_idle(verdict: Verdict) -> bool:
    """Whether it is one of many that nobody asked for by name, and would have changed nothing."""
    return verdict.source == GRID and verdict.concerned == 0


def _left_out(idle: int) -> str:
    are = (
        "1 of the grid concerns no run and is" if idle == 1 else f"{idle} of the grid concern no run and are"
    )
    return f"{are} left out here"


def standings_table(standings: Standings) -> FittedTable:
    """One line per candidate, and one for the configuration as it is."""
    columns = (
        Column(name="candidate", may_wrap=True, least=_NAME_WIDTH),
        Column(name="success", justify="right"),
        Column(name="change (95 %)", justify="right"),
        Column(name="standing"),
        Column(name="front"),
        Column(name="on time", justify="right", leave_out=3),
        Column(name="latency", justify="right", leave_out=4),
        Column(name="cost", justify="right", leave_out=2),
        Column(name="remark", leave_out=1),
    )
    return FittedTable(columns, [_baseline_row(standings), *map(_row, standings.verdicts)])


def _baseline_row(standings: Standings) -> Row:
    values = standings.baseline
    cells = (
        AS_IT_IS,
        percent(values["success"]) if "success" in values else "-",
        "",
        "failed" if standings.reason else "",
        "*" if standings.baseline_on_front else "",
        percent(values["on_time"]) if "on_time" in values else "-",
        seconds(values.get("latency_s")),
        _cost(values.get("cost")),
        "",
    )
    return Row(tuple(Text(cell) for cell in cells), "bold")


def _row(verdict: Verdict) -> Row:
    style = _STYLES.get(verdict.standing, "dim" if verdict.standing == "unknown" else "")
    latency = _value(verdict, "latency_s")
    cells = (
        Text(safe(verdict.name)),
        Text(_share(_value(verdict, "success"))),
        Text(_interval(verdict.changes.get("success"))),
        Text(verdict.standing, style),
        Text("*" if verdict.on_front else ""),
        Text(_share(_value(verdict, "on_time"))),
        Text(seconds(latency)),
        Text(_cost(_value(verdict, "cost"))),
        Text(one_line(verdict.reason or verdict.source, _REMARK_CHARS), "dim"),
    )
    return Row(cells)


def _value(verdict: Verdict, metric: Metric) -> float | None:
    change = verdict.changes.get(metric)
    return change.value if change else None


def _interval(change: Change | None) -> str:
    if change is None or change.change is None:
        return "-"
    if change.low is None or change.high is None:
        return _points(change.change)
    return f"{_points(change.change)} ({_points(change.low)} to {_points(change.high)})"


def _points(change: float) -> str:
    """Percentage points."""
    return f"{100 * change:+.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)


def _cost(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
