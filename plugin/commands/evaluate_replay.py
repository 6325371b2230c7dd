"""``inframind evaluate --replay``: contenders side by side on a recorded table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from inframind.arena.extras import load_extra
from inframind.arena.replay.archive import REPLAY, STANDINGS, replay_document, write_replay
from inframind.arena.replay.board import print_replay
from inframind.arena.replay.columns import columns_from, prices_from
from inframind.arena.replay.play import ReplayOptions, replay_file
from inframind.arena.replay.results import ReplayResult
from inframind.arena.workload import budgets_from
from inframind.errors import ConfigError
from inframind.plugin.commands.evaluate import DEFAULT_OUT, SEEDS, make_folder


@dataclass(frozen=True, kw_only=True)
class ReplayCall:
    """What is replayed.

    Attributes:
        table: recorded outcomes.
        contenders: as for `arena.replay.named.contenders_named`; empty takes all that the table allows.
        strata: benchmarks to play; empty plays all.
        seeds: number of splits.
        budgets: as for `arena.workload.budgets_from`, or ``none``: time does not count.
        columns: ``MEANING=COLUMN`` for columns that are named otherwise.
        prices: ``NAME=PRICE`` of a token of an arm or model.
        cost: ``cost``, ``seconds``, ``tokens`` or ``none``; None takes what most outcomes come with.
        out: folder of the results.
    """

    table: Path
    contenders: tuple[str, ...] = ()
    strata: tuple[str, ...] = ()
    seeds: int = SEEDS
    budgets: str = "loguniform:5,300"
    columns: tuple[str, ...] = ()
    prices: tuple[str, ...] = ()
    cost: str | None = None
    out: Path = DEFAULT_OUT


def run_replay(call: ReplayCall, console: Console) -> bytes:
    """Replay a recorded table, print what came of it, and write it down.

    Returns:
        The result as JSON.

    Raises:
        ConfigError, InvalidItems: an option, or the file, is wrong.
    """
    load_extra("pyarrow")
    with console.status(f"replaying {call.table.name} ..."):
        result = _replay(call)
    make_folder(call.out)
    write_replay(result, call.out)
    print_replay(result, console)
    console.print(f"\nevery figure: {call.out / REPLAY}, a table of them: {call.out / STANDINGS}")
    return replay_document(result)


def _replay(call: ReplayCall) -> ReplayResult:
    if call.seeds < 1:
        raise ConfigError("seeds", call.seeds, "give at least 1")
    return replay_file(
        call.table,
        columns=columns_from(call.columns) if call.columns else None,
        strata=call.strata,
        price_per_token=prices_from(call.prices) if call.prices else None,
        contenders=call.contenders,
        options=ReplayOptions(
            seeds=tuple(range(call.seeds)),
            budgets=None if call.budgets == "none" else budgets_from(call.budgets),
            cost=call.cost,
        ),
    )
