"""Question sets that published results speak of: generated items whose difficulty is drawn from a population.

The difficulty model knows a benchmark by the first part of an item's id (``gsm_hard/percent/3/17``); ids of
generated and loaded items name none, and count as MATH. A population moves and stretches the difficulty that the
same item would have in MATH, and says which share of the answer keys is right at all.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from inframind.errors import ConfigError
from inframind.simulator.items import Item, generate_items

MATH = "math"

_DATA = Path(__file__).with_name("benchmarks.toml")
_WHOLE_NUMBER = re.compile(r"-?[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """How hard a benchmark's questions are, in units of MATH's own difficulty.

    Attributes:
        mean: difficulty of its average question; MATH's is 0.
        spread: standard deviation over MATH's.
        ceiling: share of questions whose key is right; nobody solves the others.
    """

    mean: float = 0.0
    spread: float = 1.0
    ceiling: float = 1.0

    def __post_init__(self) -> None:
        if self.spread < 0:
            raise ConfigError("spread", self.spread, "give 0 or more")
        if not 0 <= self.ceiling <= 1:
            raise ConfigError("ceiling", self.ceiling, "give a share from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """What a benchmark's questions look like."""

    domain: str = "math"
    fits: Callable[[Item], bool] = lambda item: True


_RECIPES: Mapping[str, _Recipe] = MappingProxyType(
    {
        MATH: _Recipe(),
        "gsm_hard": _Recipe(fits=lambda item: _WHOLE_NUMBER.fullmatch(item.answer) is not None),
        "humaneval": _Recipe(domain="code"),
    }
)

BENCHMARKS: tuple[str, ...] = tuple(_RECIPES)
"""Names of the benchmarks that can be generated."""


def benchmark_items(name: str, n: int, seed: int) -> tuple[Item, ...]:
    """``n`` items of one benchmark with pairwise different questions; the same name and seed give the same items.

    Items of ``math`` are those of `generate_items`, recognised by their id alone. The others must be listed in
    the `AnswerKey` that is to know them. Those of ``gsm_hard`` have whole numbers as answers; those of
    ``humaneval`` stand in for programming tasks: they carry the domain ``code`` and a short answer, since nothing
    here runs programs.

    Raises:
        ConfigError: there is no such benchmark.
    """
    if name not in _RECIPES:
        raise ConfigError("benchmark", name, f"choose one of: {', '.join(BENCHMARKS)}")
    if name == MATH:
        return generate_items(n, seed)
    recipe = _RECIPES[name]
    n_drawn = n
    while True:  # a longer draw begins with the shorter one, so that asking for more keeps what was there
        fitting = [item for item in generate_items(n_drawn, seed) if recipe.fits(item)]
        if len(fitting) >= n:
            return tuple(_of_benchmark(item, name, recipe.domain) for item in fitting[:n])
        n_drawn *= 2


def benchmark_of(item: Item) -> str:
    """The benchmark that an item's id names, or ``math``."""
    prefix = item.item_id.partition("/")[0]
    return prefix if prefix in _RECIPES else MATH


@functools.cache
def shipped_populations() -> Mapping[str, Population]:
    """What ``benchmarks.toml`` says about each benchmark, by name."""
    data: dict[str, Any] = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return {name: Population(**values) for name, values in data["populations"].items()}


def _of_benchmark(item: Item, name: str, domain: str) -> Item:
    return replace(item, item_id=f"{name}/{item.item_id.removeprefix('gen/')}", domain=domain)
