from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.arena.calibration.answers import Answering, pair
from inframind.arena.calibration.replay import (
    ATTEMPTS,
    RETRY_AFTER_S,
    Client,
    Episode,
    Replay,
    SizedWorkflow,
    published_arrivals_s,
    replay_row,
    size_workflow,
    summarise,
)
from inframind.arena.calibration.rows import PublishedRow, load_published
from inframind.arena.calibration.systems import (
    POOL,
    Agent,
    PlannedWorkflow,
    gptswarm_workflow,
    mas_workflow,
    moa_workflow,
)
from inframind.errors import InvalidItems
from inframind.simulator.benchmarks import Population, benchmark_items
from inframind.simulator.engine_profile import EngineProfile
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey
from inframind.simulator.reference import ReferenceFleet, RoleFacts, load_reference

RESULTS = Path(__file__).resolve().parents[3].parent / "shared/data/reference_results/results.csv"
PATIENT = Client(timeout_s=1e6, is_streaming=False)
COLUMNS = (
    "method,benchmark,arrival_rate_per_min,cost_rate,episodes,accuracy,latency_mean_s,latency_median_s,latency_p5_s,"
    "latency_p25_s,latency_p75_s,latency_p95_s,steps_per_episode,model_mix,topology_mix"
)


@pytest.fixture
def fleet() -> ReferenceFleet:
    """A second a token whatever the batch, one sequence at a time, and no quarrels about cards."""
    engine = EngineProfile(
        step_base_s=1.0,
        per_prefill_token_s=0.0,
        per_decode_token_s=0.0,
        kv_blocks=2000,
        max_num_seqs=1,
        prefix_cache=False,
    )
    reference = load_reference()
    return replace(
        reference,
        profiles={name: replace(profile, engine=engine) for name, profile in reference.profiles.items()},
        slowdown_per_busy_neighbour=0.0,
    )


def sized(plan: PlannedWorkflow, *output_tokens: int) -> SizedWorkflow:
    return SizedWorkflow(plan=plan, prompt_tokens=(1,) * len(plan.calls), output_tokens=output_tokens)


def reported(episodes: tuple[Episode, ...]) -> list[float]:
    return [round(episode.reported_s, 6) for episode in episodes]


def test_moa_waits_for_its_slowest_proposer(fleet: ReferenceFleet) -> None:
    episodes = Replay(fleet, PATIENT, [0.0], [sized(moa_workflow(), 7, 1, 9, 2, 3, 4)]).run()

    assert reported(episodes) == [13.0]


def test_gptswarm_takes_the_sum_of_its_calls(fleet: ReferenceFleet) -> None:
    episodes = Replay(fleet, PATIENT, [5.0], [sized(gptswarm_workflow(), 7, 1, 9, 2, 3, 4)]).run()

    assert reported(episodes) == [26.0]


def test_masrouter_reports_less_than_passes_on_the_clock(fleet: ReferenceFleet) -> None:
    agents = [Agent(model=model, role=RoleFacts(name="any")) for model in POOL[:3]]
    workflow = sized(mas_workflow("IO", agents), 7, 1, 9, 50)

    assert reported(Replay(fleet, PATIENT, [0.0], [workflow]).run()) == [9.0]


def test_who_comes_later_queues_behind_who_came_first(fleet: ReferenceFleet) -> None:
    workflows = [sized(gptswarm_workflow(), 10, 1, 1, 1, 1, 1)] * 2

    first, second = Replay(fleet, PATIENT, [0.0, 2.0], workflows).run()

    # The second question's first call waits 8 s; the first's last call, asked for at 14 s, waits until 20 s.
    assert reported((first, second)) == [21.0, 8.0 + 10 + 4 + 1]


def test_servers_on_one_card_slow_each_other_down_while_both_have_work(fleet: ReferenceFleet) -> None:
    crowded = replace(fleet, slowdown_per_busy_neighbour=1.0)
    episode = Replay(crowded, PATIENT, [0.0], [sized(moa_workflow(), 10, 1, 2, 1, 1, 1)]).run()

    # Qwen's 2 tokens take 4 s at half speed. The reasoning model is in its third step then, which ends at 6 s; 7 more
    # tokens take 7 s, and the decision 1 s.
    assert reported(episode) == [6.0 + 7.0 + 1.0]


