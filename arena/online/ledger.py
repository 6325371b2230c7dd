"""Seasons on disk, one file each, so that an interrupted benchmark goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inframind.arena.online.judging import Floats
from inframind.arena.online.season import Season
from inframind.arena.training.run_folder import write_text


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One season.

    Attributes:
        world: its name.
        contender: who played.
        seed: of the season.
    """

    world: str
    contender: str
    seed: int


class Ledger:
    """A folder of seasons.

    Args:
        folder: made when the first one is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, cell: Cell) -> bool:
        return self._path(cell).exists()

    def keep(self, cell: Cell, season: Season) -> None:
        """Write a season, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        data = {
            "solved": _bits(season.solved),
            "on_time": _bits(season.on_time),
            "models": season.models,
            "lessons": [dict(lesson) for lesson in season.lessons],
        }
        write_text(self._path(cell), json.dumps(data))

    def season(self, cell: Cell) -> Season:
        """A season that was kept."""
        data = json.loads(self._path(cell).read_text(encoding="utf-8"))
        return Season(
            solved=_flags(data["solved"]),
            on_time=_flags(data["on_time"]),
            models=tuple(data["models"]),
            lessons=tuple(data["lessons"]),
        )

    def successes(self, world: str, contenders: Iterable[str], seeds: Sequence[int]) -> Mapping[str, Floats]:
        """On-time success of every request, by contender (S, B + N); contenders that lack a seed are left out."""
        complete = [name for name in contenders if all(Cell(world, name, seed) in self for seed in seeds)]
        return {
            name: np.array(
                [self.season(Cell(world, name, seed)).on_time_success for seed in seeds], np.float64
            )
            for name in complete
        }

    def _path(self, cell: Cell) -> Path:
        return self._folder / f"{cell.world}-{cell.contender}-{cell.seed}.json"


def _bits(flags: Iterable[bool]) -> str:
    return "".join("1" if flag else "0" for flag in flags)


def _flags(bits: str) -> np.ndarray:
    return np.array([bit == "1" for bit in bits])
