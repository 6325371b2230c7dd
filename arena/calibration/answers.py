"""Whether a replayed workflow gets it right: the latent-difficulty model, call by call.

What separates these systems from the model's own graphs is how long their answers get, what they quote of each other
and how they were graded; all of it is known from the published code:

* An answer that reaches the token limit has no last line. It answers nothing, and nobody can read it off a quotation.
  Programs are excepted: the first code block counts, which long answers are taken to have written by then.
* MoA and GPTSwarm quote the first 4000 characters of an answer. What a longer one concludes is not seen.
* MATH was graded letter by letter.
* GSM-Hard was graded by the last number after "answer is", and the grader splits numbers at thousands separators.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inframind.arena.calibration.replay import SizedWorkflow
from inframind.arena.calibration.systems import PlannedCall, PlannedWorkflow
from inframind.fleet.context import StepContext
from inframind.rewards.normalise import normalise_math
from inframind.simulator.benchmarks import MATH, benchmark_of
from inframind.simulator.items import Item
from inframind.simulator.mistakes import typical_mistakes
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.reference import ReferenceFleet
from inframind.simulator.spelling import spellings

GSM_HARD = "gsm_hard"

LARGE_KEYS = 0.72
"""Share of GSM-Hard's keys that are 1000 or more in size: 49 of 68, read off four places of the data set."""

SEPARATED_NUMBERS = 0.27
"""How often such a number is written with separators by those who may write as they like: 178 of 668 right answers of
seven open models to GSM8K, in their reasoning (ZeroEval's records, `../shared/data/outcomes/zeroeval`)."""

SEPARATED_BARE_NUMBERS = 0.05
"""The same where only the number is asked for: 33 of 715, in the same replies."""

_SELF_REVIEW = "Reflection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """How published workflows are answered and graded.

    Attributes:
        model: who gets it right, and when.
        parameters: how those who do not get it right choose a wrong answer.
        fleet: where answers are cut off, and how much of them is quoted.
    """

    model: LatentDifficultyModel
    parameters: OutcomeParameters
    fleet: ReferenceFleet

    def is_solved(
        self, workflow: SizedWorkflow, answered: Sequence[bool], item: Item, rng: np.random.Generator
    ) -> bool:
        """Whether the last call of a workflow is graded as right.

        A call without an answer is shown to nobody, and solves nothing. A program that passes the question's examples
        is right. Roles are not told to the model: which ones the published teams had is not known.

        Args:
            workflow: what was asked of whom, and how long the answers were.
            answered: whether each call was answered at all.
            item: the question.
            rng: chance of the answers.
        """
        answers: list[str | None] = []
        for index, call in enumerate(workflow.plan.calls):
            if not answered[index] or self._is_cut_off(workflow.output_tokens[index], item):
                answers.append(None)
                continue
            shown = [
                answer
                for other in call.sees
                if (answer := answers[other]) is not None
                and self._is_quoted(workflow.output_tokens[other], call, item)
            ]
            answers.append(self._answer(call, workflow.plan, item, shown, rng))
        return answers[-1] == item.answer and not self._is_misread(item, workflow.plan, rng)

    def _is_cut_off(self, tokens: int, item: Item) -> bool:
        return item.domain != "code" and tokens >= self.fleet.lengths.max_tokens

    def _is_quoted(self, tokens: int, reader: PlannedCall, item: Item) -> bool:
        """Whether a reader gets to see where an answer of this length ends."""
        return item.domain == "code" or tokens <= self.fleet.quoted_tokens.get(reader.kind, tokens)

    def _answer(
        self,
        call: PlannedCall,
        plan: PlannedWorkflow,
        item: Item,
        shown: Sequence[str],
        rng: np.random.Generator,
    ) -> str:
        right = self.model.probability(item, call.model, _context(call, plan, item), shown)
        if call.passes_examples or rng.random() < right:
            return item.answer
        return self._wrong_answer(item, shown, rng)

    def _wrong_answer(self, item: Item, shown: Sequence[str], rng: np.random.Generator) -> str:
        wrong = Counter(answer for answer in shown if answer != item.answer)
        if wrong and rng.random() < self.parameters.follow:
            return wrong.most_common(1)[0][0]
        mistakes = typical_mistakes(item.question, item.answer)
        weights = np.array(self.parameters.mistake_weights[: len(mistakes)])
        return mistakes[int(rng.choice(len(weights), p=weights / weights.sum()))]

    def _is_misread(self, item: Item, plan: PlannedWorkflow, rng: np.random.Generator) -> bool:
        """Whether the grader takes a right answer for a wrong one."""
        benchmark = benchmark_of(item)
        if benchmark == MATH:
            return bool(rng.random() < self.parameters.respelled_share * _unequal_spellings(item))
        if benchmark == GSM_HARD:
            return bool(rng.random() < LARGE_KEYS * _separated_share(plan))
        return False


def pair(workflows: Sequence[SizedWorkflow], items: Sequence[Item], fleet: ReferenceFleet) -> list[Item]:
    """A question for each workflow, such that longer answers belong to higher levels.

    Lengths are drawn before questions are known. That harder questions take longer is what makes the answers that are
    cut off the ones that would have been wrong anyway.

    Args:
        workflows: what was done, in any order.
        items: as many questions, all of one benchmark.
        fleet: what a usual length is.

    Returns:
        The questions, in the workflows' order.
    """
    by_length = sorted(range(len(workflows)), key=lambda index: _wordiness(workflows[index], items[0], fleet))
    found = list(items)
    for index, item in zip(by_length, sorted(items, key=lambda item: item.level), strict=True):
        found[index] = item
    return found


def _wordiness(workflow: SizedWorkflow, item: Item, fleet: ReferenceFleet) -> float:
    """By how much a workflow's answers are longer than usual: the mean logarithm of the ratio."""
    medians = [fleet.median_tokens(call.model, call.kind, benchmark_of(item)) for call in workflow.plan.calls]
    return float(np.mean(np.log(np.array(workflow.output_tokens) / np.array(medians))))


def _unequal_spellings(item: Item) -> float:
    """Share of the answer's other spellings that are not the key's, letter by letter, after normalisation."""
    others = spellings(item.question, item.answer)
    if not others:
        return 0.0
    key = normalise_math(item.answer)
    return sum(normalise_math(other) != key for other in others) / len(others)


def _separated_share(plan: PlannedWorkflow) -> float:
    """MasRouter's prompts ask for the bare number, those of the aggregators for an answer."""
    return SEPARATED_NUMBERS if plan.calls[-1].kind == "aggregate" else SEPARATED_BARE_NUMBERS


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
