import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.rewards.multiplier import DualAscent, FixedMultiplier, PidConfig, TieredMultiplier
from inframind.rewards.outcomes import RunOutcomes


def seen(*samples: tuple[float, bool]) -> RunOutcomes:
    """Samples as (budget, is late)."""
    budget_s_B = np.array([budget for budget, _ in samples])
    late_B = np.array([late for _, late in samples])
    return RunOutcomes(
        solved_B=np.ones(len(samples), dtype=bool),
        latency_s_B=np.where(late_B, 2.0, 1.0) * budget_s_B,
        budget_s_B=budget_s_B,
    )


def half_late(budget_s: float) -> RunOutcomes:
    return seen((budget_s, True), (budget_s, False))


EPOCHS = st.lists(
    st.lists(st.tuples(st.floats(0.1, 1e3), st.booleans()), min_size=1, max_size=20), max_size=15
)
CONFIGS = st.builds(
    PidConfig,
    target=st.floats(0, 1),
    ki=st.floats(0, 5),
    kp=st.floats(0, 5),
    kd=st.floats(0, 5),
)


def test_an_edge_belongs_to_the_tier_above_it():
    multiplier = TieredMultiplier(edges_s=(10.0, 30.0))
    assert multiplier.tier_of(np.array([0.5, 9.99, 10.0, 29.9, 30.0, 900.0])).tolist() == [0, 0, 1, 1, 2, 2]


def test_the_controller_integrates_the_error_and_adds_its_proportion():
    multiplier = TieredMultiplier(edges_s=(), config=PidConfig(target=0.3, kp=1.0, ki=0.25))
    multiplier.update(half_late(5.0))
    assert multiplier.values == pytest.approx((0.5 + 0.05 + 0.2,))
    multiplier.update(seen((5.0, False)))
    assert multiplier.values == pytest.approx((0.55 - 0.075 - 0.3,))


def test_the_differential_term_acts_from_the_second_update_on():
    multiplier = TieredMultiplier(edges_s=(), config=PidConfig(target=0.5, kp=0.0, ki=0.0, kd=0.4))
    multiplier.update(seen((5.0, False)))
    assert multiplier.values == (0.5,)
    multiplier.update(half_late(5.0))
    assert multiplier.values == pytest.approx((0.7,))
    multiplier.update(half_late(5.0))
    assert multiplier.values == pytest.approx((0.5,))


def test_the_integral_does_not_wind_up():
    multiplier = TieredMultiplier(edges_s=(), config=PidConfig(kp=0.0))
    for _ in range(50):
        multiplier.update(seen((5.0, True)))
    assert multiplier.values == (0.9,)
    multiplier.update(seen((5.0, False)))
    assert multiplier.values == pytest.approx((0.9 - 0.25 * 0.05,))


def test_tiers_are_steered_apart_and_one_without_samples_keeps_its_own():
    multiplier = TieredMultiplier()
    multiplier.update(seen((5.0, True), (5.0, True), (50.0, False)))
    assert multiplier.values == pytest.approx((0.9, 0.5, 0.5 - 1.25 * 0.05, 0.5))
    budgets = np.array([200.0, 5.0, 99.0])
    assert multiplier.of(budgets) == pytest.approx([0.5, 0.9, 0.4375])


def test_a_share_of_late_runs_at_the_target_leaves_the_multiplier_where_it_is():
    multiplier = TieredMultiplier(config=PidConfig(target=0.5))
    multiplier.update(half_late(5.0))
    assert multiplier.values == (0.5, 0.5, 0.5, 0.5)


def test_an_empty_batch_changes_nothing():
    empty = RunOutcomes(solved_B=[], latency_s_B=[], budget_s_B=[])
    tiered, dual = TieredMultiplier(), DualAscent()
    tiered.update(empty)
    dual.update(empty)
    assert tiered.values == (0.5,) * 4
    assert dual.values == (0.2,)


@given(EPOCHS, CONFIGS)
def test_no_sequence_of_epochs_leaves_the_bounds(epochs, config):
    multiplier = TieredMultiplier(config=config)
    for samples in epochs:
        multiplier.update(seen(*samples))
        assert all(0.05 <= value <= 0.9 for value in multiplier.values)


