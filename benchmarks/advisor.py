"""Advice: is it accepted, does it find and mend what is wrong, are promises kept, has it favourites, is it quick?

    python benchmarks/advisor.py --json
    python benchmarks/advisor.py --only acceptance,desk

Ten parts, each of which can be left out:

* **acceptance**: hidden people, see `inframind.arena.advice.people`;
* **defects**: four applications with something wrong, see `inframind.arena.advice.defects`, and one without;
* **promises**: whether intervals hold what comes, see `inframind.arena.advice.drawn_logs` and
  `inframind.arena.advice.kept_promises`;
* **patterns**: whether failure patterns name what is planted, see `inframind.arena.advice.planted_runs`;
* **files**: rules written into configurations of all shapes, read by the loader;
* **equal**: an application in which nothing is better than anything else;
* **shares**: who is shown first where all options are equal, see `inframind.arena.advice.equal_offers`;
* **desk**: a recommendation at the desk, with 100,000 traces in the store;
* **graph**: questions about configurations to as many traces, and what their figures cost a put;
* **rules**: what rules cost a decision, and what an evaluation of fifty candidates takes.

What takes long is kept in ``--out`` and not done again: figures of trials and plays, and stores that were filled.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from _advisor_defects import ATTENTIVE, all_worlds, report_defects
from _advisor_desk import report_desk
from _advisor_equal import report_equal
from _advisor_files import report_files
from _advisor_graph import report_graph
from _advisor_patterns import report_patterns
from _advisor_people import report_acceptance
from _advisor_promises import report_promises
from _advisor_rules import report_rules
from _advisor_shares import report_shares
from _advisor_store import TRACES
from _common import Bench, arguments
from rich.console import Console

from inframind.arena.advice.people import SEGMENTS

PARTS = (
    "acceptance",
    "defects",
    "promises",
    "patterns",
    "files",
    "equal",
    "shares",
    "desk",
    "graph",
    "rules",
)
KEPT_PARTS = {"promises": report_promises, "patterns": report_patterns, "shares": report_shares}
OUT = Path(__file__).resolve().parents[1] / ".cache" / "advisor"
QUICK_TRACES, QUICK_WORLDS = 2_000, ("truncation", "control")


def options_of() -> argparse.Namespace:
    parser = arguments(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--seeds", type=int, default=5, help="plays and trials of each kind (default 5)")
    parser.add_argument("--worlds", default=",".join(all_worlds()), help="of the part defects")
    parser.add_argument(
        "--segment", default=ATTENTIVE, choices=SEGMENTS, help="of who decides in the part defects"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes for trials (default 1)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of what takes long")
    parser.add_argument(
        "--store", type=Path, default=None, help="SQLite file to fill for the desk, or filled already"
    )
    parser.add_argument("--traces", type=int, default=TRACES, help=f"in the store (default {TRACES:,})")
    parser.add_argument(
        "--postgres", action="store_true", help="time the desk and the graph on PostgreSQL, too"
    )
    options = parser.parse_args()
    unknown = set(options.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"--only: there is no {', '.join(sorted(unknown))}; use some of {', '.join(PARTS)}")
    return options


def main() -> None:
    options = options_of()
    bench = Bench(title="Advice", packages=("numpy", "scikit-learn"), seed=options.seed)
    reports = reports_of(options, bench, Console(width=150))
    for part in options.only.split(","):
        reports[part]()
    bench.print(as_json=options.json)


def reports_of(
    options: argparse.Namespace, bench: Bench, console: Console
) -> Mapping[str, Callable[[], None]]:
    """What measures each part."""
    quick, seed, workers = options.quick, options.seed, options.workers
    out: Path = options.out / "quick" if quick else options.out
    seeds = range(seed, seed + (3 if quick else options.seeds))
    traces = QUICK_TRACES if quick else options.traces
    timed = {"seed": seed, "quick": quick, "traces": traces, "postgres": options.postgres}
    desk, graph = options.store or out / f"desk-{traces}.db", out / f"graph-{traces}.db"
    defects = partial(
        report_defects,
        seeds=seeds[:1] if quick else seeds,
        worlds=QUICK_WORLDS if quick else options.worlds.split(","),
        segment=options.segment,
        folder=out / "trials",
        workers=workers,
    )
    kept = {
        name: partial(report, bench, console, seeds, folder=out / name, workers=workers, quick=quick)
        for name, report in KEPT_PARTS.items()
    }
    return {
        "acceptance": partial(report_acceptance, bench, console, seeds, quick=quick),
        "defects": partial(defects, bench, console, quick=quick),
        "files": partial(report_files, bench, console, seed, quick=quick),
        "equal": partial(report_equal, bench, console, seeds, quick=quick),
        "desk": partial(report_desk, bench, console, store=desk, **timed),
        "graph": partial(report_graph, bench, console, store=graph, **timed),
        "rules": partial(report_rules, bench, console, seed, quick=quick),
        **kept,
    }


if __name__ == "__main__":
    main()
