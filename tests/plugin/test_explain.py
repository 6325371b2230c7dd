from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from inframind.fleet.messages import Attempt
from inframind.plugin.explain import explain_trajectory, explanation
from inframind.traces.records import Decision, Outcome, Skip, Step, Trajectory

LOAD = {
    "breaker": "closed", "in_flight": 4, "waiting_here": 0, "age_s": 0.31,
    "running": 7.0, "waiting": 2.0, "kv_cache_usage": 0.5,
}  # fmt: skip
NEVER_READ = {
    **LOAD,
    "breaker": "open",
    "age_s": None,
    "running": None,
    "waiting": None,
    "kv_cache_usage": None,
}

STEP_DECISION = Decision(
    decision_id="t-1",
    kind="step",
    made_s=0.25,
    policy="just_enough",
    policy_version="1/floor=0.6",
    features_version="1",
    actions=("small/Flash", "small/Plain", "large/Flash", "large/Plain"),
    probabilities=(0.1, 0.9, 0.0, 0.0),
    masked=("", "", "breaker open", "too slow"),
    latency_q50_s=(0.2, 1.5, 0.9, 6.0),
    latency_q90_s=(0.4, 2.5, 1.9, 9.0),
    chosen=0,
    probability=0.1,
    choice={"model": "small", "strategy": "Flash"},
    seen={"remaining_s": 9.75, "agreement": None, "loads": {"small-0": LOAD, "large-0": NEVER_READ}},
    reason="cheapest with quality >= 0.6",
)
STEP = Step(
    step_id=0,
    node="agent",
    kind="agent",
    position=0,
    round=1,
    role="MathSolver",
    parents=(),
    decision_id="t-1",
    model="small",
    strategy="Flash",
    endpoint="large-0",
    served_model="large",
    started_s=0.25,
    sent_s=0.5,
    first_token_s=0.9,
    finished_s=2.25,
    queue_s=0.125,
    prompt_tokens=99,
    completion_tokens=40,
    finish_reason="stop",
    text="It is 25.",
    answer="25",
    attempts=(
        Attempt(endpoint="small-0", model="small", error="EndpointOverloaded", detail="busy", elapsed_s=0.2),
    ),
    priority=7,
)
TRACE = Trajectory(
    trace_id="ab" * 16,
    question="How many primes are below 100?",
    domain="math",
    arrived_at_s=1e9,
    budget_s=10.0,
    topology="Debate",
    team=("MathSolver", "Inspector"),
    rounds=1,
    decisions=(STEP_DECISION,),
    steps=(STEP,),
    skips=(Skip(node="judge", reason="agreement", at_s=2.3),),
    answer="25",
    text="It is 25.",
    latency_s=2.5,
    outcomes=(Outcome(feedback_id="f", key="solved", score=1.0, source="grader", recorded_at_s=1e9),),
)


def line_with(page: str, words: str) -> str:
    return next(line for line in page.splitlines() if words in line)


def decision(**changes: Any) -> str:
    return explain_trajectory(replace(TRACE, decisions=(replace(STEP_DECISION, **changes),)))


def test_the_page_says_what_was_chosen_with_which_probability_and_why() -> None:
    page = explain_trajectory(TRACE)

    assert "0.250 s  Model and strategy: small/Flash with p = 0.100" in page
    assert "cheapest with quality >= 0.6 (just_enough 1/floor=0.6, features 1)" in " ".join(page.split())
    assert "saw: remaining 9.75 s; agreement unknown" in page


def explored(**changes: Any) -> Decision:
    """A rule's decision with a share of 0.4 drawn at random: 0.6 + 0.1 for its favourite, 0.1 for each other."""
    values = {"probabilities": (0.1, 0.7, 0.1, 0.1), "masked": ("",) * 4, **changes}
    return replace(STEP_DECISION, **values)


