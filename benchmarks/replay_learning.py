"""What a router that learned from half of the recorded questions saves on the other half, against a static mixture.

Six tables of recorded answers. On each, the learned router and the best mixture of two constant arms are asked what it
costs to come within 2 and 5 points of the best constant arm; both learn, or choose their arms, on the training half. A
ratio of 0.9 says that the router needs 90 % of the mixture's cost at equal accuracy.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _common import Bench, arguments
from numpy.typing import NDArray

from inframind.arena.extras import load_extra
from inframind.arena.replay.contenders import MIXTURE_KNOBS, BestConstant, Mixture
from inframind.arena.replay.desk import Desk
from inframind.arena.replay.environment import Environment, ReplayOptions, Round
from inframind.arena.replay.front import Front
from inframind.arena.replay.learned import LearnedConfig, learn_router
from inframind.arena.replay.play import Choices, play_round
from inframind.arena.replay.table import ReplayTable
from inframind.router.replies import NOT_SEEN, UNREADABLE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

OUTCOMES = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "outcomes"
TARGETS = (0.02, 0.05)
LIMIT = 0.9
TABLES_TO_WIN = 4
RESAMPLES = 400

SIZE_B = {
    "gemma-2-2b-it": 2.6,
    "Qwen2.5-3B-Instruct": 3.1,
    "Phi-3.5-mini-instruct": 3.8,
    "Qwen2.5-7B-Instruct": 7.6,
    "Meta-Llama-3.1-8B-Instruct": 8.0,
    "gemma-2-9b-it": 9.2,
    "Mistral-Nemo-Instruct-2407": 12.2,
    "gemma-2-27b-it": 27.2,
    "Qwen2.5-32B-Instruct": 32.5,
    "Meta-Llama-3.1-70B-Instruct": 70.6,
    "Qwen2.5-72B-Instruct": 72.7,
}
"""Open models whose replies are recorded; billions of parameters stand in for the price of a token."""
GPT_PRICE = {"gpt-35-turbo": 1.0, "gpt-4": 20.0}
_ANSWER = re.compile(r'"answer"\s*:\s*("(?:[^"\\]|\\.)*"|[^,}\n]+)')
_DRESS = re.compile(r"[\s\"'$\\,]|text|boxed|[dt]?frac")


# Tables ------------------------------------------------------------------------------------------------------


def tables(*, as_recorded: bool) -> Iterator[tuple[str, ReplayTable]]:
    """The six tables with a price; with ``as_recorded`` also those that are priced by all their tokens."""
    zeroeval = ReplayTable.read(OUTCOMES / "zeroeval" / "outcomes.parquet")
    concise = ReplayTable.read(OUTCOMES / "concise_cot" / "outcomes.parquet")
    for benchmark in ("math_l5", "gsm8k", "cruxeval_o"):
        yield benchmark, open_models(zeroeval.select([benchmark]))
    yield "concise_cot", replace(concise, prompt_tokens=None).priced(GPT_PRICE)
    for name in ("hard_topologies", "full_zero_shot"):
        yield name, ReplayTable.read(OUTCOMES / "medagents" / f"{name}.parquet")
    if as_recorded:
        for benchmark in ("math_l5", "gsm8k", "cruxeval_o"):
            yield f"{benchmark}_tokens", zeroeval.select([benchmark])
        yield "concise_cot_tokens", concise


def open_models(table: ReplayTable) -> ReplayTable:
    """The arms whose replies are recorded, with answers read from them, at parameters times output tokens."""
    arms = np.array([place for place, arm in enumerate(table.arms) if arm in SIZE_B])
    kept = replace(table.take(np.arange(len(table.question_ids)), arms), prompt_tokens=None)
    rows = load_extra("pyarrow.parquet").read_table(OUTCOMES / "zeroeval" / "responses.parquet").to_pylist()
    texts = {(row["question_id"], row["model"]): row["response"] for row in rows}
    answers = [[texts.get((question, arm)) for arm in kept.arms] for question in kept.question_ids]
    return replace(kept.priced(SIZE_B), answers=np.array([numbered(row) for row in answers]))


def numbered(replies: Sequence[str | None]) -> list[int]:
    """One number per distinct answer among the replies to a question."""
    numbers: dict[str, int] = {}
    found: list[int] = []
    for reply in replies:
        answer = None if reply is None else plain_answer(reply)
        if reply is None:
            found.append(NOT_SEEN)
        else:
            found.append(UNREADABLE if answer is None else numbers.setdefault(answer, len(numbers)))
    return found


def plain_answer(reply: str) -> str | None:
    """The last answer field of a reply, without its dress; None when there is none."""
    fields = _ANSWER.findall(reply)
    answer = _DRESS.sub("", fields[-1].lower()) if fields else ""
    try:
        return repr(float(answer))
    except ValueError:
        return answer or None


# Outcomes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What one contender came to, 0 where a question was not asked.

    Attributes:
        quality: (K, S, Q).
        cost: (K, S, Q).
    """

    quality: Floats
    cost: Floats

    def front(self, weights: Floats) -> Front:
        """Over its settings, with these weights of seeds and questions (S, Q)."""
        total = weights.sum()
        quality, cost = ((matrix * weights).sum(axis=(1, 2)) / total for matrix in (self.quality, self.cost))
        return Front.over(list(cost), list(quality))


