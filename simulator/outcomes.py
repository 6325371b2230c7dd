"""Who gets it right: a latent-difficulty model of simulated language models, in the manner of item response theory.

One model alone answers question q rightly with

    logit P = ability[model, strategy] + effect[topology] + fit[role, domain] + clash[role, strategy]
              - slope * d(q) + quirk(model, q)
    d(q) = mean + spread * (level_step * (level - mean_level) + subject + item_spread * z(q))

where mean and spread belong to the question's benchmark (0 and 1 for MATH, see `inframind.simulator.benchmarks`), and
z(q) and the quirk are normal draws hashed from the question's text. Level and subject leave their mark in the wording,
z and the quirk leave none: an embedding can explain about half of what decides. All numbers are `OutcomeParameters`,
all of them swappable. What they assume, and on what grounds (docs/outcomes.md has the figures):

* **Strategy by model.** An instruction to be brief or thorough costs accuracy against the plain prompt, and costs a
  skilled model more (recorded: direct answers against steps of GPT-3.5 and GPT-4 on AQuA and SAT). A reasoning model
  earns its advantage by thinking its own way, hence with the plain prompt only; that is what lets the published policy
  that mostly calls the 32B stand ten points above the others while the 32B with DeepThink stays at 65 %.
* **Subject.** Differences between MATH's subjects at one level are those recorded for 39 models on level 5.
* **Whoever sees answers**, in the prompt itself, keeps a right one with a probability that grows with skill, times
  the share of the right answer's weight, where an answer that n have given weighs n to the power of
  ``majority_pull``. A weak judge ruins more. What was lost that way it rescues, and what all have got wrong it
  repairs, in proportion to its own solving power: debate helps the strong on hard questions and the weak hardly
  (recorded: small models' debates). Others are led astray by agreement on a wrong answer, and repair less than they
  rescue; a reasoning model that thinks is not, and repairs as much.
* **Self-review** repairs much less than a peer does (recorded: self-refinement repairs no more than asking again); a
  judge, asked to choose, solves a little less by itself; and agents further down a line are anchored by what has been
  handed on. The judge's share is fitted, the other two are assumptions.
* **Mistakes** are drawn from the question's own few typical ones, so that failing models often agree, and whoever
  fails in sight of a wrong answer mostly repeats it.
* **Label noise.** Where a benchmark's key is wrong, nobody is right.
* **Spelling.** Some right answers to mathematical questions are spelled differently from the key, so that graders
  and votes have something to decide; grading by string costs about six points, close to what a public leaderboard
  gained by leaving it.

All chance comes from ``request.seed``, the question, the model and the step (node, seat, round), never from the
order of calls; it does not depend on strategy, role or topology, so that those compare on common random numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from statistics import NormalDist

from inframind.fleet.context import StepContext
from inframind.rewards.normalise import canonical_answer
from inframind.simulator.benchmarks import Population, benchmark_of
from inframind.simulator.items import Item
from inframind.simulator.mistakes import typical_mistakes
from inframind.simulator.model import SimReply, SimRequest
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.prompt_reading import AnswerKey, user_text, visible_answers
from inframind.simulator.spelling import canonical_spellings, spellings
from inframind.simulator.writing import Assignment, Manner, write

STEP_BY_STEP_TOPOLOGY = "CoT"

SELF_REVIEW_TOPOLOGY = "Reflection"

_AS_MATH = Population()
_MAX_CACHED_ITEMS = 4096
_NORMAL = NormalDist()
_UNKNOWN_ID_PREFIX = "unknown/"


class LatentDifficultyModel:
    """A `LanguageModel` whose answers are right with a known probability.

    Questions that the key does not know get some plausible number, the same from every model that gets it "right".

    Args:
        key: the questions that it can know the answer to.
        parameters: what is assumed about models, strategies and teams.
    """

    def __init__(self, key: AnswerKey, parameters: OutcomeParameters | None = None) -> None:
        self._key = key
        self._parameters = parameters if parameters is not None else OutcomeParameters()
        self._facts_of: dict[Item, _Facts] = {}

    def reply(self, request: SimRequest) -> SimReply:
        """The whole answer to one request; a pure function of it."""
        context = request.context if request.context is not None else StepContext()
        prompt = user_text(request.messages)
        item = self._key.find(context.question_id, prompt) or _unknown_item(prompt)
        shown = visible_answers(prompt, item.question)
        draws = _Draws(item, request, context)
        answer = self._answer(item, request.model, context, shown, draws)
        return write(self._assignment(item, answer, request.model, context, shown), draws.rng())

    def solo_probability(
        self, item: Item, model: str, strategy: str, *, role: str = "", topology: str = ""
    ) -> float:
        """P(right answer) of one model that sees nothing but the question."""
        parameters = self._parameters
        facts = self._facts(item)
        if not facts.has_right_key:
            return 0.0
        ability = self._ability(model, strategy, is_step_by_step=topology == STEP_BY_STEP_TOPOLOGY)
        fit = parameters.roles.get(item.domain, {}).get(role, 0.0)
        fit += parameters.clashes.get(role, {}).get(strategy, 0.0)
        return _sigmoid(ability + fit - facts.hardness + facts.quirk(model))

    def probability(self, item: Item, model: str, context: StepContext, shown: Sequence[str] = ()) -> float:
        """P(right answer) of a step that is shown the answers ``shown``."""
        return self._probability(item, model, context, _Votes.count(item, shown) if shown else None)

    def _probability(self, item: Item, model: str, context: StepContext, votes: _Votes | None) -> float:
        solo = self.solo_probability(
            item, model, context.strategy, role=context.role, topology=context.topology
        )
        if votes is None or solo == 0.0:
            return solo
        return self._team_probability(
            solo * self._share_left(context), self._thought(model, context), model, votes
        )

    def _ability(self, model: str, strategy: str, *, is_step_by_step: bool) -> float:
        """Logit on a question of mean difficulty."""
        parameters = self._parameters
        traits, manner = parameters.model_traits(model), parameters.strategy_traits(strategy)
        ability = traits.skill * (1 + manner.effect_per_skill) + manner.effect
        if traits.is_reasoning:
            ability += manner.thinking_effect
        if is_step_by_step:
            ability += parameters.step_by_step_effect
        return ability

    def _share_left(self, context: StepContext) -> float:
        """How much of its own solving power a model brings to answers that it is shown."""
        parameters = self._parameters
        if context.node == "judge":
            return parameters.judging
        if context.topology == SELF_REVIEW_TOPOLOGY:
            return parameters.self_review
        if context.round > 1:
            return 1.0
        return parameters.anchoring ** max(0, context.position - 1)

    def _thought(self, model: str, context: StepContext) -> float:
        """What thinking adds to the skill of this model, with this strategy; 0 for one that does not think."""
        parameters = self._parameters
        if not parameters.model_traits(model).is_reasoning:
            return 0.0
        return parameters.strategy_traits(context.strategy).thinking_effect

    def _team_probability(self, power: float, thought: float, model: str, votes: _Votes) -> float:
        parameters = self._parameters
        rescue = parameters.rescue * power
        if votes.right == 0:
            return rescue if thought > 0 else parameters.repair * power
        firmness = self._firmness(parameters.model_traits(model).skill + thought)
        return rescue + (max(rescue, firmness) - rescue) * votes.weight_of_right(parameters.majority_pull)

    def _firmness(self, skill: float) -> float:
        """P(an answer that is right, and the only one, is kept)."""
        return _sigmoid(self._parameters.keep + self._parameters.keep_per_skill * skill)

    def _facts(self, item: Item) -> _Facts:
        facts = self._facts_of.get(item)
        if facts is None:
            if len(self._facts_of) >= _MAX_CACHED_ITEMS:
                self._facts_of.clear()
            facts = self._facts_of[item] = _Facts.of(item, self._parameters)
        return facts

    def _answer(
        self, item: Item, model: str, context: StepContext, shown: Sequence[str], draws: _Draws
    ) -> str:
        votes = _Votes.count(item, shown) if shown else None
        if draws.uniform("right") < self._probability(item, model, context, votes):
            return self._spelled(item, draws)
        if votes is not None and votes.leading_wrong and draws.uniform("follow") < self._parameters.follow:
            return votes.leading_wrong
        return self._mistake(item, draws.uniform("mistake"))

    def _spelled(self, item: Item, draws: _Draws) -> str:
        """The right answer, now and then in another spelling."""
        others = _spellings(item)
        if others and draws.uniform("respell") < self._parameters.respelled_share:
            return others[int(draws.uniform("spelling") * len(others))]
        return item.answer

    def _mistake(self, item: Item, u: float) -> str:
        mistakes = typical_mistakes(item.question, item.answer)
        weights = self._parameters.mistake_weights
        total = sum(weights)
        for mistake, weight in zip(mistakes, weights, strict=False):
            u -= weight / total
            if u < 0:
                return mistake
        return mistakes[-1]

    def _assignment(
        self, item: Item, answer: str, model: str, context: StepContext, shown: Sequence[str]
    ) -> Assignment:
        parameters = self._parameters
        return Assignment(
            question=item.question,
            answer=answer,
            level=item.level,
            manner=_manner(context, shown),
            model=parameters.model_traits(model),
            strategy=parameters.strategy_traits(context.strategy),
            is_step_by_step=context.topology == STEP_BY_STEP_TOPOLOGY,
        )


class _Facts:
    """What is true of one question whoever answers it."""

    def __init__(self, *, question: str, hardness: float, quirk_spread: float, has_right_key: bool) -> None:
        self.hardness = hardness
        self.has_right_key = has_right_key
        self._question = question
        self._quirk_spread = quirk_spread
        self._quirks: dict[str, float] = {}

    @classmethod
    def of(cls, item: Item, parameters: OutcomeParameters) -> _Facts:
        population = parameters.populations.get(benchmark_of(item), _AS_MATH)
        own = parameters.item_spread * _normal("difficulty", item.question)
        in_math = (
            parameters.level_step * (item.level - parameters.mean_level)
            + parameters.subjects.get(item.subject, 0.0)
            + own
        )
        return cls(
            question=item.question,
            hardness=parameters.slope * (population.mean + population.spread * in_math),
            quirk_spread=parameters.quirk_spread,
            has_right_key=_uniform("key", item.question) < population.ceiling,
        )

    def quirk(self, model: str) -> float:
        """What this model finds easy about the question, in logits."""
        if model not in self._quirks:
            self._quirks[model] = self._quirk_spread * _normal("quirk", model, self._question)
        return self._quirks[model]


@dataclass(frozen=True, slots=True)
class _Votes:
    """The answers that a step is shown, counted.

    Attributes:
        right: how many are right.
        wrong: how many give each of the wrong answers, most frequent first.
        leading_wrong: the most frequent wrong answer as first written, or "".
    """

    right: int
    wrong: tuple[int, ...]
    leading_wrong: str

    @classmethod
    def count(cls, item: Item, shown: Sequence[str]) -> _Votes:
        right = _right_keys(item)
        keys = [canonical_answer(answer) for answer in shown]
        wrong = Counter(key for key in keys if key not in right).most_common()
        return cls(
            right=sum(key in right for key in keys),
            wrong=tuple(count for _, count in wrong),
            leading_wrong=shown[keys.index(wrong[0][0])] if wrong else "",
        )

    def weight_of_right(self, pull: float) -> float:
        """The right answer's share when every answer weighs its votes to the power of ``pull``."""
        right = math.pow(self.right, pull)
        return right / (right + sum(math.pow(count, pull) for count in self.wrong))


