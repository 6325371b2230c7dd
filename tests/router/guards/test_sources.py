"""Sources whose labels are too good, or too bad, to be true."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from inframind.errors import ConfigError
from inframind.router.guards.sources import SourceBook, SourceConfig, SourceSample, slice_of
from inframind.traces.records import Step, Trajectory

TRUE = {"long": 0.6, "short": 0.7}


def honest(rng: np.random.Generator, source: str, n: int, *, mild: float = 0.0) -> Iterator[SourceSample]:
    """Predictions are off by five points, as they may be."""
    for _ in range(n):
        part = "long" if rng.random() < 0.5 else "short"
        solved = float(rng.random() < TRUE[part] + mild)
        yield SourceSample(source=source, slice=part, solved=solved, expected=TRUE[part] + 0.05)


def praise(rng: np.random.Generator, source: str, n: int) -> Iterator[SourceSample]:
    """Every long answer is good; the short ones are judged so harshly that the average is right."""
    for _ in range(n):
        part = "long" if rng.random() < 0.5 else "short"
        solved = 1.0 if part == "long" else float(rng.random() < 0.3)
        yield SourceSample(source=source, slice=part, solved=solved, expected=TRUE[part] + 0.05)


def book(seed: int, *parts: tuple[str, int], mild: float = 0.0) -> SourceBook:
    rng = np.random.default_rng(seed)
    one = SourceBook().plus(honest(rng, "grader:math", 300))
    for source, n in parts:
        one = one.plus(praise(rng, source, n) if "eve" in source else honest(rng, source, n, mild=mild))
    return one


def test_who_praises_every_long_answer_is_suspected_though_right_on_average() -> None:
    one = book(0, ("user:eve", 150), ("user:ann", 150))
    assert one.suspected(["user:eve", "grader:math"]) == {"user:eve"}
    found = next(each for each in one.suspicions() if each.source == "user:eve")
    assert found.slice in TRUE
    assert "departs from what is known about" in str(found)


def test_many_small_liars_are_suspected_as_a_kind() -> None:
    one = book(1, *[(f"user:eve{place}", 5) for place in range(60)])
    assert one.suspected(["user:eve0", "user:eve59", "bot:x"]) == {"user:eve0", "user:eve59"}


def test_honest_sources_are_hardly_ever_suspected_however_often_one_looks() -> None:
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        one, was = SourceBook().plus(honest(rng, "grader:math", 300)), False
        for _ in range(10):
            one = one.plus(honest(rng, "user:ann", 50))
            was = was or bool(one.suspected(["user:ann"]))
        alarms += was
    assert alarms <= 2


def test_a_little_mildness_is_borne() -> None:
    assert not book(2, ("user:ann", 1000), mild=0.05).suspected(["user:ann"])


def test_trusted_sources_are_never_suspected() -> None:
    rng = np.random.default_rng(3)
    one = SourceBook().plus(praise(rng, "grader:eve", 500))
    assert one.suspicions() == []


def test_without_trusted_labels_predictions_must_do() -> None:
    rng = np.random.default_rng(4)
    one = SourceBook().plus(praise(rng, "user:eve", 300)).plus(honest(rng, "bot", 300))
    assert one.suspected(["user:eve", "bot"]) == {"user:eve"}


def test_when_the_world_changes_nobody_is_held_against_what_was_said_before() -> None:
    rng, config = np.random.default_rng(8), SourceConfig(block=200)
    one = SourceBook(config=config).plus(honest(rng, "grader:math", 150)).plus(honest(rng, "user:ann", 150))
    changed = [
        SourceSample(
            source=f"user:{place % 7}", slice="long", solved=float(rng.random() < 0.2), expected=0.65
        )
        for place in range(600)
    ]
    assert not one.plus(changed).suspicions()


def test_a_source_that_is_alone_has_nobody_to_be_held_against() -> None:
    rng = np.random.default_rng(9)
    assert not SourceBook().plus(praise(rng, "user:eve", 900)).suspicions()


def test_old_blocks_are_forgotten() -> None:
    rng, config = np.random.default_rng(10), SourceConfig(block=50, blocks=2)
    one = SourceBook(config=config).plus(honest(rng, "user:ann", 1000))
    assert sum(row["moments"]["n"] for row in one.to_json() if row["source"] == "user:ann") <= 100


def test_who_comes_back_in_line_is_cleared() -> None:
    one = book(5, ("user:eve", 250))
    assert one.suspected(["user:eve"])
    rng = np.random.default_rng(6)
    assert not one.plus(honest(rng, "user:eve", 5000)).suspected(["user:eve"])


def test_a_book_survives_json() -> None:
    one = book(7, ("user:ann", 20))
    assert SourceBook().with_json(json.loads(json.dumps(one.to_json()))) == one


def test_answers_are_sliced_by_who_wrote_them() -> None:
    step = Step(
        step_id=0,
        node="agent",
        kind="agent",
        position=0,
        round=1,
        role="Solver",
        parents=(),
        decision_id="d",
        model="a",
        strategy="Concise",
        served_model="b",
        started_s=0.0,
        finished_s=1.0,
    )
    run = Trajectory(
        trace_id="0" * 32, question="?", arrived_at_s=0.0, budget_s=1.0, steps=(step,), final_step_id=0
    )
    assert slice_of(run) == "b/Concise"
    assert slice_of(Trajectory(trace_id="0" * 32, question="?", arrived_at_s=0.0, budget_s=1.0)) == ""


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ConfigError):
        SourceConfig(delta=0.0)