@dataclass(frozen=True, kw_only=True)
class Played:
    """One table, played.

    Attributes:
        best, mixture, learned: contenders.
        chosen: the learned router at the setting that the training half chose for each target.
        asked: whether a question was tested by a seed (S, Q).
        calls: mean calls of ``chosen`` per question, by target.
    """

    best: Outcomes
    mixture: Outcomes
    learned: Outcomes
    chosen: Outcomes
    asked: Bools
    calls: Sequence[float]

    def ratios(self, weights: Floats) -> list[float]:
        """By target: the router's cost over the mixture's, at equal accuracy; infinite when out of the router's reach.

        First with the best setting of both on the test half, then with the router's setting chosen beforehand.
        """
        goal = self.best.front(weights).values[-1]
        mixture, learned = self.mixture.front(weights), self.learned.front(weights)
        after = [_over(learned.cost_at(goal - target), mixture, goal - target) for target in TARGETS]
        return after + [self._beforehand(place, mixture, weights) for place in range(len(TARGETS))]

    def _beforehand(self, place: int, mixture: Front, weights: Floats) -> float:
        total = weights.sum()
        quality = float((self.chosen.quality[place] * weights).sum() / total)
        cost = float((self.chosen.cost[place] * weights).sum() / total)
        return _over(cost, mixture, quality)

    def interval(self, resamples: int) -> Floats:
        """2.5 and 97.5 % quantiles of `ratios` (2, number of ratios), by resampling whole questions and seeds."""
        rng = np.random.default_rng(20_241)
        n_seeds, n_questions = self.asked.shape
        drawn = []
        for _ in range(resamples):
            questions = rng.multinomial(n_questions, np.full(n_questions, 1 / n_questions))
            seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds))
            drawn.append(self.ratios((self.asked * questions * seeds[:, None]).astype(float)))
        quantiles: Floats = np.quantile(np.array(drawn), (0.025, 0.975), axis=0, method="nearest")
        return quantiles


def _over(cost: float | None, mixture: Front, quality: float) -> float:
    """A cost over the mixture's at equal quality, or at its best where that is beyond it; infinite for no cost."""
    equal = mixture.cost_at(min(quality, mixture.values[-1]))
    return float("inf") if cost is None or not equal else cost / equal


