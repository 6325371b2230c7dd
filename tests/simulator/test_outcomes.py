import math
import os
import pickle
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

import pytest

from inframind.errors import ConfigError
from inframind.fleet.context import StepContext
from inframind.rewards.extraction import extract_math
from inframind.rewards.graders import MathGrader
from inframind.simulator.items import Item, generate_items
from inframind.simulator.mistakes import typical_mistakes
from inframind.simulator.model import SimReply, SimRequest
from inframind.simulator.outcome_parameters import ModelTraits, OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey, user_text, visible_answers
from inframind.simulator.spelling import spellings

ITEMS = generate_items(2000, seed=20)
MODEL = LatentDifficultyModel(AnswerKey())
PARAMETERS = OutcomeParameters()
FLEET = ("llama-3.2-3b", "llama-3.1-8b", "qwen2.5-coder-14b", "mistral-small-24b", "deepseek-r1-32b")
SMALL = FLEET[:3]


def request(
    item: Item,
    model: str,
    strategy: str = "Plain",
    *,
    seed: int = 0,
    peers: Sequence[str] = (),
    **context: object,
) -> SimRequest:
    shown = "".join(f"\n\n[Peer {n}]\nI find $\\boxed{{{peer}}}$." for n, peer in enumerate(peers))
    prompt = f"Question:\n{item.question}{shown}\n\nYour part:\nPut the final answer inside \\boxed{{}}."
    return SimRequest(
        model=model,
        messages=({"role": "system", "content": "Be right."}, {"role": "user", "content": prompt}),
        context=StepContext(trace_id="t", question_id=item.item_id, strategy=strategy, **context),  # type: ignore[arg-type]
        seed=seed,
    )


def is_right(reply: SimReply, item: Item) -> bool:
    return extract_math(reply.text) in (item.answer, *spellings(item.question, item.answer))


def accuracy(model: str, strategy: str, items: Sequence[Item] = ITEMS) -> float:
    return statistics.mean(is_right(MODEL.reply(request(item, model, strategy)), item) for item in items)


@pytest.mark.parametrize(
    ("models", "strategy", "anchor"),
    [(FLEET[:1], "Flash", 0.40), (FLEET[4:], "DeepThink", 0.655), (SMALL, "Plain", 0.70)],
)
def test_single_calls_hit_the_anchors(models: Sequence[str], strategy: str, anchor: float) -> None:
    found = statistics.mean(accuracy(model, strategy) for model in models)
    assert found == pytest.approx(anchor, abs=0.035)  # three standard errors of 2000 answers


def test_the_sampled_share_is_the_stated_probability() -> None:
    stated = statistics.mean(MODEL.solo_probability(item, FLEET[1], "Concise") for item in ITEMS)
    assert accuracy(FLEET[1], "Concise") == pytest.approx(stated, abs=0.035)


@pytest.mark.parametrize("strategy", ["Flash", "Concise", "DeepThink", "Plain"])
def test_larger_models_are_better_with_every_strategy(strategy: str) -> None:
    means = [statistics.mean(MODEL.solo_probability(i, model, strategy) for i in ITEMS) for model in FLEET]
    assert means == sorted(means)


def test_steps_are_worth_more_to_a_skilled_model() -> None:
    gains = [
        math.log(plain / (1 - plain)) - math.log(flash / (1 - flash))
        for model in (FLEET[0], FLEET[3])
        for flash, plain in [(MODEL.solo_probability(ITEMS[0], model, s) for s in ("Flash", "Plain"))]
    ]
    assert gains[1] > gains[0] > 0


def test_a_reasoning_model_owes_its_lead_to_thinking_its_own_way() -> None:
    def lead(strategy: str) -> float:
        return statistics.mean(
            MODEL.solo_probability(i, FLEET[4], strategy) - MODEL.solo_probability(i, FLEET[3], strategy)
            for i in ITEMS
        )

    assert lead("Plain") > 2 * lead("DeepThink") > 0


def test_harder_subjects_are_solved_less() -> None:
    algebra, intermediate = (
        statistics.mean(MODEL.solo_probability(i, FLEET[2], "Plain") for i in ITEMS if i.subject == subject)
        for subject in ("Algebra", "Intermediate Algebra")
    )
    assert algebra > intermediate + 0.1


