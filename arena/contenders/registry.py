"""Who can take part, by name: the built-in contenders, those with a parameter, and a user's own.

A user's own is written ``module:attribute``. The attribute is a `Contender`; or a class whose instances are policies
and that is made without arguments; or a function from a `Setting` to a policy. The module must be importable. Only a
`Contender` of the family ``oracle`` is told the truth.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import cast

from inframind.arena.contenders.constant import FIXED, best_constant, fixed, fixed_arms, mixture
from inframind.arena.contenders.contender import Contender, Setting
from inframind.arena.contenders.oracle import oracle
from inframind.arena.contenders.published import gptswarm, masrouter, moa
from inframind.arena.contenders.trained import (
    HIDDEN_LOAD,
    TRAINED,
    hidden_load,
    learned,
    shipped_latency,
    trained,
)
from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.encoder import HashingEncoder
from inframind.router.policy import JustEnoughPolicy, Policy, UniformPolicy
from inframind.router.policy_fixed import ARM_FORM
from inframind.router.policy_knn import KnnPolicy, NeighbourQuality, PricedLatency, Score, on_time_score

FIXED_GROUP = "fixed"
"""Name of a group: every single call, and one small team per topology."""
POLICY_METHODS = ("plan", "role", "step", "pace")


def random_choice() -> Contender:
    """Uniform over everything that is allowed: topologies, roles, models and strategies."""
    return Contender(
        name="random", family="blind", summary="uniform over everything", make=lambda setting: UniformPolicy()
    )


def just_enough() -> Contender:
    """`JustEnoughPolicy`: assumes that a model's quality is what its size suggests."""
    return Contender(
        name="just-enough",
        family="heuristic",
        summary="the cheapest call that is good enough by its model's size and in time",
        make=lambda setting: JustEnoughPolicy(),
    )


def knn(score: Score, name: str, summary: str) -> Contender:
    """Quality from the nearest training questions, latency from the live map: `KnnPolicy`."""

    def make(setting: Setting) -> Policy:
        questions = [item.question for item in setting.training.items]
        quality = NeighbourQuality(questions, setting.training.solved, HashingEncoder())
        return KnnPolicy(quality, score, name=name)

    return Contender(name=name, family="heuristic", summary=summary, make=make)


def knn_warm() -> Contender:
    """`knn_on_time` with the latency model that was trained with our policy: how much of our lead is that model."""
    summary = "knn-on-time, given the latency model that comes with the package"
    return replace(knn(on_time_score, "knn-on-time-warm", summary), latency=shipped_latency)


def knn_on_time() -> Contender:
    """`KnnPolicy` that maximises expected on-time success: the rival that a learned router has to beat."""
    return knn(on_time_score, "knn-on-time", "neighbours' quality times the chance to be in time")


_BUILT_IN: Mapping[str, Callable[[], Contender]] = MappingProxyType(
    {
        "best-constant": best_constant,
        "random": random_choice,
        "masrouter": masrouter,
        "moa": moa,
        "gptswarm": gptswarm,
        "just-enough": just_enough,
        "knn-on-time": knn_on_time,
        "knn-on-time-warm": knn_warm,
        "learned": learned,
        "oracle": oracle,
    }
)


@dataclass(frozen=True, slots=True)
class _WithShare:
    """A kind of contender with one parameter from 0 to 1, and what that is when nothing is said."""

    summary: str
    default: float
    make: Callable[[float, str], Contender]

    def contender(self, name: str, text: str) -> Contender:
        """The contender whose parameter is ``text``; "" takes the default."""
        return self.make(_share(name, text) if text else self.default, name)


_WITH_SHARE: Mapping[str, _WithShare] = MappingProxyType(
    {
        "mixture": _WithShare(
            "two single calls by a coin, a share of the way from the fastest to the best", 0.5, mixture
        ),
        "knn": _WithShare(
            "(1 - l) quality - l latency, quality from similar questions, as HW-Router scores",
            0.5,
            lambda price, name: knn(
                PricedLatency(price), name, f"neighbours' quality less {price:g} x share of the time left"
            ),
        ),
    }
)

DEFAULT_CONTENDERS: tuple[str, ...] = (
    "best-constant",
    "random",
    "mixture",
    "masrouter",
    "moa",
    "gptswarm",
    "just-enough",
    "knn",
    "knn-on-time",
    "learned",
    "oracle",
)
"""Names of the contenders of a run that names none; what learns is added where it is trained."""


