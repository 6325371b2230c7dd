"""A look at an application: read its runs, group its failures, find what could be changed, and say how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from inframind.advisor.analysis import Analysis
from inframind.advisor.clustering import find_clusters
from inframind.advisor.current import Document, current_runs
from inframind.advisor.fading import faded
from inframind.advisor.failure import failure_of
from inframind.advisor.options.config import AnalysisConfig
from inframind.advisor.options.looks import look_after
from inframind.advisor.options.notes import of_size
from inframind.advisor.options.proposing import Proposer
from inframind.advisor.options.reading import LogReader
from inframind.advisor.under_rules import under_rules
from inframind.router.actions import ActionSpace
from inframind.router.policy import Policy
from inframind.router.rulebook import RuleBook, roles_in
from inframind.router.rules import RoutingRule
from inframind.traces.records import SOLVED_ONLY, SolvedKeys, Trajectory, solved_of

_NONE: Mapping[str, Sequence[str]] = {}
_UNKNOWN: Mapping[str, Document] = {}


def analyse(
    runs: Sequence[Trajectory],
    *,
    actions: ActionSpace,
    policy: Policy,
    rules: Sequence[RoutingRule] = (),
    configuration_id: str = "",
    keys: SolvedKeys = SOLVED_ONLY,
    exploration: float = 0.0,
    greedy: bool = False,
    is_careful: bool | None = None,
    previous: Analysis | None = None,
    now_s: float,
    rng: np.random.Generator,
    config: AnalysisConfig | None = None,
    endpoints: Mapping[str, Sequence[str]] = _NONE,
    documents: Mapping[str, Document] = _UNKNOWN,
) -> Analysis:
    """What fails in some runs, and what could be changed.

    Slow: for the background, or for a command. Looks at runs alone that chose from what is configured now, see
    `inframind.advisor.current`.

    Args:
        runs: recent runs, in any order.
        actions: what may be chosen now; decisions over anything else predict nothing.
        policy: who serves.
        rules: what it serves under; what they say is not recommended again, nor what contradicts them.
        configuration_id: of the configuration that served most recently.
        keys: which feedback says whether a run was solved.
        exploration: share of decisions that are drawn evenly.
        greedy: whether the policy's best candidate is always taken.
        is_careful: whether the 90 % quantile of a step must fit the time that is left, or the median; None where no
            change is to make more plans too slow.
        previous: the analysis before: a pattern that is found again keeps its id, and what both look at is not tested
            twice as if it were new, see `inframind.advisor.options.looks`.
        now_s: seconds since the Unix epoch.
        rng: breaks ties.
        config: how changes are found and when they are believed in.
        endpoints: names of the servers of each model; those of ``actions`` unless given.
        documents: of the configurations of the runs, by id, as far as they are known.

    Raises:
        ConfigError: a rule speaks of what there is not, or an extra is missing that patterns are found with.
    """
    config = config or AnalysisConfig()
    servers = {model: tuple(endpoints.get(model, facts.endpoints)) for model, facts in actions.models.items()}
    book = RuleBook(rules, actions, servers, roles=roles_in(rules))
    current = current_runs(runs, configuration_id=configuration_id, documents=documents)
    runs = current.runs
    found = find_clusters(runs, keys=keys, previous=previous.clusters if previous else (), rng=rng)
    reader = LogReader(
        actions,
        policy,
        book,
        keys=keys,
        exploration=exploration,
        choosing_share=config.choosing_share,
        greedy=greedy,
        is_careful=is_careful,
    )
    logs = reader.read(runs)
    look, fading = look_after(previous, runs, keys), faded(found.clusters, runs, keys)
    proposer = Proposer(
        logs=logs, actions=actions, book=book, servers=servers, config=config, rng=rng, look=look
    )
    under = under_rules(runs, found.clusters, book.rules, keys)
    arrivals = [run.arrived_at_s for run in runs]
    return Analysis(
        at_s=now_s,
        configuration_id=configuration_id,
        runs=len(runs),
        labelled=sum(solved_of(run.outcomes, keys) is not None for run in runs),
        failures=sum(failure_of(run, keys) is not None for run in runs),
        since_s=min(arrivals, default=now_s),
        until_s=max(arrivals, default=now_s),
        clusters=under.clusters,
        in_force=under.in_force,
        options=proposer.options(fading.lasting),
        notes=(
            *current.notes,
            *fading.notes,
            *found.notes,
            *logs.notes,
            *of_size(logs, config.support.least_effective_size),
        ),
    )
