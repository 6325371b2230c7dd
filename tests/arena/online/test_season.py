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


def small(name: str, *, before: int = 16, after: int = 32, delay: int = 4, share: float = 1.0) -> World:
    labels = Labels(share=share, delay=delay)
    return replace(world_named(name), before=before, after=after, labels=labels)


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


@pytest.mark.parametrize("contender", ["frozen", "a2c", "refit", "online"])
def test_a_season_comes_out_the_same_every_time(contender: str) -> None:
    world = small("a")
    assert same(
        play_season(world, rival(contender), seed=100, chunk=8),
        play_season(world, rival(contender), seed=100, chunk=8),
    )


def test_contenders_meet_the_same_requests_until_the_world_changes_and_afterwards() -> None:
    world = small("a")
    questions = [
        [run.run.question for lesson in played(world)[0].lessons for run in lesson] for _ in range(2)
    ]
    assert questions[0] == questions[1]
    unchanged = replace(world, change=Change(models={BEST: world.scenario.parameters.models[BEST]}))
    before, after = played(world)[1].solved, played(unchanged)[1].solved
    assert (before[:16] == after[:16]).all()
    assert before[16:].sum() < after[16:].sum()


def test_every_finished_run_is_handed_over_once_and_no_earlier_than_its_label() -> None:
    diary, season = played(small("a", delay=11))
    handed = [run for lesson in diary.lessons for run in lesson]
    ids = [run.run.trace_id for run in handed]

    assert len(ids) == len(set(ids))
    # Lessons come after 8, 16, ... 40 arrivals, and only runs 11 requests older can be in them.
    limits = [0, 5, 13, 21, 29]
    so_far = np.cumsum([len(lesson) for lesson in diary.lessons])
    assert all(count <= limit for count, limit in zip(so_far, limits, strict=True))
    assert so_far[-1] > 0
    assert [lesson["at"] for lesson in season.lessons] == [8, 16, 24, 32, 40]
    assert [lesson["runs"] for lesson in season.lessons] == [len(lesson) for lesson in diary.lessons]


def test_labels_say_what_the_grader_says() -> None:
    diary, season = played(small("a", delay=0))
    labels = [run.label.solved for lesson in diary.lessons for run in lesson if run.label is not None]
    assert set(labels) == {0.0, 1.0}
    assert sum(labels) <= season.solved.sum()


def test_labels_are_thinned_by_chance_whatever_comes_of_the_runs() -> None:
    world = small("a", delay=0, share=0.25)
    places = label_places(world, 100)
    diary, _ = played(world)
    handed = [run for lesson in diary.lessons for run in lesson]

    assert 0 < sum(run.label is not None for run in handed) <= places.sum()
    assert sum(run.label is None for run in handed) > 0
    assert label_places(replace(world, after=9_984), 100).mean() == pytest.approx(0.25, abs=0.02)


def test_the_world_changes_with_the_request_that_it_should() -> None:
    diary, _ = played(small("a", before=16))
    assert diary.events == ["lesson", "lesson", "changed", "lesson", "lesson", "lesson"]


def test_a_newcomer_is_welcomed_when_it_comes_and_can_be_chosen_from_then_on() -> None:
    diary, _ = played(small("c", before=16))
    assert diary.events[1:4] == ["lesson", "welcome 6", "changed"]

    class Always(Frozen):
        def welcome(self, actions: ActionSpace) -> None:
            self._policy = always(f"IO/1/{NEWCOMER}/Flash", actions)

    season = play_season(small("c", before=16), Always, seed=100, chunk=8)
    assert NEWCOMER not in season.models[:16]
    assert set(season.models[16:]) <= {NEWCOMER, ""}


def test_a_server_that_is_gone_answers_nobody() -> None:
    _, season = played(small("b", before=16, after=48))
    assert BEST in season.models[:16]
    assert BEST not in season.models[16:]


def test_whoever_is_warned_never_waits_for_a_server_that_hangs() -> None:
    world = small("b-hang", before=16, after=48)
    frozen = play_season(world, Frozen, seed=100, chunk=8)
    warned = play_season(world, lambda start: Warned(start, BEST), seed=100, chunk=8)

    assert warned.models[:16] == frozen.models[:16]
    assert warned.on_time[16:].sum() > frozen.on_time[16:].sum()


def test_a_reference_that_is_told_changes_over_at_once() -> None:
    world = small("a", before=16, after=48)

    class Foresighted(Retrained):
        def world_changed(self) -> None:
            self._policy = always("IO/1/llama-3.1-8b/Flash", self._actions)

    season = play_season(world, lambda start: Foresighted(start, start.stored), seed=100, chunk=8)
    assert BEST in season.models[:16]
    assert set(season.models[16:]) <= {"llama-3.1-8b", ""}


def test_unknown_contenders_are_refused() -> None:
    with pytest.raises(ConfigError, match="use one of: online, frozen"):
        rival("nobody")
