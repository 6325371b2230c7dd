from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.fleet.context import StepContext
from inframind.simulator.engine import Engine
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.engine_records import EngineRequest, Finished
from inframind.simulator.items import generate_items
from inframind.simulator.model import SimRequest
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.profiles import load_profiles
from inframind.simulator.prompt_reading import AnswerKey
from inframind.simulator.reference import BenchmarkFacts, ReferenceFleet, RoleFacts, load_reference
from inframind.simulator.tokens import count_tokens

REASONER = "deepseek-r1-32b"
MODELS = tuple(load_profiles())


@pytest.fixture
def fleet() -> ReferenceFleet:
    return load_reference()


def test_it_serves_the_same_models_as_the_default_fleet_at_other_speeds(fleet: ReferenceFleet) -> None:
    default = load_profiles()

    assert tuple(fleet.profiles) == tuple(default)
    for name, profile in fleet.profiles.items():
        assert profile.name == name
        assert (profile.size_b, profile.is_reasoning) == (default[name].size_b, default[name].is_reasoning)
        assert profile.engine != default[name].engine


def test_servers_neither_cache_prefixes_nor_run_more_than_sixteen_sequences(fleet: ReferenceFleet) -> None:
    for profile in fleet.profiles.values():
        assert profile.engine.max_num_seqs == 16
        assert not profile.engine.prefix_cache


def test_a_full_batch_costs_a_quarter_more_than_a_lone_sequence(fleet: ReferenceFleet) -> None:
    for profile in fleet.profiles.values():
        assert profile.engine.step_s(0, 16) / profile.engine.step_s(0, 1) == pytest.approx(1.25, abs=0.002)


def test_larger_models_take_longer_steps(fleet: ReferenceFleet) -> None:
    steps_s = [profile.engine.step_s(0, 16) for profile in fleet.profiles.values()]

    assert steps_s == sorted(steps_s)


def test_neighbours_are_the_other_servers_on_the_card(fleet: ReferenceFleet) -> None:
    assert fleet.neighbours(REASONER) == ("qwen2.5-coder-14b",)
    assert set(fleet.neighbours("llama-3.2-3b")) == {"llama-3.1-8b", "mistral-small-24b"}


def test_crowded_profiles_have_longer_steps_up_to_the_neighbours_there_are(fleet: ReferenceFleet) -> None:
    lone = fleet.profiles[REASONER].engine.step_s(100, 4)

    for busy, slowdown in ((0, 1.0), (1, fleet.slowdown(1)), (2, fleet.slowdown(1))):
        crowded = fleet.crowded_profiles(busy)[REASONER].engine.step_s(100, 4)
        assert crowded == pytest.approx(slowdown * lone)


def test_with_no_spread_every_answer_has_the_median_length(fleet: ReferenceFleet) -> None:
    steady = replace(fleet, lengths=replace(fleet.lengths, sigma=0.0))

    tokens = steady.draw_tokens("llama-3.1-8b", "agent", "math", 2.0, np.random.default_rng(0))

    assert tokens == int(fleet.median_tokens("llama-3.1-8b", "agent", "math"))


def test_the_bare_question_has_a_length_factor_of_its_own_for_the_reasoning_model(
    fleet: ReferenceFleet,
) -> None:
    def ratio(model: str, kind: str) -> float:
        return fleet.median_tokens(model, kind, "gsm_hard") / fleet.median_tokens(model, kind, "math")  # type: ignore[arg-type]

    facts = fleet.benchmarks["gsm_hard"]
    assert ratio(REASONER, "question") == pytest.approx(facts.bare_question)
    assert ratio(REASONER, "agent") == pytest.approx(facts.factor["reasoning"])
    assert ratio("llama-3.1-8b", "question") == pytest.approx(facts.factor["other"])