def test_an_explored_choice_is_not_explained_with_the_policys_reason() -> None:
    page = explain_trajectory(replace(TRACE, decisions=(explored(),)))

    assert " ".join(line_with(page, "why: ").split()).startswith(
        "why: drawn at random (exploration); the policy would have taken small/Plain (p = 0.700): "
    )
    assert "why: cheapest" not in page


def test_the_policys_own_choice_is_explained_with_its_reason() -> None:
    page = explain_trajectory(replace(TRACE, decisions=(explored(chosen=1, probability=0.7),)))

    assert "why: cheapest with quality >= 0.6 (just_enough" in page
    assert "at random" not in page


def test_an_unlikely_choice_that_the_policy_gave_weight_is_not_called_exploration() -> None:
    weighted = explored(probabilities=(0.25, 0.55, 0.1, 0.1), probability=0.25)

    page = explain_trajectory(replace(TRACE, decisions=(weighted,)))

    assert "why: drawn at random; the likeliest was small/Plain (p = 0.550)" in page
    assert "exploration" not in page


def test_of_two_candidates_the_rest_of_the_run_tells_whether_the_choice_was_explored() -> None:
    two = replace(STEP_DECISION, decision_id="t-0", probabilities=(0.2, 0.8, 0.0, 0.0), probability=0.2)

    alone = explain_trajectory(replace(TRACE, decisions=(two,)))
    beside_another = explain_trajectory(replace(TRACE, decisions=(two, explored(chosen=1, probability=0.7))))

    assert "why: drawn at random; the likeliest was small/Plain" in alone
    assert "why: drawn at random (exploration); the policy would have taken small/Plain" in beside_another


def test_a_uniform_policys_choice_keeps_its_reason() -> None:
    page = decision(probabilities=(0.25,) * 4, masked=("",) * 4, reason="uniform over what is allowed")

    assert "why: uniform over what is allowed" in page


def test_labels_stay_whole_on_a_terminal_of_80_columns() -> None:
    label, endpoint = "qwen2.5-coder-14b/DeepThink", "qwen2.5-coder-14b-0"
    run = replace(
        TRACE,
        decisions=(
            replace(
                STEP_DECISION,
                actions=(label, *STEP_DECISION.actions[1:]),
                seen={"loads": {endpoint: {**NEVER_READ, "breaker": "half_open"}}},
            ),
        ),
    )
    page = io.StringIO()
    Console(file=page, width=80, color_system=None).print(explanation(run))

    lines = page.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert line_with(page.getvalue(), f"> {label}").split()[2:] == ["0.100", "0.200", "s", "0.400", "s"]
    assert line_with(page.getvalue(), f"  {endpoint}").split()[:2] == [endpoint, "half_open"]
    assert "a wider terminal also shows: ours there" in page.getvalue()


def test_loads_stand_with_their_age_and_what_was_never_read_is_unknown() -> None:
    page = explain_trajectory(TRACE)

    assert line_with(page, "  small-0").split() == [
        "small-0", "closed", "7", "2", "0.5", "4", "+", "0", "waiting", "0.310", "s",
    ]  # fmt: skip
    assert line_with(page, "  large-0").split()[1:5] == ["open", "unknown", "unknown", "unknown"]
    assert "never read" in line_with(page, "  large-0")


def test_masked_candidates_are_counted_by_reason_and_listed_on_request() -> None:
    cut, whole = explain_trajectory(TRACE), explain_trajectory(TRACE, show_all=True)

    assert "masked: 1 breaker open, 1 too slow" in cut
    assert "large/Plain" not in cut
    assert line_with(whole, "large/Plain").split() == [
        "large/Plain",
        "0.000",
        "6.00",
        "s",
        "9.00",
        "s",
        "too",
        "slow",
    ]


