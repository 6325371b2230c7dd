import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.fleet.context import StepContext
from inframind.simulator.benchmarks import Population, benchmark_items
from inframind.simulator.items import Item, generate_items
from inframind.simulator.mistakes import typical_mistakes
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey

ITEMS = generate_items(500, seed=21)
MODEL = LatentDifficultyModel(AnswerKey())
FLEET = ("llama-3.2-3b", "llama-3.1-8b", "qwen2.5-coder-14b", "mistral-small-24b", "deepseek-r1-32b")
JUDGE = StepContext(node="judge", strategy="Plain", topology="IO")
PEER = StepContext(strategy="Plain", topology="Debate", round=2)


def seen(item: Item, n_right: int, wrong: Sequence[int] = ()) -> list[str]:
    """That many right answers, and of each typical mistake as many as ``wrong`` says."""
    mistakes = typical_mistakes(item.question, item.answer)
    return [item.answer] * n_right + [m for m, n in zip(mistakes, wrong, strict=False) for _ in range(n)]


def mean(
    model: str,
    context: StepContext,
    n_right: int,
    wrong: Sequence[int] = (),
    language: LatentDifficultyModel = MODEL,
) -> float:
    return statistics.mean(
        language.probability(item, model, context, seen(item, n_right, wrong)) for item in ITEMS
    )


def alone(model: str) -> float:
    return statistics.mean(MODEL.solo_probability(item, model, "Plain") for item in ITEMS)


@given(
    item=st.sampled_from(ITEMS),
    model=st.sampled_from((*FLEET, "mystery-7b")),
    strategy=st.sampled_from(("Flash", "Concise", "DeepThink", "Plain", "unheard of")),
    topology=st.sampled_from(("IO", "CoT", "Chain", "FullConnected", "Debate", "Reflection", "mine")),
    node=st.sampled_from(("agent", "judge")),
    position=st.integers(0, 5),
    n_right=st.integers(0, 5),
    wrong=st.lists(st.integers(0, 3), max_size=4),
)
def test_a_probability_is_one_whatever_a_step_is_shown(
    item: Item,
    model: str,
    strategy: str,
    topology: str,
    node: str,
    position: int,
    n_right: int,
    wrong: list[int],
) -> None:
    context = StepContext(strategy=strategy, topology=topology, node=node, position=position)
    assert 0 <= MODEL.probability(item, model, context, seen(item, n_right, wrong)) <= 1


@given(
    item=st.sampled_from(ITEMS),
    model=st.sampled_from(FLEET),
    n_right=st.integers(0, 4),
    n_wrong=st.integers(0, 4),
)
def test_one_more_right_answer_never_hurts_a_judge(
    item: Item, model: str, n_right: int, n_wrong: int
) -> None:
    fewer, more = (
        MODEL.probability(item, model, JUDGE, seen(item, right, (n_wrong,)))
        for right in (n_right, n_right + 1)
    )
    if n_right + n_wrong:
        assert more >= fewer


@pytest.mark.parametrize("context", [JUDGE, PEER])
def test_votes_that_are_all_right_are_mostly_kept_and_better_by_better_models(context: StepContext) -> None:
    kept = [mean(model, context, 3) for model in FLEET]
    assert kept == sorted(kept)
    assert kept[0] > 0.85
    assert kept[-1] > 0.94


@pytest.mark.parametrize(("n_right", "wrong"), [(3, ()), (2, (1,)), (1, (1, 1)), (1, (2,)), (0, (3,))])
def test_a_better_judge_ruins_less(n_right: int, wrong: tuple[int, ...]) -> None:
    means = [mean(model, JUDGE, n_right, wrong) for model in FLEET]
    assert means == sorted(means)


def test_judging_falls_with_the_right_votes() -> None:
    means = [mean(FLEET[2], JUDGE, right, (3 - right,)) for right in (3, 2, 1, 0)]
    assert means == sorted(means, reverse=True)
    assert means[1] - means[2] > 0.2


def test_a_tie_is_worth_less_than_a_majority_and_more_than_a_minority() -> None:
    majority, tie, minority = (mean(FLEET[1], PEER, r, (w,)) for r, w in ((2, 1), (1, 1), (1, 2)))
    assert majority > tie > minority


