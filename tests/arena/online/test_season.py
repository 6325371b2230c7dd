from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from inframind.arena.online.contenders import Frozen, Retrained, Warned, rival
from inframind.arena.online.season import Season, Start, label_places, play_season
from inframind.arena.online.worlds import NEWCOMER, Change, Labels, World, world_named
from inframind.errors import ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.online.protocol import LabelledRun
from inframind.router.policy import Policy
from inframind.router.policy_fixed import FixedPolicy, parse_arm

BEST = "deepseek-r1-32b"


def small(name: str, *, before: int = 8, after: int = 16, delay: int = 4, share: float = 1.0) -> World:
    """A short world, whose requests come so seldom that most are over before the next one."""
    labels = Labels(share=share, delay=delay)
    return replace(world_named(name), before=before, after=after, labels=labels, rate_per_min=4.0)


class Diary(Frozen):
    """A frozen policy that notes what it is told, and when."""

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        self.lessons: list[Sequence[LabelledRun]] = []
        self.events: list[str] = []

    def learn(self, runs: Sequence[LabelledRun]) -> Mapping[str, float]:
        self.lessons.append(runs)
        self.events.append("lesson")
        return {"runs": float(len(runs))}

    def welcome(self, actions: ActionSpace) -> None:
        super().welcome(actions)
        self.events.append(f"welcome {len(actions.models)}")

    def world_changed(self) -> None:
        self.events.append("changed")


def played(world: World, *, seed: int = 100, chunk: int = 8) -> tuple[Diary, Season]:
    diaries: list[Diary] = []

    def entry(start: Start) -> Diary:
        diaries.append(Diary(start))
        return diaries[-1]

    season = play_season(world, entry, seed=seed, chunk=chunk)
    return diaries[0], season


def always(arm: str, actions: ActionSpace) -> Policy:
    return FixedPolicy(parse_arm(arm, actions))


def same(one: Season, other: Season) -> bool:
    return (
        bool((one.solved == other.solved).all() and (one.on_time == other.on_time).all())
        and one.models == other.models
        and one.lessons == other.lessons
    )


@pytest.fixture(scope="module")
def degraded() -> tuple[Diary, Season]:
    """A season that others are held against: 24 requests, of which 8 come before the change."""
    return played(small("a"))


@pytest.mark.parametrize("contender", ["a2c", "refit", "online"])
def test_a_season_comes_out_the_same_every_time(contender: str) -> None:
    world = small("a", before=8, after=12)
    assert same(
        play_season(world, rival(contender), seed=100, chunk=8),
        play_season(world, rival(contender), seed=100, chunk=8),
    )


def test_the_same_requests_end_alike_until_the_world_changes_and_worse_afterwards(
    degraded: tuple[Diary, Season],
) -> None:
    world = small("a")
    traits = {BEST: world.scenario.parameters.models[BEST]}
    diary, season = played(replace(world, change=Change(models=traits)))

    assert questions(diary) == questions(degraded[0])
    assert (season.solved[:8] == degraded[1].solved[:8]).all()
    assert season.models == degraded[1].models
    assert season.solved[8:].sum() > degraded[1].solved[8:].sum()


def questions(diary: Diary) -> list[str]:
    return [run.run.question for lesson in diary.lessons for run in lesson]


def test_every_finished_run_is_handed_over_once_and_no_earlier_than_its_label(
    degraded: tuple[Diary, Season],
) -> None:
    diary, season = degraded
    ids = [run.run.trace_id for lesson in diary.lessons for run in lesson]
    assert len(ids) == len(set(ids))
    # Lessons come after 8 and 16 arrivals; the runs in them are at least 4 requests older.
    so_far = np.cumsum([len(lesson) for lesson in diary.lessons])
    assert 0 < so_far[0] <= 5 < so_far[1] <= 13
    assert [lesson["at"] for lesson in season.lessons] == [8, 16]
    assert [lesson["runs"] for lesson in season.lessons] == [len(lesson) for lesson in diary.lessons]


def test_labels_say_whether_the_answer_was_right(degraded: tuple[Diary, Season]) -> None:
    diary, season = degraded
    labels = [run.label.solved for lesson in diary.lessons for run in lesson if run.label is not None]
    assert set(labels) == {0.0, 1.0}
    assert sum(labels) <= season.solved.sum()


def test_labels_are_thinned_by_chance_and_runs_without_one_come_all_the_same() -> None:
    world = small("a", delay=4, share=0.3)
    diary, _ = played(world)
    handed = [run for lesson in diary.lessons for run in lesson]

    assert sum(run.label is not None for run in handed) <= label_places(world, 100).sum()
    assert sum(run.label is None for run in handed) > 0
    assert label_places(replace(world, after=9_992), 100).mean() == pytest.approx(0.3, abs=0.02)


def test_the_world_changes_with_the_request_that_it_should(degraded: tuple[Diary, Season]) -> None:
    assert degraded[0].events == ["lesson", "changed", "lesson"]


def test_a_newcomer_is_welcomed_when_it_comes_and_can_be_chosen_from_then_on() -> None:
    class Modern(Diary):
        def welcome(self, actions: ActionSpace) -> None:
            super().welcome(actions)
            self._policy = always(f"IO/1/{NEWCOMER}/Flash", actions)

    diaries: list[Modern] = []

    def entry(start: Start) -> Modern:
        diaries.append(Modern(start))
        return diaries[-1]

    season = play_season(small("c"), entry, seed=100, chunk=8)
    assert diaries[0].events == ["lesson", "welcome 6", "changed", "lesson"]
    assert NEWCOMER not in season.models[:8]
    assert set(season.models[8:]) == {NEWCOMER}


def test_a_server_that_is_gone_answers_nobody(degraded: tuple[Diary, Season]) -> None:
    _, season = played(small("b"))
    assert season.models[:8] == degraded[1].models[:8]
    assert BEST in season.models[:8]
    assert BEST not in season.models[8:]


def test_whoever_is_warned_never_waits_for_a_server_that_hangs(degraded: tuple[Diary, Season]) -> None:
    world = small("b-hang")
    frozen = play_season(world, Frozen, seed=100, chunk=8)
    warned = play_season(world, lambda start: Warned(start, BEST), seed=100, chunk=8)

    assert warned.models[:8] == frozen.models[:8] == degraded[1].models[:8]
    assert warned.on_time[8:].sum() > frozen.on_time[8:].sum()


def test_a_reference_that_is_told_changes_over_at_once() -> None:
    class Foresighted(Retrained):
        def world_changed(self) -> None:
            self._policy = always("IO/1/llama-3.1-8b/Flash", self._actions)

    season = play_season(small("a"), lambda start: Foresighted(start, start.stored), seed=100, chunk=8)
    assert BEST in season.models[:8]
    assert set(season.models[8:]) == {"llama-3.1-8b"}


def test_unknown_contenders_are_refused() -> None:
    with pytest.raises(ConfigError, match="use one of: online, frozen"):
        rival("nobody")
