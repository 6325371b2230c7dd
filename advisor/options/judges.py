"""Who gives verdicts, and on what: where some answers are judged more often, what is right cannot be compared.

What that does to a change is looked at for each change (`inframind.advisor.options.doubts`); here people are told what
to do about it, whatever is offered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from inframind.advisor.options.doubts import MATERIAL
from inframind.advisor.options.logs import Coded, Logs, Mask
from inframind.traces.advice import METRICS
from inframind.traces.records import Outcome, SolvedKeys

_SOLVED, _ON_TIME = METRICS.index("solved"), METRICS.index("on_time")
_TELLING_Z = 4.0
"""Standard errors from which on it is told of: everything that can be chosen is looked at."""
_MOST_TOLD = 3
_FEWEST = 30


def judge_of(outcomes: Sequence[Outcome], keys: SolvedKeys) -> str:
    """Who gave the verdict that counts, such as ``user (thumbs)``; "" where there is none.

    Graders and people are told apart by what stands before the colon of a source: ``grader:math`` and ``grader:code``
    are one, since domains are told apart anyway.
    """
    latest = {outcome.key: outcome for outcome in outcomes if outcome.score is not None}
    found = next((latest[key] for key, _ in keys.thresholds if key in latest), None)
    return "" if found is None else f"{found.source.partition(':')[0]} ({found.key})"


def of_rates(logs: Logs, models: Sequence[str], strategies: Sequence[str]) -> Iterator[str]:
    """Of models, strategies and topologies whose runs surely have more verdicts than others of their domain, or fewer.

    Args:
        logs: the runs.
        models: of each candidate of a step (C).
        strategies: the same.
    """
    in_time_R = (logs.value_RM[:, _ON_TIME] > 0) & ~logs.is_blind_RM[:, _SOLVED]
    weight_R, known_R = logs.weight_RM[:, _SOLVED], logs.weight_RM[:, _SOLVED] > 0
    found = []
    for name, has_R in _chosen(logs, models, strategies).items():
        these_R, others_R = has_R & in_time_R, ~has_R & in_time_R
        if min(these_R.sum(), others_R.sum()) < _FEWEST:
            continue
        off_n = weight_R[these_R] - 1
        error = float(np.sqrt((off_n**2).sum()))
        z = abs(float(off_n.sum())) / error if error > 0 else 0.0
        apart = abs(float(weight_R[these_R].mean() - weight_R[others_R].mean()))
        if z >= _TELLING_Z and apart >= MATERIAL:
            found.append(
                (-z, f"{name} ({known_R[these_R].mean():.0%}, others {known_R[others_R].mean():.0%})")
            )
    if found:
        told = ", ".join(text for _, text in sorted(found)[:_MOST_TOLD])
        yield (
            f"Runs in time get a verdict more often or less with {told}: what a change there would bring to success "
            "is not predicted. Have graders judge a share of all runs, whatever answered."
        )


def _chosen(logs: Logs, models: Sequence[str], strategies: Sequence[str]) -> Mapping[str, Mask]:
    """Which runs chose what for any of their steps (R)."""
    steps = logs.steps
    columns: list[tuple[str, Coded]] = [
        (noun, Coded.of(list(names)).at(steps.chosen_N))
        for noun, names in (("model", models), ("strategy", strategies))
    ]
    columns.append(("topology", steps.topology))
    return {
        f"{noun} {name}": np.bincount(steps.run_N[column.code_N == code], minlength=len(logs)) > 0
        for noun, column in columns
        for code, name in enumerate(column.names)
        if name
    }