class _Draws:
    """All chance of one reply, by purpose."""

    def __init__(self, item: Item, request: SimRequest, context: StepContext) -> None:
        where = (context.node, context.position, context.round)
        self._key = _joined(item.question, request.model, request.seed, *where)

    def uniform(self, purpose: str) -> float:
        return _uniform(purpose, self._key)

    def rng(self) -> Random:
        return Random(_hash64("writing", self._key))


def _spellings(item: Item) -> tuple[str, ...]:
    """Other spellings of the answer; none where answers are compared letter by letter."""
    return spellings(item.question, item.answer) if item.domain == "math" else ()


def _right_keys(item: Item) -> frozenset[str]:
    """Canonical forms of every answer that counts as right."""
    if item.domain == "math":
        return canonical_spellings(item.question, item.answer)
    return frozenset({canonical_answer(item.answer)})


def _manner(context: StepContext, shown: Sequence[str]) -> Manner:
    if context.node == "judge" or (not context.trace_id and len(shown) > 1):
        return "judge"
    return "review" if shown else "solve"


def _unknown_item(prompt: str) -> Item:
    """A stand-in for a question that the key does not hold; its "right" answer is a number hashed from it.

    The first passage that is long enough for a question identifies it, since prompts add to the question's end.
    """
    passages = [passage.strip() for passage in prompt.split("\n\n")]
    question = next((passage for passage in passages if len(passage) > 12), prompt)
    number = _hash64("unknown", question)
    return Item(
        item_id=f"{_UNKNOWN_ID_PREFIX}{number:016x}", question=question, answer=str(number % 97), level=3
    )


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


def _normal(*parts: object) -> float:
    return _NORMAL.inv_cdf(min(max(_uniform(*parts), 1e-12), 1 - 1e-12))


def _uniform(*parts: object) -> float:
    return _hash64(*parts) / 2**64


def _hash64(*parts: object) -> int:
    """A 64-bit hash of the parts' texts, the same on every machine (unlike ``hash``)."""
    text = _joined(*parts)
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _joined(*parts: object) -> str:
    return "\x1f".join(map(str, parts))