@given(
    model=st.sampled_from(MODELS),
    kind=st.sampled_from(["question", "node", "agent", "review", "decision", "aggregate"]),
    benchmark=st.sampled_from(["math", "gsm_hard", "humaneval"]),
    wordiness=st.floats(-6, 6),
    seed=st.integers(0, 2**32),
)
def test_answers_have_at_least_one_token_and_at_most_the_limit(
    model: str, kind: str, benchmark: str, wordiness: float, seed: int
) -> None:
    tokens = load_reference().draw_tokens(model, kind, benchmark, wordiness, np.random.default_rng(seed))  # type: ignore[arg-type]

    assert 1 <= tokens <= 2048


def test_the_logarithm_of_a_length_has_the_spread_that_is_stated(fleet: ReferenceFleet) -> None:
    rng = np.random.default_rng(5)
    logs = [
        math.log(fleet.draw_tokens("llama-3.2-3b", "review", "math", rng.standard_normal(), rng))
        for _ in range(8000)
    ]

    assert np.std(logs) == pytest.approx(fleet.lengths.sigma, rel=0.04)


def test_shares_outside_0_to_1_and_roles_without_weight_are_refused(fleet: ReferenceFleet) -> None:
    facts = fleet.benchmarks["math"]
    with pytest.raises(ConfigError, match="examples"):
        replace(facts, examples=1.5)
    with pytest.raises(ConfigError, match="roles"):
        replace(facts, roles=(RoleFacts(name="nobody", weight=0.0),))
    with pytest.raises(ConfigError, match="weight"):
        RoleFacts(name="less than nobody", weight=-1.0)
    with pytest.raises(ConfigError, match="question_share"):
        replace(fleet.lengths, question_share=-0.1)
    with pytest.raises(ConfigError, match="sigma"):
        replace(fleet.lengths, sigma=-1.0)


def test_benchmark_facts_hold_roles(fleet: ReferenceFleet) -> None:
    facts = fleet.benchmarks["humaneval"]

    assert isinstance(facts, BenchmarkFacts)
    assert {role.name for role in facts.roles if role.writes_code} >= {"BugFixer", "ProgrammingExpert"}


# A slowed engine: 100 ms a step and nothing else.

STEADY = EngineProfile(
    step_base_s=0.1, per_prefill_token_s=0.0, per_decode_token_s=0.0, kv_blocks=64, max_model_len=1024
)


def finish_s(slow_at_s: float | None, *, back_at_s: float | None = None) -> float:
    engine = Engine(STEADY)
    engine.submit(EngineRequest(request_id="a", prompt_tokens=1, output_tokens=10), 0.0)
    if slow_at_s is not None:
        assert engine.slow_down(2.0, slow_at_s)
    if back_at_s is not None:
        assert engine.slow_down(1.0, back_at_s)
    events = engine.advance_to(10.0)
    return next(event.at_s for event in events if isinstance(event, Finished))


def test_a_slowed_engine_takes_longer_from_the_next_step_on() -> None:
    assert finish_s(None) == pytest.approx(1.0)
    assert finish_s(0.45) == pytest.approx(0.5 + 5 * 0.2)
    assert finish_s(0.45, back_at_s=0.6) == pytest.approx(0.5 + 0.2 + 4 * 0.1)


def test_the_same_speed_again_is_no_news() -> None:
    assert not Engine(STEADY).slow_down(1.0, 3.0)


@pytest.mark.parametrize("model", ["llama-3.2-3b", "deepseek-r1-32b"])
def test_wordy_models_write_as_much_as_was_fitted(model: str) -> None:
    reference = load_reference()
    parameters = reference.wordy(OutcomeParameters())
    language = LatentDifficultyModel(AnswerKey(), parameters)
    lengths = []
    for item in generate_items(400, seed=2):
        context = StepContext(question_id=item.item_id, strategy="Plain")
        messages = ({"role": "user", "content": item.question},)
        reply = language.reply(SimRequest(model=model, messages=messages, context=context, seed=7))
        lengths.append(count_tokens(reply.text) + count_tokens(reply.reasoning))
    median = reference.median_tokens(model, "agent", "math")
    sigma = reference.lengths.sigma
    assert np.mean(lengths) == pytest.approx(median * math.exp(sigma**2 / 2), rel=0.08)