def contenders_by_name(names: Iterable[str]) -> tuple[Contender, ...]:
    """The contenders of these names, in their order; `expand_groups` first, where there may be groups.

    Raises:
        ConfigError: an unknown name, a group, one that is there twice, or a parameter that cannot be read.
    """
    found: dict[str, Contender] = {}
    for name in names:
        contender = contender_by_name(name)
        if contender.name in found:
            raise ConfigError("contender", contender.name, "name every contender once")
        found[contender.name] = contender
    return tuple(found.values())


def check_names(names: Iterable[str]) -> None:
    """Whether there are contenders of these names, before it is known what may be chosen; groups pass.

    Raises:
        ConfigError: as `contenders_by_name`.
    """
    contenders_by_name(name for name in names if name != FIXED_GROUP)


def expand_groups(names: Iterable[str], actions: ActionSpace) -> tuple[str, ...]:
    """The names, with `FIXED_GROUP` replaced by those of the arms that this space has."""
    expanded: list[str] = []
    for name in names:
        expanded += [arm.name for arm in fixed_arms(actions)] if name == FIXED_GROUP else [name]
    return tuple(expanded)


def contender_by_name(name: str) -> Contender:
    """The contender of that name; see `describe_contenders` for what there is.

    Raises:
        ConfigError: there is none, its parameter cannot be read, or an import fails.
    """
    kind, colon, parameter = name.partition(":")
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    if kind in _WITH_SHARE and bool(colon) == bool(parameter):
        return _WITH_SHARE[kind].contender(name, parameter)
    if name.startswith(TRAINED) and parameter:
        return trained(parameter, name)
    if name.startswith(HIDDEN_LOAD) and parameter:
        return hidden_load(parameter, name)
    if name.startswith(FIXED):
        if parameter.count("/") < 3:
            raise ConfigError("contender", name, f"write {FIXED}{ARM_FORM}")
        return fixed(parameter)
    if name == FIXED_GROUP:
        raise ConfigError("contender", name, "this is a group of contenders: name it where several may stand")
    if parameter:
        return _imported(name, kind, parameter)
    raise ConfigError("contender", name, f"use one of: {', '.join(describe_contenders())}")


def describe_contenders() -> Mapping[str, str]:
    """One line per contender, by the form that its name takes on the command line."""
    lines = {name: make().summary for name, make in _BUILT_IN.items()}
    for kind, with_share in _WITH_SHARE.items():
        lines[f"{kind}[:<0 to 1>]"] = f"{with_share.summary}; {with_share.default:g} unless given"
    lines[FIXED_GROUP] = "a group: every single call, and one small team per topology of two models"
    lines[FIXED + ARM_FORM] = "always the same, such as fixed:IO/1/llama-3.1-8b/Plain"
    lines[TRAINED + "<path>"] = "a policy that `inframind train` wrote: its file or its folder"
    lines[HIDDEN_LOAD + "<path>"] = "the same, shown an idle fleet whatever the load"
    lines["<module>:<name>"] = "your own: a Contender, a policy class, or a function from Setting to policy"
    return lines


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigError("contender", name, "give a number from 0 to 1 after the colon")
    return share


def _imported(name: str, module_name: str, attribute: str) -> Contender:
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        known = ", ".join(describe_contenders())
        raise ConfigError("contender", name, f"use one of: {known} ({error})") from error
    found = getattr(module, attribute, None)
    if found is None:
        raise ConfigError("contender", name, f"{module_name} has no {attribute!r}")
    if isinstance(found, Contender):
        return found
    if not callable(found):
        raise ConfigError(
            "contender", name, "name a Contender, a policy class, or a function from Setting to policy"
        )
    summary = (found.__doc__ or "a user's own policy").strip().partition("\n")[0]
    return Contender(name=name, family="heuristic", summary=summary, make=_maker(name, found))


def _maker(name: str, found: Callable[..., object]) -> Callable[[Setting], Policy]:
    def make(setting: Setting) -> Policy:
        policy = found() if isinstance(found, type) else found(setting)
        missing = [method for method in POLICY_METHODS if not callable(getattr(policy, method, None))]
        if missing:
            raise ConfigError("contender", name, f"a policy needs the methods {', '.join(missing)}")
        return cast(Policy, policy)

    return make
