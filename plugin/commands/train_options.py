"""What `inframind train` is told, and what a run folder keeps of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inframind import __version__
from inframind.arena.engines import LOCAL, EngineConfig
from inframind.arena.scenario import FLEETS
from inframind.arena.training.assembly import LEARNERS, TrainingPlan
from inframind.arena.training.curriculum import QUESTIONS_BY_RATE, Curriculum
from inframind.errors import ConfigError
from inframind.rewards.registry import RewardConfig, reward_named
from inframind.router.learning.config import LearnerConfig

DEFAULT_OUT = Path(".out/training")
EPOCHS, QUICK_EPOCHS, QUICK_SCALE = 30, 3, 0.2
_PATHS = ("config", "items_file")
_NOT_KEPT = ("out", "engine")
"""What may be another when a training goes on."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What is trained, on what; all but ``out`` goes into the run folder's configuration.

    Raises:
        ConfigError: an option is wrong, or two contradict each other.
    """

    out: Path = DEFAULT_OUT
    """The run folder."""
    fleet: str = "reference"
    """``reference`` or ``h100``, in virtual time."""
    config: Path | None = None
    """Configuration of a real fleet, in real time, instead."""
    items_file: Path | None = None
    """JSONL file of questions, half of which are learned from; None generates them."""
    learner: str = "learned"
    """``learned`` or ``published``."""
    reward: str = "on_time"
    """As for `rewards.registry.reward_named`."""
    parameters: Mapping[str, float] = field(default_factory=dict)
    """Of the reward."""
    price: float | None = None
    """What server time costs; None takes the learner's default."""
    epochs: int = EPOCHS
    """Passes over the arrival rates."""
    rates_per_min: tuple[float, ...] = ()
    """Arrivals a minute; empty takes the curriculum's."""
    scale: float = 1.0
    """Times the curriculum's questions per sweep."""
    arrivals: str = "poisson"
    """As for `arena.workload.arrivals_from`."""
    budgets: str = "loguniform:5,300"
    """As for `arena.workload.budgets_from`."""
    sweeps_at_once: int = 1
    """Sweeps that are played by one policy, before anything is learned from them."""
    engine: EngineConfig = LOCAL
    """Where those are played; what is learned does not depend on it."""
    seed: int = 0
    """Of everything that is left to chance."""

    def __post_init__(self) -> None:
        if self.fleet not in FLEETS:
            raise ConfigError("fleet", self.fleet, f"use one of: {', '.join(FLEETS)}")
        if self.learner not in LEARNERS:
            raise ConfigError("learner", self.learner, f"use one of: {', '.join(LEARNERS)}")
        if self.sweeps_at_once < 1:
            raise ConfigError("sweeps_at_once", self.sweeps_at_once, "play at least one")
        if self.sweeps_at_once > 1 and self.config is not None:
            fix = "a real fleet plays one sweep at a time: leave it out"
            raise ConfigError("sweeps_at_once", self.sweeps_at_once, fix)
        if self.engine != LOCAL and self.sweeps_at_once == 1:
            fix = "one sweep at a time leaves nothing to spread: give --sweeps-at-once too, such as 7"
            raise ConfigError("engine", self.engine.name, fix)
        if not self.scale > 0:
            raise ConfigError("scale", self.scale, "give a positive number")
        self._refuse_what_the_published_learner_ignores()
        reward_named(RewardConfig(name=self.reward, parameters=self.parameters))
        self.plan()

    def plan(self) -> TrainingPlan:
        """What is learned, and how."""
        config = LearnerConfig.for_reward(RewardConfig(name=self.reward, parameters=self.parameters))
        if self.price is not None:
            config = replace(config, valuation=replace(config.valuation, price=self.price))
        return TrainingPlan(
            learner=self.learner, config=config, curriculum=self._curriculum(), seed=self.seed
        )

    def _curriculum(self) -> Curriculum:
        known = sorted(QUESTIONS_BY_RATE)
        usual = [QUESTIONS_BY_RATE[rate] for rate in known]
        questions = {
            rate: max(1, round(self.scale * float(np.interp(rate, known, usual))))
            for rate in self.rates_per_min or known
        }
        return Curriculum(epochs=self.epochs, questions_by_rate=questions)

    def _refuse_what_the_published_learner_ignores(self) -> None:
        if self.learner != "published":
            return
        for name, usual in (("reward", "on_time"), ("parameters", {}), ("price", None)):
            if getattr(self, name) != usual:
                raise ConfigError(
                    name, getattr(self, name), "leave it out: the published learner has its own"
                )

    def document(self, facts: Mapping[str, object]) -> dict[str, Any]:
        """Everything that is needed to go on, as plain data.

        Args:
            facts: of the fleet and the questions, so that going on with others is noticed.
        """
        plan = self.plan()
        given = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _NOT_KEPT}
        paths = {name: given[name].resolve() for name in _PATHS if given[name]}
        return {
            "version": __version__,
            "options": plain({**given, **paths}),
            "items_sha256": _digest(self.items_file),
            "facts": plain(facts),
            "learner": plain(plan.config) if self.learner == "learned" else {},
            "curriculum": plain({**asdict(plan.curriculum), "runs": plan.curriculum.runs}),
            "selection": plain(plan.selection),
        }

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], out: Path, engine: EngineConfig = LOCAL
    ) -> TrainOptions:
        """The options that a run folder was started with.

        Raises:
            ConfigError: the folder is of another release, or its questions have changed.
        """
        try:
            given = dict(document["options"])
            for name in _PATHS:
                given[name] = Path(given[name]) if given[name] else None
            options = cls(**{**given, "rates_per_min": tuple(given["rates_per_min"])}, out=out, engine=engine)
        except (KeyError, TypeError) as error:
            raise ConfigError(
                "resume", str(out), f"another release began it ({error}): start anew"
            ) from error
        if document.get("items_sha256") != _digest(options.items_file):
            raise ConfigError("resume", str(options.items_file), "its questions have changed: start anew")
        return options


def parameters_from(texts: Sequence[str]) -> dict[str, float]:
    """``NAME=NUMBER`` as written on the command line.

    Raises:
        ConfigError: something else.
    """
    parameters = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            parameters[name.strip()] = float(number)
        except ValueError:
            raise ConfigError("parameter", text, "write NAME=NUMBER, such as penalty=2") from None
    return parameters


def plain(value: Any) -> Any:
    """Configuration as JSON knows it; sets in order."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {
            str(key) if not isinstance(key, float) else f"{key:g}": plain(one) for key, one in value.items()
        }
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _digest(path: Path | None) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else None
