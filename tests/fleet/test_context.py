"""The step context as a W3C baggage header."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.fleet.context import StepContext

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.builds(
        StepContext,
        trace_id=TEXT,
        question_id=TEXT,
        topology=TEXT,
        node=TEXT,
        position=st.integers(-9, 9),
        team_size=st.integers(1, 6),
        round=st.integers(1, 9),
        role=TEXT,
        strategy=TEXT,
    ),
    st.sampled_from(["", "vendor=1;ttl=3,", " userId = alice ,"]),
)
def test_any_context_survives_the_header_among_other_peoples_members(
    context: StepContext, others: str
) -> None:
    header = context.to_baggage()
    assert header.isascii() and header.isprintable() and " " not in header
    found = StepContext.from_baggage(f"{others}{header}")
    defaults = StepContext()
    assert found is not None
    for name in ("trace_id", "question_id", "topology", "role", "strategy", "position", "team_size", "round"):
        assert getattr(found, name) == getattr(context, name)
    assert found.node == (context.node or defaults.node)


@pytest.mark.parametrize("header", ["", "vendor=1", "inframind.unknown=1", "position=3", ",,;="])
def test_a_header_without_ours_is_none(header: str) -> None:
    assert StepContext.from_baggage(header) is None


def test_properties_and_spaces_around_members_are_ignored() -> None:
    assert StepContext.from_baggage(" inframind.role = Judge ;secret , a=b") == StepContext(role="Judge")


def test_a_position_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="seven"):
        StepContext.from_baggage("inframind.position=seven")