def test_own_parameters_replace_the_shipped_ones() -> None:
    clever = {"llama-3.2-3b": ModelTraits(size_b=3.2, skill=3.0)}
    own = LatentDifficultyModel(AnswerKey(), OutcomeParameters(models=clever, quirk_spread=0.0, subjects={}))
    hard = [item for item in ITEMS if item.level == 5]
    assert all(
        own.solo_probability(i, FLEET[0], "Flash") > 1.2 * MODEL.solo_probability(i, FLEET[0], "Flash")
        for i in hard
        if MODEL.solo_probability(i, FLEET[0], "Flash") < 0.5
    )
    assert own.solo_probability(hard[0], FLEET[0], "Flash") == own.solo_probability(
        hard[0], FLEET[1], "Flash"
    )


def test_harder_levels_are_solved_less() -> None:
    means = [
        statistics.mean(MODEL.solo_probability(i, FLEET[2], "Plain") for i in ITEMS if i.level == level)
        for level in range(1, 6)
    ]
    assert means == sorted(means, reverse=True)


def test_right_replies_grade_as_solved_and_wrong_ones_do_not() -> None:
    grader = MathGrader()
    for n, item in enumerate(ITEMS[:600]):
        wanted = request(item, FLEET[n % 5], ("Flash", "Concise", "DeepThink", "Plain")[n % 4])
        reply = MODEL.reply(wanted)
        assert is_right(reply, item) != (
            extract_math(reply.text) in typical_mistakes(item.question, item.answer)
        )
        assert grader.grade(reply.text, item.answer).solved == is_right(reply, item)


def test_both_verdicts_of_the_grader_decide_right_answers() -> None:
    strong = ((item, MODEL.reply(request(item, FLEET[4]))) for item in ITEMS[:1000])
    right = [(item, reply) for item, reply in strong if is_right(reply, item)]
    other = [(item, reply) for item, reply in right if extract_math(reply.text) != item.answer]
    verdicts = [MathGrader().grade(reply.text, item.answer) for item, reply in other]
    assert all(verdict.solved for verdict in verdicts)
    assert 0.07 < len(other) / len(right) < 0.13
    assert sum(not verdict.string_equal for verdict in verdicts) > 0.02 * len(right)
    assert sum(verdict.string_equal for verdict in verdicts) > 0.005 * len(right)


def test_a_right_answer_in_another_spelling_is_a_vote_for_the_right_answer() -> None:
    item = Item(item_id="mine/1", question="How long is the side?", answer=r"2\sqrt{5}", level=3)
    context = StepContext(node="judge", strategy="Plain")
    plain, respelled = (
        MODEL.probability(item, FLEET[0], context, peers)
        for peers in ([item.answer] * 2 + ["7"], [r"\sqrt{20}", item.answer, "7"])
    )
    assert respelled == plain


def test_answers_that_are_compared_letter_by_letter_are_never_respelled() -> None:
    item = Item(
        item_id="mine/1", question="How many sides has a heptagon?", answer="7", level=1, domain="general"
    )
    model = LatentDifficultyModel(AnswerKey([item]))
    replies = [extract_math(model.reply(request(item, FLEET[4], seed=seed)).text) for seed in range(60)]
    assert set(replies) <= {"7", *typical_mistakes(item.question, "7")}


def test_a_reply_depends_on_nothing_but_its_request() -> None:
    fresh = LatentDifficultyModel(AnswerKey())
    wanted = [request(item, FLEET[0], seed=3) for item in ITEMS[:50]]
    forwards = [MODEL.reply(one) for one in wanted]
    assert [fresh.reply(one) for one in reversed(wanted)] == forwards[::-1]


def test_a_pickled_model_in_another_process_replies_the_same() -> None:
    wanted = [request(item, FLEET[n % 5], peers=["7"][: n % 2]) for n, item in enumerate(ITEMS[:40])]
    script = (
        "import pickle, sys; model, wanted = pickle.load(sys.stdin.buffer);"
        "sys.stdout.buffer.write(pickle.dumps([model.reply(one) for one in wanted]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps((MODEL, wanted)),
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "271"},
    )
    assert pickle.loads(done.stdout) == [MODEL.reply(one) for one in wanted]


def test_strategies_compare_on_common_random_numbers() -> None:
    for item in ITEMS[:300]:
        if is_right(MODEL.reply(request(item, FLEET[0], "Flash")), item):
            assert is_right(MODEL.reply(request(item, FLEET[0], "Plain")), item)