@given(EPOCHS, EPOCHS, CONFIGS)
def test_a_restored_multiplier_goes_on_as_the_one_it_was_saved_from(before, after, config):
    multiplier = TieredMultiplier(config=config)
    for samples in before:
        multiplier.update(seen(*samples))
    restored = TieredMultiplier.restored(
        config, multiplier.edges_s, json.loads(json.dumps(multiplier.state()))
    )
    for samples in after:
        multiplier.update(seen(*samples))
        restored.update(seen(*samples))
    assert restored.values == multiplier.values
    assert restored.state() == multiplier.state()


def test_a_saved_state_does_not_follow_later_updates():
    multiplier = TieredMultiplier()
    state = multiplier.state()
    multiplier.update(seen((5.0, True)))
    assert state["multiplier"] == [0.5] * 4


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"edges_s": [10.0, 30.0, 90.0]}, "edges_s"),
        ({"multiplier": [0.5] * 3}, "state.multiplier"),
        ({"multiplier": [0.5, 0.5, 0.5, 0.95]}, "state.multiplier"),
        ({"integral": [0.5, 0.5, 0.5, float("nan")]}, "state.integral"),
    ],
)
def test_a_state_of_another_multiplier_is_refused(changes, field):
    with pytest.raises(ConfigError) as caught:
        TieredMultiplier.restored(PidConfig(), (10.0, 30.0, 100.0), {**TieredMultiplier().state(), **changes})
    assert caught.value.field == field


def test_a_state_that_lacks_something_says_what():
    with pytest.raises(ConfigError, match=r"state\.integral"):
        TieredMultiplier.restored(PidConfig(), (), {"edges_s": [], "multiplier": [0.5]})


def test_dual_ascent_steps_along_the_mean_share_of_the_budget_less_one():
    multiplier = DualAscent()
    multiplier.update(RunOutcomes(solved_B=[True, True], latency_s_B=[30.0, 5.0], budget_s_B=[10.0, 10.0]))
    assert multiplier.values == pytest.approx((0.2 + 1e-3 * 0.75,))
    assert multiplier.of(np.array([5.0, 500.0])) == pytest.approx([0.20075, 0.20075])


def test_dual_ascent_falls_while_short_budgets_are_missed_because_long_ones_hide_them():
    multiplier = DualAscent(rate=0.1)
    late = RunOutcomes(
        solved_B=[True] * 4, latency_s_B=[10.0, 10.0, 10.0, 10.0], budget_s_B=[5.0, 300.0, 300.0, 300.0]
    )
    multiplier.update(late)
    assert multiplier.values[0] < 0.2


def test_dual_ascent_stays_in_its_bounds_and_goes_on_from_its_state():
    multiplier = DualAscent(rate=1.0, highest=0.6)
    multiplier.update(seen((5.0, True)))
    assert multiplier.values == (0.6,)
    restored = DualAscent.restored(multiplier.state(), rate=0.5, highest=0.6)
    restored.update(RunOutcomes(solved_B=[True], latency_s_B=[1.0], budget_s_B=[2.0]))
    assert restored.values == pytest.approx((0.35,))


def test_a_fixed_multiplier_does_not_move():
    multiplier = FixedMultiplier(0.3)
    multiplier.update(seen((5.0, True)))
    assert multiplier.of(np.array([1.0, 2.0])).tolist() == [0.3, 0.3]
    assert multiplier.values == (0.3,)
    assert multiplier.state() == {"multiplier": [0.3]}


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: PidConfig(target=1.5), "target"),
        (lambda: PidConfig(ki=-1.0), "ki"),
        (lambda: PidConfig(lowest=0.6), "start"),
        (lambda: PidConfig(lowest=0.5, highest=0.4), "highest"),
        (lambda: TieredMultiplier(edges_s=(10.0, 10.0)), "edges_s"),
        (lambda: TieredMultiplier(edges_s=(0.0, 10.0)), "edges_s"),
        (lambda: DualAscent(rate=-1.0), "rate"),
        (lambda: DualAscent(start=2.0), "start"),
        (lambda: DualAscent.restored({}), "state.multiplier"),
        (lambda: FixedMultiplier(-0.5), "value"),
    ],
)
def test_constants_that_contradict_each_other_are_refused(make, field):
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.field == field
