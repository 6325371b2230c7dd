"""Who gets it right: a latent-difficulty model of simulated language models, in the manner of item response theory.

One model alone answers question q rightly with

    logit P = skill[model] + effect[strategy] + fit[role, domain] + effect[topology] - slope * d(q) + quirk(model, q)

where ``d(q) = level_step * (level - mean_level) + item_spread * z(q)`` has about unit variance over MATH's levels,
and z(q) and the quirk are normal draws hashed from the question's text. Assumptions, all of them swappable in
`OutcomeParameters` and none measured on a real fleet:

* Skill grows with size only, and the strategy's effect is the same for every model. Instructions to be brief or
  thorough cost accuracy against the plain prompt. Anchors on MATH's mix of levels: 3B with Flash about 40 %, 32B
  with DeepThink about 65 %, Plain averaged over 3B to 14B about 70 %.
* Who sees others' answers, in the prompt itself, mostly keeps a right majority; prefers a right minority, or mends
  an all-wrong one, in proportion to its own solving power; and else mostly repeats the wrong majority. A judge is
  no different: a weak one ruins more.
* Wrong answers are drawn from the question's own few typical ones, so that failing models often agree.
* Some right answers to mathematical questions are spelled differently from the key, so that graders and votes
  have something to decide.

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
from inframind.simulator.outcome_parameters import ModelTraits, OutcomeParameters
from inframind.simulator.prompt_reading import AnswerKey, user_text, visible_answers
from inframind.simulator.spelling import canonical_spellings, spellings
from inframind.simulator.writing import Assignment, Manner, write

STEP_BY_STEP_TOPOLOGY = "CoT"

_AS_MATH = Population()
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
        if _uniform("key", item.question) >= self._population(item).ceiling:
            return 0.0
        logit = (
            parameters.model_traits(model).skill
            + parameters.strategy_traits(strategy).effect
            + parameters.roles.get(item.domain, {}).get(role, 0.0)
            - parameters.slope * self._difficulty(item)
            + parameters.quirk_spread * _normal("quirk", model, item.question)
        )
        if topology == STEP_BY_STEP_TOPOLOGY:
            logit += parameters.step_by_step_effect
        return _sigmoid(logit)

    def probability(self, item: Item, model: str, context: StepContext, shown: Sequence[str] = ()) -> float:
        """P(right answer) of a step that is shown the answers ``shown``."""
        solo = self.solo_probability(
            item, model, context.strategy, role=context.role, topology=context.topology
        )
        if not shown or solo == 0.0:
            return solo
        return self._team_probability(solo, self._parameters.model_traits(model), _Votes.count(item, shown))

    def _team_probability(self, solo: float, traits: ModelTraits, votes: _Votes) -> float:
        parameters = self._parameters
        if votes.right == 0:
            return parameters.repair * solo
        rescue = parameters.rescue * solo
        if votes.right < votes.leading:
            return rescue
        keep = max(rescue, _sigmoid(parameters.keep + parameters.keep_per_skill * traits.skill))
        return rescue + (keep - rescue) / votes.n_leaders

    def _difficulty(self, item: Item) -> float:
        parameters = self._parameters
        own = parameters.item_spread * _normal("difficulty", item.question)
        in_math = parameters.level_step * (item.level - parameters.mean_level) + own
        population = self._population(item)
        return population.mean + population.spread * in_math

    def _population(self, item: Item) -> Population:
        return self._parameters.populations.get(benchmark_of(item), _AS_MATH)

    def _answer(
        self, item: Item, model: str, context: StepContext, shown: Sequence[str], draws: _Draws
    ) -> str:
        if draws.uniform("right") < self.probability(item, model, context, shown):
            return self._spelled(item, draws)
        votes = _Votes.count(item, shown)
        if votes.leading_wrong and draws.uniform("follow") < self._parameters.follow:
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


@dataclass(frozen=True, slots=True)
class _Votes:
    """The answers that a step is shown, counted.

    Attributes:
        right: how many are right.
        leading: how many give the most frequent answer.
        n_leaders: how many different answers are that frequent.
        leading_wrong: the most frequent wrong answer as first written, or "".
    """

    right: int
    leading: int
    n_leaders: int
    leading_wrong: str

    @classmethod
    def count(cls, item: Item, shown: Sequence[str]) -> _Votes:
        truth = canonical_answer(item.answer)
        right = _right_keys(item)
        keys = [truth if key in right else key for key in map(canonical_answer, shown)]
        counts = Counter(keys)
        leading = max(counts.values(), default=0)
        wrong = max((key for key in keys if key != truth), key=lambda key: counts[key], default=None)
        return cls(
            right=counts[truth],
            leading=leading,
            n_leaders=sum(count == leading for count in counts.values()),
            leading_wrong="" if wrong is None else shown[keys.index(wrong)],
        )


class _Draws:
    """All chance of one reply, by purpose."""

    def __init__(self, item: Item, request: SimRequest, context: StepContext) -> None:
        self._key = (
            item.question,
            request.model,
            request.seed,
            context.node,
            context.position,
            context.round,
        )

    def uniform(self, purpose: str) -> float:
        return _uniform(purpose, *self._key)

    def rng(self) -> Random:
        return Random(_hash64("writing", *self._key))


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
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