def test_seeds_seats_and_rounds_draw_afresh() -> None:
    items = [i for i in ITEMS if 0.3 < MODEL.solo_probability(i, FLEET[0], "Plain") < 0.7][:100]
    base = [is_right(MODEL.reply(request(i, FLEET[0])), i) for i in items]
    for changes in ({"seed": 1}, {"position": 1}, {"round": 2}):
        other = [is_right(MODEL.reply(request(i, FLEET[0], **changes)), i) for i in items]  # type: ignore[arg-type]
        assert 20 < sum(a != b for a, b in zip(base, other, strict=True)) < 80


def test_failing_models_often_agree() -> None:
    same = total = 0
    for item in ITEMS[:600]:
        answers = [extract_math(MODEL.reply(request(item, model, "Flash")).text) for model in SMALL[:2]]
        if not {item.answer, *spellings(item.question, item.answer)} & set(answers):
            total += 1
            same += answers[0] == answers[1]
    assert 0.2 < same / total < 0.6


def test_a_loaded_question_is_recognised_by_its_text_without_any_context() -> None:
    item = Item(item_id="mine/1", question="How many sides has a heptagon?", answer="7", level=1)
    model = LatentDifficultyModel(AnswerKey([item]))
    for content in (
        item.question,
        f"Question:\n{item.question}\n\nBe brief.",
        [{"type": "text", "text": f"Tell me: {item.question} Thanks"}],
    ):
        messages = ({"role": "user", "content": content},)
        asked = SimRequest(model="deepseek-r1-32b", messages=messages, context=None, seed=1)
        assert extract_math(model.reply(asked).text) in ("7", *spellings(item.question, "7"))


def test_an_unknown_question_gets_an_answer_that_most_models_share() -> None:
    answers = []
    for model in FLEET:
        messages = ({"role": "user", "content": f"Why is the sky so very blue?\n\nYou are {model}."},)
        answers.append(
            extract_math(MODEL.reply(SimRequest(model=model, messages=messages, context=None, seed=1)).text)
        )
    assert all(answers)
    assert Counter(answers).most_common(1)[0][1] >= 2


@pytest.mark.parametrize("content", ["", None, 7, [{"type": "image_url"}], "\\boxed{" * 1000, "\ud800"])
def test_any_message_is_answered(content: object) -> None:
    asked = SimRequest(model="x", messages=({"role": "user", "content": content}, {}), context=None, seed=0)
    assert extract_math(MODEL.reply(asked).text)


@pytest.mark.parametrize("question_id", ["gen/poetry/3/1", "gen/", "gen/linear/9/1"])
def test_a_malformed_generated_id_is_an_unknown_question(question_id: str) -> None:
    asked = SimRequest(model="x", messages=(), context=StepContext(question_id=question_id), seed=0)
    assert MODEL.reply(asked).text


def test_peers_are_read_from_the_user_messages_outside_the_question() -> None:
    messages = (
        {"role": "system", "content": r"\boxed{1}"},
        {
            "role": "user",
            "content": "What is \\boxed{2}?\n\nA: \\boxed{3}\nB: The answer is 4.\nUse \\boxed{}.",
        },
        {"role": "assistant", "content": r"\boxed{5}"},
        {"role": "user", "content": r'Write \boxed{your answer} or "Final answer: " and the answer.'},
    )
    assert visible_answers(user_text(messages), r"What is \boxed{2}?") == ["3", "4"]


def test_an_unknown_model_is_guessed_from_its_size() -> None:
    skills = [PARAMETERS.model_traits(name).skill for name in ("tiny-1b", "some-5b", "other-7.5b", "big-70B")]
    assert skills == sorted(skills)
    assert skills[0] == PARAMETERS.model_traits("llama-3.2-3b").skill
    assert skills[-1] == PARAMETERS.model_traits("deepseek-r1-32b").skill
    assert PARAMETERS.model_traits("mystery") == PARAMETERS.model_traits("qwen2.5-coder-14b")


def test_contradictory_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match="default_strategy"):
        OutcomeParameters(default_strategy="Rambling")
    with pytest.raises(ConfigError, match="follow"):
        OutcomeParameters(follow=1.5)
    with pytest.raises(ConfigError, match="respelled_share"):
        OutcomeParameters(respelled_share=-0.1)
    with pytest.raises(ConfigError, match="models"):
        OutcomeParameters(models={})
    with pytest.raises(ConfigError, match="majority_pull"):
        OutcomeParameters(majority_pull=-1.0)
    with pytest.raises(ConfigError, match="judging"):
        OutcomeParameters(judging=2.0)