def test_a_call_that_takes_too_long_is_made_again_and_in_the_end_given_up(fleet: ReferenceFleet) -> None:
    hasty = Client(timeout_s=20.0, is_streaming=False)
    (episode,) = Replay(fleet, hasty, [0.0], [sized(gptswarm_workflow(), 30, 1, 1, 1, 1, 1)]).run()

    assert episode.answered == (False, True, True, True, True, True)
    assert episode.reported_s == pytest.approx(ATTEMPTS * 20.0 + (ATTEMPTS - 1) * RETRY_AFTER_S + 5.0)


def test_a_streamed_call_may_take_long_once_it_has_begun(fleet: ReferenceFleet) -> None:
    hasty = Client(timeout_s=20.0, is_streaming=True)
    (episode,) = Replay(fleet, hasty, [0.0], [sized(gptswarm_workflow(), 30, 1, 1, 1, 1, 1)]).run()

    assert all(episode.answered)
    assert episode.reported_s == pytest.approx(35.0)


def test_an_abandoned_attempt_leaves_the_server_to_others(fleet: ReferenceFleet) -> None:
    hasty = Client(timeout_s=12.0, is_streaming=False)
    workflows = [sized(gptswarm_workflow(), tokens, 1, 1, 1, 1, 1) for tokens in (100, 4)]

    first, second = Replay(fleet, hasty, [0.0, 6.0], workflows).run()

    # The second starts when the first gives up, at 12 s. Its decision, asked for at 20 s, waits until the first has
    # given up again, at 24.5 s, and the step in progress has ended.
    assert (first.answered[0], second.answered[0]) == (False, True)
    assert second.reported_s == pytest.approx(26.0 - 6.0)


@settings(max_examples=25, deadline=None)
@given(
    tokens=st.lists(st.integers(1, 30), min_size=6, max_size=6),
    gaps_s=st.lists(st.floats(0, 40), min_size=1, max_size=8),
)
def test_patient_clients_get_every_answer_and_nobody_is_faster_than_alone(
    tokens: list[int], gaps_s: list[float]
) -> None:
    reference = load_reference()
    arrivals_s = np.cumsum(gaps_s)
    workflow = sized(gptswarm_workflow(), *tokens)

    (alone,) = Replay(reference, PATIENT, [0.0], [workflow]).run()
    together = Replay(reference, PATIENT, arrivals_s, [workflow] * len(gaps_s)).run()

    assert all(all(episode.answered) for episode in together)
    assert min(episode.reported_s for episode in together) >= alone.reported_s - 1e-6


def test_prompts_quote_what_they_show(fleet: ReferenceFleet) -> None:
    agents = [Agent(model=model, role=RoleFacts(name="any")) for model in POOL[:2]]
    workflow = size_workflow(
        mas_workflow("Chain", agents), load_reference(), "math", np.random.default_rng(1)
    )

    first, second, decision = workflow.prompt_tokens
    assert first == 90 + 220
    assert second == first + workflow.output_tokens[0]
    assert decision == 90 + 200 + workflow.output_tokens[0] + workflow.output_tokens[1]


def test_arrivals_begin_at_once_and_scale_with_the_rate() -> None:
    slow_s, fast_s = published_arrivals_s(10, 500), published_arrivals_s(100, 500)

    assert slow_s[0] == 0.0
    assert slow_s == pytest.approx(10 * fast_s)
    assert np.diff(slow_s).mean() == pytest.approx(6.0, rel=0.1)


def test_a_summary_is_the_mean_over_runs() -> None:
    plan = moa_workflow()
    runs = [
        [Episode(plan=plan, reported_s=value, answered=(True,) * 6) for value in values]
        for values in ((1.0, 2.0, 3.0), (4.0, 6.0, 8.0))
    ]

    summary = summarise(runs)

    assert summary.mean_s == 4.0
    assert summary.percentiles_s[50] == 4.0


LENGTHS = (500,) * 6


def n_solved(
    parameters: OutcomeParameters,
    *,
    answered: tuple[bool, ...] = (True,) * 6,
    tokens: tuple[int, ...] = LENGTHS,
    benchmark: str = "math",
    plan: PlannedWorkflow | None = None,
) -> int:
    items, rng = benchmark_items(benchmark, 80, 0), np.random.default_rng(3)
    model = LatentDifficultyModel(AnswerKey(items), parameters)
    answering = Answering(model=model, parameters=parameters, fleet=load_reference())
    workflow = sized(plan if plan is not None else moa_workflow(), *tokens)
    return sum(answering.is_solved(workflow, answered, item, rng) for item in items)


def test_a_team_whose_decision_failed_has_not_solved_anything() -> None:
    assert n_solved(OutcomeParameters(), answered=(True,) * 5 + (False,)) == 0
    assert 0 < n_solved(OutcomeParameters(), answered=(False,) * 5 + (True,)) < 80


