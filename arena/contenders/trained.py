"""Contenders that were trained before: a policy's file, a run folder, or one of each per seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

from inframind.arena.contenders.blind import HiddenLoad
from inframind.arena.contenders.contender import Contender, Setting
from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.decide import DecideConfig
from inframind.router.features import Sight
from inframind.router.latency import LatencyModel
from inframind.router.latency_learned import LearnedLatencyModel
from inframind.router.latency_state import LatencyState
from inframind.router.learning.checkpoint import kind_of
from inframind.router.policy import Policy
from inframind.router.policy_file import StoredPolicy, load_policy
from inframind.router.policy_shipped import shipped_policy
from inframind.router.published.policy_file import KIND as PUBLISHED_KIND
from inframind.router.published.policy_file import load_published

TRAINED, HIDDEN_LOAD = "trained:", "hidden-load:"
POLICY_FILE = "policy.safetensors"
SEED_FOLDER = "seed-*"
BOLD = DecideConfig(deadline_quantile=0.5)
"""A policy that values risk itself is only kept from what is likelier to be late than not."""


class Stored(Protocol):
    """A policy's file, whoever learned it."""

    @property
    def latency(self) -> LatencyState | None:
        """What was learned of the fleet's speed."""
        ...

    def bind(self, actions: ActionSpace, *, name: str) -> Policy:
        """The policy over a fleet."""
        ...


def learned() -> Contender:
    """The policy that comes with the package, trained on the reference fleet."""
    stored = shipped_policy()

    def make(setting: Setting) -> Policy:
        return stored.bind(setting.actions)

    return Contender(
        name="learned",
        family="learned",
        summary="the policy that comes with the package, trained on the reference fleet",
        make=make,
        latency=shipped_latency,
        decide=BOLD,
    )


def shipped_latency(setting: Setting) -> LatencyModel:
    """A latency model that knows the reference fleet as the shipped policy's training left it."""
    return _latency(shipped_policy().latency, setting)


def trained(path: str, name: str) -> Contender:
    """A policy that ``inframind train`` wrote.

    Args:
        path: its file, a run folder, or a folder of run folders ``seed-0``, ``seed-1`` ..., of which each workload
            takes the one of its own seed.
        name: name as on the command line.
    """

    def make(setting: Setting) -> Policy:
        return _load(policy_path(Path(path), setting.seed)).bind(setting.actions, name=name)

    def latency(setting: Setting) -> LatencyModel:
        return _latency(_load(policy_path(Path(path), setting.seed)).latency, setting)

    return Contender(
        name=name,
        family="learned",
        summary=f"trained: {path}",
        make=make,
        latency=latency,
        decide=BOLD,
    )


def hidden_load(path: str, name: str) -> Contender:
    """What `trained` would be on a fleet whose load nobody shows it.

    Args:
        path: as for `trained`.
        name: name as on the command line.

    Raises:
        ConfigError: the policy is not one of ours, when it is made.
    """

    def stored(setting: Setting) -> StoredPolicy:
        return load_policy(policy_path(Path(path), setting.seed))

    def make(setting: Setting) -> Policy:
        return replace(stored(setting), sight=Sight(sees_load=False)).bind(setting.actions, name=name)

    return Contender(
        name=name,
        family="learned",
        summary=f"trained: {path}, its fleet's load hidden from it",
        make=make,
        latency=lambda setting: HiddenLoad(_latency(stored(setting).latency, setting)),
        decide=BOLD,
    )


def policy_path(path: Path, seed: int) -> Path:
    """The policy's file for a seed.

    Raises:
        ConfigError: there is none.
    """
    if path.is_file():
        return path
    folders = sorted(path.glob(SEED_FOLDER), key=lambda one: int(one.name.partition("-")[2]))
    file = (folders[seed % len(folders)] if folders else path) / POLICY_FILE
    if not file.is_file():
        raise ConfigError("contender", str(path), f"there is no {POLICY_FILE}: run `inframind train` first")
    return file


def _load(file: Path) -> Stored:
    return load_published(file) if kind_of(file) == PUBLISHED_KIND else load_policy(file)


def _latency(state: LatencyState | None, setting: Setting) -> LatencyModel:
    return LearnedLatencyModel(setting.actions.models, setting.actions.strategies, state=state)
