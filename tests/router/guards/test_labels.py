"""From feedback to labels: whose word counts, and how much."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.guards.labels import Trust, labels_of
from inframind.router.online.protocol import Label
from inframind.traces.records import Outcome, SolvedKeys, Trajectory

TRACE = "f" * 32


def run(*said: tuple[str, float | None], key: str = "solved") -> Trajectory:
    outcomes = tuple(
        Outcome(feedback_id=str(place), key=key, score=score, source=source, recorded_at_s=float(place))
        for place, (source, score) in enumerate(said)
    )
    return Trajectory(trace_id=TRACE, question="?", arrived_at_s=0.0, budget_s=1.0, outcomes=outcomes)


def label(*said: tuple[str, float | None], trust: Trust | None = None) -> Label | None:
    return labels_of([run(*said)], trust=trust).get(TRACE)


@pytest.mark.parametrize(
    ("source", "weight"), [("grader:math", 1.0), ("api", 1.0), ("user:ann", 0.5), ("user", 0.5), ("bot", 0.2)]
)
def test_a_label_weighs_what_its_source_is_trusted(source: str, weight: float) -> None:
    assert label((source, 1.0)) == Label(solved=1.0, weight=weight, source=source)


def test_no_feedback_is_no_label_and_not_a_zero() -> None:
    assert labels_of([run(), run(("api", None))]) == {}


def test_the_most_trusted_decides_and_weighs_less_for_the_dissent() -> None:
    assert label(("grader:math", 0.0), ("user:ann", 1.0)) == Label(
        solved=0.0, weight=pytest.approx(1 / 1.5), source="grader:math"
    )


def test_agreement_takes_no_weight_away() -> None:
    assert label(("grader:math", 1.0), ("user:ann", 1.0)) == Label(solved=1.0, source="grader:math")


def test_of_equals_the_one_heard_last_decides_at_half_the_weight() -> None:
    assert label(("user:ann", 0.0), ("user:bob", 1.0)) == Label(solved=1.0, weight=0.25, source="user:bob")
    assert label(("user:bob", 1.0), ("user:ann", 0.0)) == Label(solved=0.0, weight=0.25, source="user:ann")


def test_who_changes_their_mind_is_taken_at_their_last_word() -> None:
    assert label(("user:ann", 0.0), ("user:ann", 1.0)) == Label(solved=1.0, weight=0.5, source="user:ann")


def test_a_source_without_trust_or_under_suspicion_is_not_heard() -> None:
    assert label(("user:ann", 1.0), trust=Trust(sources={"user:*": 0.0})) is None
    assert labels_of([run(("user:ann", 1.0))], suspected={"user:ann"}) == {}


def test_the_first_pattern_that_fits_counts() -> None:
    trust = Trust(sources={"user:ann": 0.9, "user:*": 0.1})
    assert (trust.of("user:ann"), trust.of("user:bob"), trust.of("else")) == (0.9, 0.1, 0.2)


@pytest.mark.parametrize("score", [math.inf, -math.inf, math.nan])
def test_a_score_that_is_no_number_is_not_heard(score: float) -> None:
    assert label(("api", score)) is None


def test_other_keys_count_where_they_are_named() -> None:
    one = run(("user:ann", 4.0), key="stars")
    assert labels_of([one]) == {}
    assert labels_of([one], keys=SolvedKeys({"stars": 4.0}))[TRACE].solved == 1.0


@given(st.floats(-1e9, 1e9))
def test_grades_are_clipped_to_their_range(score: float) -> None:
    graded = label(("api", score), trust=Trust(graded=True, least=1.0, most=5.0))
    assert graded is not None
    assert graded.solved == pytest.approx(min(max((score - 1) / 4, 0.0), 1.0))


@given(st.lists(st.tuples(st.sampled_from(["api", "user:a", "user:b", "x"]), st.floats(-2, 2)), max_size=8))
def test_a_label_is_in_range_and_names_who_spoke(said: list[tuple[str, float]]) -> None:
    got = label(*said)
    if got is not None:
        assert got.solved in (0.0, 1.0)
        assert 0 < got.weight <= Trust().of(got.source)
        assert got.source in {source for source, _ in said}


@pytest.mark.parametrize("wrong", [{"unknown": 2.0}, {"sources": {"a": -1.0}}, {"least": 1.0}])
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Trust(**wrong)  # type: ignore[arg-type]
