"""``inframind traces outcomes``: what is known of how runs turned out, and what is still on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from inframind.fleet.clock import Clock
from inframind.plugin.commands.traces import StorePlace, by_our_keys
from inframind.plugin.terminal import percent, seconds
from inframind.rewards.delay import Delays, Feedback, delay_weights
from inframind.traces.query import TraceQuery
from inframind.traces.records import SolvedKeys, Trajectory, solved_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What has been heard of some runs.

    Attributes:
        runs: number of runs that have ended.
        heard: number of them with a verdict.
        expected: number of verdicts that are still expected, by how many came at which age so far.
        solved: share of those with a verdict that were solved; NaN without any.
        corrected: the same, weighted for good and bad news that travel at different speeds.
        median_s: delay by which half of the verdicts have come.
        late_s: delay by which nine in ten have.
    """

    runs: int
    heard: int
    expected: float
    solved: float
    corrected: float
    median_s: float
    late_s: float


def heard_of(runs: Sequence[Trajectory], keys: SolvedKeys, *, now_s: float) -> Heard:
    """Sum up runs; those that are still open are left out."""
    ended = [run for run in runs if run.status != "open"]
    verdicts = [_verdict(run, keys) for run in ended]
    age_s = np.array([max(now_s - _end_s(run), 0.0) for run in ended])
    delay_s = np.array([max(at_s - _end_s(run), 0.0) for run, (_, at_s) in zip(ended, verdicts, strict=True)])
    score = np.array([score for score, _ in verdicts], dtype=np.float64)
    is_heard = ~np.isnan(score)
    feedback = Feedback(
        heard_B=is_heard,
        delay_s_B=np.where(is_heard, np.minimum(delay_s, age_s), 0.0),
        age_s_B=age_s,
    )
    delays = Delays.of(feedback)
    weights = delay_weights(feedback, np.where(is_heard, score, 0.0))
    by_now = delays.heard_by(age_s)
    share = is_heard.sum() / by_now.sum() if by_now.sum() else 0.0
    return Heard(
        runs=len(ended),
        heard=int(is_heard.sum()),
        expected=float(share * (1.0 - by_now)[~is_heard].sum()),
        solved=float(score[is_heard].mean()) if is_heard.any() else float("nan"),
        corrected=float(np.average(score[is_heard], weights=weights[is_heard]))
        if is_heard.any()
        else float("nan"),
        median_s=_when(delays, 0.5),
        late_s=_when(delays, 0.9),
    )


def show_outcomes(place: StorePlace, query: TraceQuery, *, clock: Clock, console: Console) -> None:
    """Print what is known."""
    query = by_our_keys(place, query)
    heard = asyncio.run(_read(place, query, clock))
    table = Table(title="How runs turned out")
    for title in (
        "runs",
        "verdicts",
        "still expected",
        "solved so far",
        "corrected",
        "half by",
        "nine in ten by",
    ):
        table.add_column(title, justify="right")
    has_any = heard.heard > 0
    table.add_row(
        f"{heard.runs:,}",
        f"{heard.heard:,}",
        f"about {heard.expected:,.0f}" if has_any else "-",
        percent(heard.solved) if has_any else "-",
        percent(heard.corrected) if has_any else "-",
        seconds(heard.median_s) if has_any else "-",
        seconds(heard.late_s) if has_any else "-",
    )
    console.print(table)
    if not has_any:
        console.print("no verdict yet: `inframind feedback`, mind.feedback or mind.add_grader give them")


async def _read(place: StorePlace, query: TraceQuery, clock: Clock) -> Heard:
    async with place.opened() as store:
        runs = [run async for run in store.iter(query)]
        return heard_of(runs, query.solved_keys, now_s=clock.wall_s())


def _verdict(run: Trajectory, keys: SolvedKeys) -> tuple[float, float]:
    """1 or 0, and when it was first said; NaN while nobody has."""
    solved = solved_of(run.outcomes, keys)
    if solved is None:
        return float("nan"), 0.0
    names = {key for key, _ in keys.thresholds}
    said = [one.recorded_at_s for one in run.outcomes if one.key in names and one.score is not None]
    return float(solved), min(said)


def _end_s(run: Trajectory) -> float:
    return run.arrived_at_s + run.latency_s


def _when(delays: Delays, share: float) -> float:
    return float(delays.at_s_D[int(np.searchsorted(delays.share_D, share - 1e-9))])