def test_a_long_table_keeps_the_chosen_and_the_likeliest_candidates() -> None:
    n = 40
    page = decision(
        actions=tuple(f"m{place}/S" for place in range(n)),
        probabilities=tuple(0.5 if place == 30 else 0.5 / (n - 1) for place in range(n)),
        masked=("",) * n,
        latency_q50_s=(),
        latency_q90_s=(),
        chosen=39,
    )

    assert "> m39/S" in page
    assert "m30/S" in page
    assert "and 34 more that were allowed" in page


def test_the_step_shows_failovers_timings_and_tokens() -> None:
    page = explain_trajectory(TRACE)

    assert "failed over: small-0 (small) after 0.200 s: EndpointOverloaded: busy" in page
    words = " ".join(page.split())
    assert "agent 1 (MathSolver), round 1; at large-0, which serves large; took 2.00 s" in words
    assert "sent after 0.250 s; first token after 0.400 s; queued 0.125 s there" in words
    assert "tokens 99 in (unknown cached), 40 out; priority 7; answer 25" in words


def test_the_end_names_skips_and_feedback() -> None:
    page = explain_trajectory(TRACE)

    assert "2.30 s: judge left out (agreement)" in page
    assert "feedback from grader: solved" in page
    assert "unknown" in explain_trajectory(replace(TRACE, outcomes=())).splitlines()[-1]


def test_a_run_that_failed_before_its_plan_still_has_a_page() -> None:
    page = explain_trajectory(
        replace(
            TRACE,
            topology="",
            team=(),
            decisions=(),
            steps=(),
            skips=(),
            status="failed",
            error="FleetExhausted",
            error_detail="every breaker is open",
            answer="",
        )
    )

    assert "none: the run ended before it was planned" in page
    assert "FleetExhausted: every breaker is open" in page


def test_a_step_without_a_decision_is_not_lost() -> None:
    orphan = replace(STEP, decision_id="", error="EndpointTimeout", error_detail="no answer", endpoint="")

    page = explain_trajectory(replace(TRACE, decisions=(), steps=(orphan,)))

    assert "A step that ended before anything was decided" in page
    assert "no endpoint answered" in page
    assert "EndpointTimeout: no answer" in page


def test_hostile_text_cannot_move_the_cursor_or_break_the_markup() -> None:
    page = explain_trajectory(replace(TRACE, question="[/red] \x1b[2J\x07 [bold]x", answer="\x9b31m"))

    assert "[/red] �[2J� [bold]x" in page
    assert "\x1b" not in page and "\x9b" not in page


PLAN_DECISION = replace(
    STEP_DECISION,
    decision_id="t-0",
    kind="plan",
    actions=("IO/1",),
    probabilities=(1.0,),
    masked=("",),
    latency_q50_s=(0.2,),
    latency_q90_s=(0.4,),
    seen={
        "remaining_s": 10.0,
        "step_quality": 0.61234,
        "step_allowed": [True, False, True, True],
        "step_q50_s": [0.21524800000000005, 1.5, 0.9, 6.0],
        "loads": {},
    },
)


def test_what_a_plan_was_told_of_steps_is_a_table_of_its_own_and_only_of_all() -> None:
    trace = replace(TRACE, decisions=(PLAN_DECISION, STEP_DECISION))
    cut, whole = explain_trajectory(trace), explain_trajectory(trace, show_all=True)
    assert "saw: remaining 10.0 s; step quality 0.612\n" in cut
    assert "allowed" not in cut and "[" not in cut
    assert line_with(whole, "a step").split() == ["a", "step", "allowed", "q50"]
    (row, *_) = [line.split() for line in whole.splitlines() if line.split()[:1] == ["small/Flash"]]
    assert row == ["small/Flash", "yes", "0.215", "s"]
    assert ["small/Plain", "no", "1.50", "s"] in [line.split() for line in whole.splitlines()]


def test_lists_of_steps_that_nothing_labels_are_left_out() -> None:
    page = explain_trajectory(replace(TRACE, decisions=(PLAN_DECISION,)), show_all=True)
    assert "q50 s" not in page and "True" not in page
