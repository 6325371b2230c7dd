"""What teams come to, against the simulated models themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inframind.arena.contenders.item_truth import ItemTruth, best_role
from inframind.arena.contenders.teamwork import Teamwork
from inframind.fleet.context import StepContext
from inframind.rewards.normalise import canonical_answer
from inframind.router.topology import JUDGE_ROLE
from inframind.simulator.mistakes import typical_mistakes
from inframind.simulator.outcome_parameters import OutcomeParameters

LARGE = "mistral-small-24b"


def option(teamwork: Teamwork, world: Any, plan: str, agent: str, final: str | None = None) -> int:
    options = teamwork.options
    places = (world.place(agent), world.place(final or agent))
    (place,) = [
        i
        for i in range(len(options))
        if options.plans[i].label == plan and (options.agent[i], options.final[i]) == places
    ]
    return place


def test_a_single_call_is_worth_its_latent_probability_in_the_best_role(world: Any) -> None:
    teamwork = Teamwork(world.truth, world.actions)

    for item in world.items[:4]:
        role = best_role(world.outcomes, item, world.actions)
        for topology in ("IO", "CoT"):
            truth = world.outcomes.solo_probability(item, LARGE, "Plain", role=role, topology=topology)
            odds = teamwork.odds(item)
            assert odds.success[option(teamwork, world, f"{topology}/1", f"{LARGE}/Plain")] == truth
            assert odds.final_calls[option(teamwork, world, f"{topology}/1", f"{LARGE}/Plain")] == 0


def test_what_contradicts_a_topology_is_no_option(world: Any) -> None:
    options = Teamwork(world.truth, world.actions).options
    singles = [
        world.actions.executor_labels[a]
        for a, p in zip(options.agent, options.plans, strict=True)
        if p.label == "CoT/1"
    ]

    assert singles == [label for label in world.actions.executor_labels if not label.endswith("/Flash")]


@pytest.mark.parametrize("agents", [2, 3, 5])
def test_a_judged_team_comes_to_what_drawing_its_answers_comes_to(world: Any, agents: int) -> None:
    teamwork, plan, label = Teamwork(world.truth, world.actions), f"IO/{agents}", f"{LARGE}/Plain"
    item = max(world.items, key=lambda item: -abs(teamwork.odds(item).success[0] - 0.5))
    odds, place = teamwork.odds(item), option(teamwork, world, plan, label)

    right, asked = drawn(world, item, agents, n=6000)

    assert odds.success[place] == pytest.approx(right, abs=0.02)
    assert odds.final_calls[place] == pytest.approx(asked, abs=0.02)


def test_which_mistakes_are_tempting_is_the_scenarios_own(make_world: Any) -> None:
    # Everybody falls for the same mistake: teams that are wrong agree, and their judge is not asked.
    world = make_world(parameters=OutcomeParameters(mistake_weights=(1.0, 0.0, 0.0, 0.0)))
    teamwork, item = Teamwork(world.truth, world.actions), world.items[0]
    place = option(teamwork, world, "IO/3", f"{LARGE}/Plain")
    alone = world.outcomes.solo_probability(
        item, LARGE, "Plain", role=best_role(world.outcomes, item, world.actions)
    )

    assert teamwork.odds(item).final_calls[place] == pytest.approx(1 - alone**3 - (1 - alone) ** 3)


def drawn(world: Any, item: Any, agents: int, n: int) -> tuple[float, float]:
    """Shares of drawn teams that end right, and that ask their judge."""
    rng, shares = np.random.default_rng(1), world.truth.parameters.mistake_weights
    role = best_role(world.outcomes, item, world.actions)
    alone = world.outcomes.solo_probability(item, LARGE, "Plain", role=role)
    wrong = typical_mistakes(item.question, item.answer)
    context = StepContext(topology="IO", node="judge", role=JUDGE_ROLE, strategy="Plain", team_size=agents)
    right = asked = 0.0
    for _ in range(n):
        answers = [
            item.answer if rng.random() < alone else wrong[rng.choice(4, p=shares)] for _ in range(agents)
        ]
        if len({canonical_answer(answer) for answer in answers}) == 1:
            right += answers[0] == item.answer
            continue
        asked += 1
        right += world.outcomes.probability(item, LARGE, context, answers)
    return right / n, asked / n


def test_a_line_comes_to_what_its_steps_come_to(world: Any) -> None:
    teamwork, label = Teamwork(world.truth, world.actions), f"{LARGE}/Plain"
    item = world.items[0]
    role, wrong = (
        best_role(world.outcomes, item, world.actions),
        typical_mistakes(item.question, item.answer)[0],
    )
    p = 0.0
    for seat in range(4):
        context = StepContext(topology="Chain", position=seat, role=role, strategy="Plain")
        shown = ((item.answer,), (wrong,)) if seat else ((), ())
        keep, repair = (world.outcomes.probability(item, LARGE, context, answers) for answers in shown)
        p = keep * p + repair * (1 - p)

    odds = teamwork.odds(item)

    assert odds.success[option(teamwork, world, "Chain/4", label)] == pytest.approx(p)
    assert odds.final_calls[option(teamwork, world, "Chain/4", label)] == 1


def test_the_first_seat_of_a_line_sees_nothing(world: Any) -> None:
    keep, repair = ItemTruth(
        world.outcomes, world.items[0], world.actions, world.actions.executor_actions
    ).line(2)

    assert (keep[:, 0] == repair[:, 0]).all() and (keep[:, 1] > repair[:, 1]).all()