def test_a_decision_that_is_cut_off_solves_nothing_unless_it_is_a_program() -> None:
    cut_off = (*LENGTHS[:5], 2048)

    assert n_solved(OutcomeParameters(), tokens=cut_off) == 0
    assert n_solved(OutcomeParameters(), tokens=(*LENGTHS[:5], 2047)) > 0
    assert n_solved(OutcomeParameters(), tokens=cut_off, benchmark="humaneval") > 0


def test_answers_that_are_cut_off_or_not_quoted_to_the_end_are_answers_that_nobody_sees() -> None:
    alone = n_solved(OutcomeParameters(), answered=(False,) * 5 + (True,))

    assert n_solved(OutcomeParameters(), tokens=(2048,) * 5 + (500,)) == alone
    barely_seen, unseen, long_unseen = (
        n_solved(OutcomeParameters(), tokens=(tokens,) * 5 + (500,)) for tokens in (1000, 1001, 2000)
    )
    assert barely_seen != unseen == long_unseen


def test_masrouter_quotes_long_answers_to_the_end() -> None:
    agents = [Agent(model=POOL[4], role=RoleFacts(name="any"))] * 5
    plan = mas_workflow("IO", agents)
    short, long, unseen = (
        n_solved(OutcomeParameters(), tokens=(tokens,) * 5 + (500,), plan=plan)
        for tokens in (500, 2000, 2048)
    )

    assert short == long != unseen


def test_answers_that_are_spelled_differently_do_not_count_on_math() -> None:
    spelled_as_the_key = n_solved(OutcomeParameters(respelled_share=0.0))

    assert 0 < n_solved(OutcomeParameters(respelled_share=1.0)) < spelled_as_the_key < 80


def test_the_grader_of_gsm_hard_misreads_some_right_answers_and_more_of_those_in_prose() -> None:
    easy = {"gsm_hard": Population(mean=-20.0)}
    parameters = OutcomeParameters(populations=easy)
    agents = [Agent(model=POOL[0], role=RoleFacts(name="any"))] * 5

    prose = n_solved(parameters, benchmark="gsm_hard")
    bare = n_solved(parameters, benchmark="gsm_hard", plan=mas_workflow("IO", agents))

    assert 50 < prose < bare < 80


def test_longer_answers_belong_to_harder_questions() -> None:
    items = benchmark_items("math", 40, 0)
    lengths = np.random.default_rng(0).integers(50, 1500, size=40)
    workflows = [sized(moa_workflow(), *[int(length)] * 6) for length in lengths]

    paired = pair(workflows, items, load_reference())

    assert sorted(item.item_id for item in paired) == sorted(item.item_id for item in items)
    levels = [paired[index].level for index in np.argsort(lengths)]
    assert levels == sorted(levels)


def test_rows_are_read_with_the_team_size_that_their_steps_imply(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    mix = '"{""Llama-3.1-8B-Instruct"": 1.0}","{""IO"": 0.6, ""Debate"": 0.4}"'
    path.write_text(
        f"{COLUMNS}\n"
        f"mas,math,30.0,5.0,500,0.6,10,9,1,5,12,20,5.6,{mix}\n"
        "inframind,math,30.0,,500,0.6,10,9,1,5,12,20,,,\n"
        "moa,math,30.0,,500,0.7,11,9,1,5,12,21,,,\n"
    )

    mas, moa = load_published(path)

    assert (mas.name, moa.name) == ("mas_5_math_30", "moa_math_30")
    assert mas.mix is not None
    assert (mas.mix.team_size, mas.mix.models) == (4, {"llama-3.1-8b": 1.0})
    assert (moa.mix, moa.cost_rate, moa.percentiles_s[95]) == (None, None, 21.0)


def test_another_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("method,benchmark\nmoa,math\n")

    with pytest.raises(InvalidItems, match="column"):
        load_published(path)


@pytest.mark.skipif(not RESULTS.exists(), reason="needs ../shared/data/reference_results")
@pytest.mark.parametrize("name", ["mas_5_math_10", "mas_10_math_10", "moa_math_10", "gptswarm_math_10"])
def test_published_runs_on_math_at_low_load_are_reproduced(name: str) -> None:
    rows: dict[str, PublishedRow] = {row.name: row for row in load_published(RESULTS)}

    predicted = summarise([replay_row(rows[name], load_reference(), seed=0)])

    assert predicted.mean_s == pytest.approx(rows[name].mean_s, rel=0.2)
    assert predicted.percentiles_s[95] == pytest.approx(rows[name].percentiles_s[95], rel=0.3)