def play(table: ReplayTable, seeds: Sequence[int]) -> Played:
    """Learn on half of the questions, be tested on the other half, once per seed."""
    options = ReplayOptions(seeds=tuple(seeds), budgets=None)
    environment = Environment.of(table, options)
    n_questions, config = len(environment.table.question_ids), LearnedConfig()
    sizes = {"best": 1, "mixture": len(MIXTURE_KNOBS), "learned": len(config.prices), "chosen": len(TARGETS)}
    found = {
        name: Outcomes(quality=np.zeros(shape), cost=np.zeros(shape))
        for name, size in sizes.items()
        for shape in [(size, len(seeds), n_questions)]
    }
    asked, calls = np.zeros((len(seeds), n_questions), dtype=bool), []
    for index, seed in enumerate(seeds):
        one = environment.draw(seed, options)
        asked[index, one.test_rows] = True
        learned, knobs, n_calls = learn(one, config)
        calls.append(n_calls)
        rounds = {
            "best": play_round(BestConstant(), one),
            "mixture": play_round(Mixture(), one),
            "learned": learned,
            "chosen": Choices(
                chosen=learned.chosen[knobs], cost=learned.cost[knobs], seconds=learned.seconds[knobs]
            ),
        }
        for name, choices in rounds.items():
            arms = choices.chosen
            found[name].quality[:, index, one.test_rows] = one.test.quality[np.arange(arms.shape[1]), arms]
            found[name].cost[:, index, one.test_rows] = choices.cost
    return Played(**found, asked=asked, calls=[float(value) for value in np.mean(calls, axis=0)])


def learn(one: Round, config: LearnedConfig) -> tuple[Choices, list[int], Floats]:
    """The learned router on one split, the settings that the training half chose, and their calls per question."""
    rng = np.random.default_rng(one.seed)
    router, report = learn_router(one.train, config, rng)
    desk = Desk(len(config.prices), one.test.replies, one.test.asked.allowed)
    chosen = router.consult(one.test.asked, desk, rng)
    knobs = [report.knob_within(target) for target in TARGETS]
    calls: Floats = desk.bought[knobs].sum(axis=2).mean(axis=1)
    cost, seconds = desk.total(one.test.cost), desk.total(one.test.seconds)
    return Choices(chosen=chosen, cost=cost, seconds=seconds), knobs, calls


# Report ------------------------------------------------------------------------------------------------------


def report_table(bench: Bench, name: str, played: Played, resamples: int) -> bool:
    """Add the ratios of one table, and say whether the router keeps the limit at every target."""
    exact, (low, high) = played.ratios(played.asked.astype(float)), played.interval(resamples)
    labels = [f"{name}_at_{100 * target:g}" for target in TARGETS]
    labels += [f"{label}_preset" for label in labels]
    for place, label in enumerate(labels):
        note = f"[{low[place]:.2f}, {high[place]:.2f}]"
        if place >= len(TARGETS):
            note += f", {played.calls[place - len(TARGETS)]:.2f} calls a question"
        bench.add_figure(label, min(exact[place], 99.0), "x mixture", note)
    return max(exact[: len(TARGETS)]) <= LIMIT


def report(options: Namespace) -> Bench:
    bench = Bench(title="learning to route from recorded answers", packages=("numpy",), seed=options.seed)
    seeds = range(options.seed, options.seed + (2 if options.quick else options.seeds))
    resamples = 100 if options.quick else RESAMPLES
    won = []
    for place, (name, table) in enumerate(tables(as_recorded=options.as_recorded)):
        holds = report_table(bench, name, play(table, seeds), resamples)
        if place < 6:
            won.append(holds)
    bench.add_bar("tables_within_limit", sum(won), TABLES_TO_WIN, f"of {len(won)}", direction="at least")
    return bench


if __name__ == "__main__":
    parser = arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=5, help="splits into halves (default 5)")
    parser.add_argument(
        "--as-recorded", action="store_true", help="also tables that are priced by all tokens"
    )
    chosen_options = parser.parse_args()
    report(chosen_options).print(as_json=chosen_options.json)
