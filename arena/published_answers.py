"""Whether a replayed workflow gets it right: the latent-difficulty model, call by call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from inframind.arena.calibration import Episode
from inframind.arena.published import PlannedCall, PlannedWorkflow
from inframind.fleet.context import StepContext
from inframind.simulator.benchmarks import MATH, benchmark_of
from inframind.simulator.items import Item
from inframind.simulator.mistakes import typical_mistakes
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.spelling import spellings

_SELF_REVIEW = "Reflection"


def is_solved(
    episode: Episode,
    item: Item,
    model: LatentDifficultyModel,
    parameters: OutcomeParameters,
    rng: np.random.Generator,
) -> bool:
    """Whether the last call of an episode answers rightly.

    A call without an answer is shown to nobody, and solves nothing. A program that passes the question's examples is
    right. MATH was graded letter by letter, so a right
    answer in another spelling than the key's does not count there. Roles are not told to the model: which ones the
    published teams had is not known.

    Args:
        episode: what was asked of whom, and which calls were answered.
        item: the question.
        model: who gets it right, and when.
        parameters: how those who do not get it right choose a wrong answer.
        rng: chance of the answers.
    """
    answers: list[str | None] = []
    for call, is_answered in zip(episode.plan.calls, episode.answered, strict=True):
        shown = [answer for other in call.sees if (answer := answers[other]) is not None]
        if not is_answered:
            answers.append(None)
        elif call.passes_examples or rng.random() < model.probability(
            item, call.model, _context(call, episode.plan, item), shown
        ):
            answers.append(item.answer)
        else:
            answers.append(_wrong_answer(item, shown, parameters, rng))
    is_right = answers[-1] == item.answer
    return is_right and not (benchmark_of(item) == MATH and _is_respelled(item, parameters, rng))


def _is_respelled(item: Item, parameters: OutcomeParameters, rng: np.random.Generator) -> bool:
    return bool(spellings(item.question, item.answer)) and rng.random() < parameters.respelled_share


def _context(call: PlannedCall, plan: PlannedWorkflow, item: Item) -> StepContext:
    return StepContext(
        question_id=item.item_id,
        topology=_SELF_REVIEW if call.kind == "review" else plan.topology,
        node=call.node,
        position=call.position,
        team_size=1 + max(other.position for other in plan.calls),
        round=call.round,
        strategy=call.strategy,
    )


def _wrong_answer(
    item: Item, shown: Sequence[str], parameters: OutcomeParameters, rng: np.random.Generator
) -> str:
    wrong = Counter(answer for answer in shown if answer != item.answer)
    if wrong and rng.random() < parameters.follow:
        return wrong.most_common(1)[0][0]
    mistakes = typical_mistakes(item.question, item.answer)
    weights = np.array(parameters.mistake_weights[: len(mistakes)])
    return mistakes[int(rng.choice(len(weights), p=weights / weights.sum()))]
