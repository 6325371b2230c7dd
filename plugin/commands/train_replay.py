"""``inframind train --replay``: learns which recorded arm to ask, and when to ask another, from tables of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from inframind.arena.extras import load_extra
from inframind.arena.replay.learned import LearnReport, train_on_table
from inframind.arena.replay.router_file import save_router
from inframind.arena.replay.table import ReplayTable
from inframind.errors import ConfigError
from inframind.plugin.commands.evaluate import make_folder
from inframind.plugin.terminal import percent
from inframind.router.learning.threads import use_one_thread

_TABLES = (".parquet", ".csv", ".csv.gz")


def train_replay(path: Path, out: Path, *, seed: int, cost: str | None, console: Console) -> list[Path]:
    """Learn a router from each table, write it, and say what cross-validation made of it.

    Args:
        path: a table, or a folder of tables.
        out: folder of the routers, each named as its table.
        seed: of the folds.
        cost: ``cost``, ``seconds`` or ``tokens``; None takes what most outcomes come with.
        console: where to.

    Returns:
        The routers' files.

    Raises:
        ConfigError, InvalidItems: an option, or a table, is wrong.
    """
    load_extra("pyarrow")
    use_one_thread()
    tables = {_stem(table): ReplayTable.read(table) for table in _tables(path)}
    make_folder(out)
    reports, files = [], []
    for name, table in tables.items():
        report, file = _learn(table, out / f"{name}.safetensors", seed, cost, console)
        reports.append((name, report))
        files.append(file)
    console.print(_shown(reports))
    console.print(
        Text("quality and cost as cross-validation inside the table saw them; cost in that of the best arm")
    )
    for file in files:
        console.print(Text(f"router: {file}"))
    return files


def _tables(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(one for one in path.iterdir() if one.name.endswith(_TABLES))
    if not found:
        raise ConfigError("replay", str(path), f"there is no table in this folder: {', '.join(_TABLES)}")
    return found


def _stem(table: Path) -> str:
    return next((table.name.removesuffix(end) for end in _TABLES if table.name.endswith(end)), table.stem)


def _learn(
    table: ReplayTable, file: Path, seed: int, cost: str | None, console: Console
) -> tuple[LearnReport, Path]:
    if file.exists():
        raise ConfigError("out", str(file), "there is a router already: give another folder")
    columns = (
        TextColumn(file.stem),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        router, report = train_on_table(
            table,
            seed=seed,
            cost=cost,
            on_progress=lambda step: progress.update(
                task, total=step.total, completed=step.done, description=step.what
            ),
        )
    return report, save_router(file, router)


def _shown(reports: Sequence[tuple[str, LearnReport]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("table", no_wrap=True, overflow="ellipsis")
    for name in ("questions", "arms", "best arm", "learned", "cost, 2 points under", "5 points under"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, report in reports:
        cells = (
            str(report.questions),
            str(report.arms),
            percent(report.best_quality),
            percent(max(report.quality)),
            _times(report.cost_share(0.02)),
            _times(report.cost_share(0.05)),
        )
        table.add_row(Text(name), *cells)
    return table


def _times(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f} x"
