"""What every benchmark shares: options, the machine's description, figures, bars, and how they are printed.

A benchmark is a script that runs alone, from any folder: ``python benchmarks/NAME.py [--quick] [--json]``. With
``--json`` its last line is one object::

    {"figures": {name: number}, "bars": {name: {"value": number, "limit": number, "holds": true or false}}}
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table

Direction = Literal["at most", "at least"]
_WIDTH = 120


def arguments(description: str, *, seed: int = 0) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has: ``--quick``, ``--json`` and ``--seed``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smaller run: same figures, wider spread")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seed", type=int, default=seed, help=f"seed of everything random (default {seed})")
    return parser


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile of a sample, interpolated linearly between its neighbours."""
    return float(np.percentile(values, percent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A promise about a figure: it is at most, or at least, a limit."""

    value: float
    limit: float
    direction: Direction

    @property
    def holds(self) -> bool:
        """Whether the promise was kept in this run."""
        return self.value <= self.limit if self.direction == "at most" else self.value >= self.limit


@dataclass(slots=True, kw_only=True)
class Bench:
    """Collects figures and bars, and prints them beside the machine, versions and seed they were taken with.

    Attributes:
        title: what is measured.
        packages: distributions whose versions matter to the figures.
        seed: seed of everything random, or None when nothing is.
    """

    title: str
    packages: tuple[str, ...] = ()
    seed: int | None = None
    _figures: dict[str, tuple[float, str, str]] = field(default_factory=dict)
    _bars: dict[str, Bar] = field(default_factory=dict)

    def add_figure(self, name: str, value: float, unit: str = "", note: str = "") -> None:
        """Report a number; a later one under the same name replaces it."""
        self._figures[name] = (float(value), unit, note)

    def add_bar(
        self, name: str, value: float, limit: float, unit: str = "", *, direction: Direction = "at most"
    ) -> None:
        """Report a number and hold it against a limit."""
        self.add_figure(name, value, unit)
        self._bars[name] = Bar(value=float(value), limit=float(limit), direction=direction)

    def print(self, *, as_json: bool) -> None:
        """Readable tables; with ``as_json`` also the one object, on the last line."""
        console = Console()
        if not console.is_terminal:  # a file or a pipe has no width of its own
            console = Console(width=_WIDTH)
        console.print(self._conditions())
        console.print(self._results())
        if as_json:
            print(self.to_json())

    def to_json(self) -> str:
        """The one object of the benchmark contract."""
        figures = {name: value for name, (value, _, _) in self._figures.items()}
        bars = {n: {"value": b.value, "limit": b.limit, "holds": b.holds} for n, b in self._bars.items()}
        return json.dumps({"figures": figures, "bars": bars}, allow_nan=False)

    def _conditions(self) -> Table:
        table = Table(title=self.title, show_header=False, title_justify="left")
        table.add_row("machine", f"{_cpu_name()}, {os.cpu_count()} cores, {platform.system()}")
        table.add_row("load average", " ".join(f"{load:.2f}" for load in os.getloadavg()))
        versions = (f"{name} {version(name)}" for name in self.packages)
        table.add_row("versions", ", ".join([f"Python {platform.python_version()}", *versions]))
        table.add_row("seed", "none needed" if self.seed is None else str(self.seed))
        return table

    def _results(self) -> Table:
        table = Table("figure", "value", "unit", "bar", "holds", "note")
        for name, (value, unit, note) in self._figures.items():
            bar = self._bars.get(name)
            limit = f"{bar.direction} {bar.limit:g}" if bar else ""
            holds = ("yes" if bar.holds else "[bold red]NO[/]") if bar else ""
            table.add_row(name, _number(value), unit, limit, holds, note)
        return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
