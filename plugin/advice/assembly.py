"""From settings to a desk."""

from __future__ import annotations

import math
import tomllib
from functools import cache
from pathlib import Path

import numpy as np

from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.recommending import Ranking, RankingConfig
from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.fleet.endpoints import group_by_model
from inframind.plugin.advice.analysts import Analyst, AnalystConfig, InForce
from inframind.plugin.advice.config_file import ConfigFile
from inframind.plugin.advice.desk import AdviceDesk
from inframind.plugin.advice.measurer import MeasureConfig, Measurer
from inframind.plugin.advice.serving import Serving
from inframind.plugin.advice.stories import Stories
from inframind.plugin.advice.toml_edit import FileEdit, advice_in
from inframind.plugin.advice.versions import Versions
from inframind.plugin.build import book_to_check, parts_of, registry_of, stored_policy
from inframind.plugin.config import ENV_PREFIX, Settings, settings_from
from inframind.plugin.config_advisor import AdvisorSection
from inframind.plugin.online.hearing import hearing_of
from inframind.plugin.rule_names import unknown_names
from inframind.router.actions import ActionSpace
from inframind.router.policy import policy_by_name
from inframind.router.rulebook import RuleBook, after_own
from inframind.traces.outcome_graph import OutcomeGraph
from inframind.traces.outcome_graphs import graph_of
from inframind.traces.records import SolvedKeys
from inframind.traces.shelf import Shelf
from inframind.traces.shelves import shelf_of
from inframind.traces.store import TraceStore


def advice_desk(
    settings: Settings,
    store: TraceStore,
    *,
    clock: Clock,
    rng: np.random.Generator,
    file: Path | None = None,
    actions: ActionSpace | None = None,
    book: RuleBook | None = None,
    measures: bool = True,
    graph: OutcomeGraph | None = None,
    shelf: Shelf | None = None,
) -> AdviceDesk:
    """Where advice is made and decided on as the section ``[advisor]`` says. Asks no server anything.

    Args:
        settings: the configuration.
        store: where traces are.
        clock: time.
        rng: all chance there is.
        file: from which the configuration was read; None where there is none.
        actions: what may be chosen, where somebody knows it already.
        book: rules over it, likewise; its own rules say nothing here.
        measures: whether it measures what was accepted; that reads all runs of a trial.
        graph: where advice is, instead of the store's own.
        shelf: where versions are, instead of the store's own.

    Raises:
        ConfigError: the store has no graph, or settings contradict each other.
    """
    graph, shelf = graph or graph_of(store), shelf or shelf_of(store)
    ranking = Ranking(_ranking_config(settings.advisor))
    stories = Stories(graph, ranking)
    versions = Versions(shelf, lambda: stored_policy(settings.policy), clock)

    @cache
    def space() -> ActionSpace:
        return actions or action_space_of(settings)

    @cache
    def rule_book() -> RuleBook:
        return book or book_to_check(settings, registry_of(settings))

    analyst = Analyst(
        store,
        graph,
        actions=space,
        in_force=lambda: _in_force(settings, shelf, versions, space()),
        config=_analyst_config(settings),
        clock=clock,
        rng=rng,
    )
    measurer = Measurer(store, graph, shelf, stories, _measure_config(settings), clock)
    return AdviceDesk(
        ranking=ranking,
        stories=stories,
        analyst=analyst,
        measurer=measurer if measures else None,
        serving=Serving(shelf, versions, stories, clock) if settings.online.enabled else None,
        file=ConfigFile(file, require_valid, clock) if file is not None else None,
        book=rule_book,
        clock=clock,
        rng=rng,
    )


async def _in_force(settings: Settings, shelf: Shelf, versions: Versions, actions: ActionSpace) -> InForce:
    """Who decides now, and under which rules."""
    section = settings.policy
    if section.name != "learned":
        return InForce(
            policy_by_name(section.name, quality_floor=section.quality_floor), settings.own_rules()
        )
    serving = (await shelf.rollout()).serving if settings.online.enabled else ""
    stored = await versions.stored(serving)
    return InForce(stored.bind(actions), after_own(settings.own_rules(), stored.rules))


def _ranking_config(section: AdvisorSection) -> RankingConfig:
    return RankingConfig(
        mode="learned" if section.mode == "auto" else section.mode,
        most=section.most,
        patience_s=section.patience_s,
        resumed_at_s=section.resumed_at.timestamp() if section.resumed_at else -math.inf,
    )


def _analyst_config(settings: Settings) -> AnalystConfig:
    section, decide = settings.advisor, settings.decide_config()
    return AnalystConfig(
        last=section.last,
        window_s=section.window_s,
        keys=SolvedKeys(settings.feedback.solved_keys),
        exploration=decide.exploration,
        greedy=decide.greedy,
        is_careful=decide.is_careful,
        shares_segments=section.segments == "shared",
        analysis=AnalysisConfig(margin=section.margin),
    )


def _measure_config(settings: Settings) -> MeasureConfig:
    return MeasureConfig(
        keys=SolvedKeys(settings.feedback.solved_keys),
        hearing=hearing_of(settings),
        settle_s=settings.online.gate.settle_s,
        window_s=settings.advisor.window_s,
        is_tried=settings.online.enabled,
        margin=settings.advisor.margin,
    )


def action_space_of(settings: Settings) -> ActionSpace:
    """What may be chosen, as far as the configuration alone says it.

    Raises:
        ConfigError: settings that contradict each other.
    """
    return parts_of(settings, registry_of(settings)).action_space(group_by_model(settings.endpoint_specs()))


def require_valid(edit: FileEdit) -> None:
    """Check that an application can be made of a file as it would be, with its rules, and that those to be added fit.

    Earlier ones by advice may speak of what is gone meanwhile. Topologies and roles that an application adds in code
    are not known here.

    Raises:
        ConfigError: it does not load, a rule speaks of what there is not, or the environment has other rules.
    """
    values = tomllib.loads(edit.after)
    settings = settings_from(values, base=edit.path.parent)
    written = [rule.get("advice", "") for rule in values.get("rules", ())]
    if [rule.advice for rule in settings.rules] != written:
        fix = "the rules of this variable are read instead of the file's: unset it, or add these rules to it by hand"
        raise ConfigError("environment", f"{ENV_PREFIX}RULES", fix)
    book, before = book_to_check(settings, registry_of(settings)), advice_in(tomllib.loads(edit.before))
    to_check = [rule for rule in settings.rules if rule.advice not in before]
    for unknown in (one for rule in to_check for one in unknown_names(book, rule)):
        if unknown.addition is None:
            raise unknown.error
