"""The published rows: one run of one system on one benchmark at one arrival rate (``results.csv``)."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inframind.arena.calibration.systems import SYSTEMS, Mix, System
from inframind.errors import InvalidItems

_SERVED_NAMES: Mapping[str, str] = {
    "DeepSeek-R1-Distill-Qwen-32B": "deepseek-r1-32b",
    "Mistral-Small-24B-Instruct-2501": "mistral-small-24b",
    "Qwen2.5-Coder-14B-Instruct": "qwen2.5-coder-14b",
    "Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "Llama-3.2-3B-Instruct": "llama-3.2-3b",
}

_COLUMNS: Mapping[int, str] = {
    5: "latency_p5_s",
    25: "latency_p25_s",
    50: "latency_median_s",
    75: "latency_p75_s",
    95: "latency_p95_s",
}

PERCENTILES: tuple[int, ...] = tuple(_COLUMNS)
"""The percentiles of latency that were published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """What was published about one run.

    Attributes:
        system: who answered.
        benchmark: what was asked.
        rate_per_min: arrivals a minute.
        cost_rate: MasRouter's weight of cost, or None.
        n_questions: how many were asked.
        accuracy: share of right answers.
        mean_s: mean reported latency.
        percentiles_s: its percentiles, by `PERCENTILES`.
        mix: what MasRouter chose, or None.
    """

    system: System
    benchmark: str
    rate_per_min: float
    cost_rate: float | None
    n_questions: int
    accuracy: float
    mean_s: float
    percentiles_s: Mapping[int, float]
    mix: Mix | None

    @property
    def name(self) -> str:
        """Short and unique, such as ``mas_5_math_30``."""
        cost = "" if self.cost_rate is None else f"_{self.cost_rate:g}"
        return f"{self.system}{cost}_{self.benchmark}_{self.rate_per_min:g}"


def load_published(path: Path) -> tuple[PublishedRow, ...]:
    """The rows of the three systems, in the file's order.

    Raises:
        InvalidItems: a column is missing or not what it should be.
    """
    with path.open(encoding="utf-8", newline="") as file:
        tables = [table for table in csv.DictReader(file) if table.get("method") in SYSTEMS]
    try:
        return tuple(_row(table) for table in tables)
    except (KeyError, ValueError) as error:
        fix = "give the table of published results, with one row per run"
        raise InvalidItems(str(path), None, f"a column is missing or unreadable ({error!r})", fix) from error


def _row(table: Mapping[str, str]) -> PublishedRow:
    system: System = next(name for name in SYSTEMS if name == table["method"])
    return PublishedRow(
        system=system,
        benchmark=table["benchmark"],
        rate_per_min=float(table["arrival_rate_per_min"]),
        cost_rate=float(table["cost_rate"]) if table["cost_rate"] else None,
        n_questions=int(table["episodes"]),
        accuracy=float(table["accuracy"]),
        mean_s=float(table["latency_mean_s"]),
        percentiles_s={percent: float(table[column]) for percent, column in _COLUMNS.items()},
        mix=_mix(table) if system == "mas" else None,
    )


def _mix(table: Mapping[str, str]) -> Mix:
    """The router's choices; the team's size follows from the steps, of which a debate has two per agent."""
    topologies: dict[str, float] = json.loads(table["topology_mix"])
    one = Mix(models={}, topologies=topologies, team_size=1)
    models = {_SERVED_NAMES[name]: share for name, share in json.loads(table["model_mix"]).items()}
    team_size = round(float(table["steps_per_episode"]) / one.steps_per_question)
    return Mix(models=models, topologies=topologies, team_size=team_size)