def test_scattered_mistakes_mislead_less_than_agreeing_ones() -> None:
    assert mean(FLEET[2], JUDGE, 1, (1, 1)) > mean(FLEET[2], JUDGE, 1, (2,)) + 0.03


def test_debate_mends_what_strong_models_can_solve() -> None:
    weak, strong = (mean(model, PEER, 0, (3,)) for model in (FLEET[0], FLEET[4]))
    assert 0.05 < weak < strong - 0.05


def test_a_weak_judge_over_a_strong_agent_is_worse_than_that_agent() -> None:
    strong, judge = FLEET[4], FLEET[0]
    kept, mended = mean(judge, JUDGE, 1), mean(judge, JUDGE, 0, (1,))
    assert alone(strong) * kept + (1 - alone(strong)) * mended < alone(strong)


def test_reviewing_oneself_mends_less_than_being_reviewed() -> None:
    own = replace(PEER, topology="Reflection")
    for model in FLEET:
        assert mean(model, own, 0, (1,)) < 0.6 * mean(model, PEER, 0, (1,))


def test_agents_further_down_a_line_mend_less() -> None:
    line = [
        mean(FLEET[3], StepContext(topology="Chain", strategy="Plain", position=k), 0, (1,))
        for k in range(1, 5)
    ]
    assert line == sorted(line, reverse=True)
    assert line[0] > line[-1]


def test_a_right_answer_in_another_spelling_is_a_vote_for_the_right_answer() -> None:
    item = Item(item_id="mine/1", question="How long is the side?", answer=r"2\sqrt{5}", level=3)
    plain, respelled = (
        MODEL.probability(item, FLEET[0], JUDGE, peers)
        for peers in ([item.answer] * 2 + ["7"], [r"\sqrt{20}", item.answer, "7"])
    )
    assert respelled == plain


def test_how_teams_decide_can_be_swapped() -> None:
    plurality = LatentDifficultyModel(AnswerKey(), OutcomeParameters(majority_pull=50.0))
    lottery = LatentDifficultyModel(AnswerKey(), OutcomeParameters(majority_pull=0.0))
    unanimous = mean(FLEET[2], JUDGE, 3)
    assert mean(FLEET[2], JUDGE, 2, (1,), plurality) == pytest.approx(unanimous, abs=1e-6)
    assert mean(FLEET[2], JUDGE, 2, (1,), lottery) == pytest.approx(mean(FLEET[2], JUDGE, 1, (1,), lottery))


def test_only_a_model_that_thinks_repairs_as_much_as_it_rescues() -> None:
    wary, bold = (
        LatentDifficultyModel(AnswerKey(), OutcomeParameters(rescue=0.8, repair=repair))
        for repair in (0.4, 0.8)
    )
    thinker, other, hurried = FLEET[4], FLEET[3], replace(JUDGE, strategy="DeepThink")

    assert mean(thinker, JUDGE, 0, (3,), wary) == mean(thinker, JUDGE, 0, (3,), bold)
    assert mean(other, JUDGE, 0, (3,), wary) == pytest.approx(mean(other, JUDGE, 0, (3,), bold) / 2)
    assert mean(thinker, hurried, 0, (3,), wary) == pytest.approx(mean(thinker, hurried, 0, (3,), bold) / 2)


def test_nobody_solves_a_question_whose_key_is_wrong() -> None:
    items = benchmark_items("gsm_hard", 600, seed=2)
    best = [max(MODEL.solo_probability(item, model, "Plain") for model in FLEET) for item in items]
    hopeless = [item for item, p in zip(items, best, strict=True) if p == 0.0]
    assert 0.22 < len(hopeless) / len(items) < 0.36
    assert MODEL.probability(hopeless[0], FLEET[4], JUDGE, [hopeless[0].answer] * 3) == 0.0


def test_a_harder_population_is_solved_less() -> None:
    items = benchmark_items("humaneval", 200, seed=3)
    hard, easy = (
        LatentDifficultyModel(
            AnswerKey(), OutcomeParameters(populations={"humaneval": Population(mean=mean)})
        )
        for mean in (0.5, -0.5)
    )
    for item in items:
        assert easy.solo_probability(item, FLEET[1], "Plain") > hard.solo_probability(item, FLEET[1], "Plain")
