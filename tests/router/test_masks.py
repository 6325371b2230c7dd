"""What cannot be chosen, and why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inframind.router.masks import PaceMask, StepMasks, plan_masks
from inframind.router.views import Query, Slot

Q50 = np.array([0.2, 0.7, 1.5, 2.6, 1.2, 4.3, 9.9, 17.0])
Q90 = 1.5 * Q50
FREE = ("",) * 4


def masks(bench: Any, *, remaining_s: float = 1e9, query: Any = None, load: Any = None, **slot: Any) -> Any:
    return StepMasks(bench.actions).of(
        query or Query(text="q"),
        Slot(**{"topology": "IO", **slot}),
        bench.snapshot(**(load or {})),
        Q50,
        Q90,
        remaining_s,
    )


def test_nothing_is_masked_without_a_reason(bench: Any) -> None:
    allowed, reasons = masks(bench)
    assert allowed.all() and reasons == FREE * 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"load": {"a": {"breaker": "open"}}}, ("breaker open",) * 4 + FREE),
        ({"load": {"a": {"breaker": "half_open"}}}, FREE * 2),
        ({"topology": "CoT"}, ("strategy contradicts topology", "", "", "") * 2),
        ({"remaining_s": 3.0}, ("", "", "", "too slow", "", "too slow", "too slow", "too slow")),
        ({"remaining_s": 3.0, "depth_left": 10}, ("", *["too slow"] * 7)),
    ],
)
def test_each_reason_masks_what_it_concerns(
    bench: Any, values: dict[str, Any], expected: tuple[str, ...]
) -> None:
    allowed, reasons = masks(bench, **values)
    assert reasons == expected
    assert (allowed == np.array([not reason for reason in reasons])).all()


def test_capability_and_context_mask_a_model(make_bench: Any) -> None:
    bench = make_bench(a={"capabilities": [], "context_length": 1000}, b={"context_length": 2000})
    query = Query(text="q", needs=frozenset({"json"}))
    assert masks(bench, query=query)[1] == ("capability missing",) * 4 + FREE
    assert masks(bench, prompt_tokens=936)[1] == FREE * 2
    assert masks(bench, prompt_tokens=937)[1] == ("context too long",) * 4 + FREE


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"models": frozenset({"b"})}, ("not asked for",) * 4 + FREE),
        ({"strategies": frozenset({"Flash"})}, ("", *["not asked for"] * 3) * 2),
        (
            {"models": frozenset({"a"}), "strategies": frozenset({"Flash"})},
            ("", *["not asked for"] * 7),
        ),
        ({"models": frozenset({"a", "b"})}, FREE * 2),
    ],
)
def test_what_the_caller_settled_on_masks_the_rest(
    bench: Any, asked: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert masks(bench, **asked)[1] == expected


def test_of_several_reasons_the_caller_s_own_wish_is_named(bench: Any) -> None:
    _, reasons = masks(bench, models=frozenset({"b"}), load={"a": {"breaker": "open"}}, remaining_s=0.1)
    assert reasons[:4] == ("not asked for",) * 4


def test_an_unfit_model_that_was_asked_for_is_called_all_the_same(make_bench: Any) -> None:
    bench = make_bench(a={"capabilities": []}, b={})
    query = Query(text="q", needs=frozenset({"json"}))
    allowed, reasons = masks(bench, query=query, models=frozenset({"a"}))
    assert np.flatnonzero(allowed).tolist() == [0]
    assert reasons == ("", *["capability missing"] * 3, *["not asked for"] * 4)


@pytest.mark.parametrize(
    ("values", "survivor"),
    [
        ({"remaining_s": 0.1}, 0),
        ({"remaining_s": -5.0}, 0),
        ({"remaining_s": 0.1, "topology": "CoT"}, 1),
        ({"remaining_s": 0.1, "load": {"a": {"breaker": "open"}}}, 4),
        ({"load": {"a": {"breaker": "open"}, "b": {"breaker": "open"}}}, 0),
    ],
)
def test_when_nothing_fits_the_fastest_possible_one_is_let_through_alone(
    bench: Any, values: dict[str, Any], survivor: int
) -> None:
    allowed, reasons = masks(bench, **values)
    assert np.flatnonzero(allowed).tolist() == [survivor]
    assert [place for place, reason in enumerate(reasons) if not reason] == [survivor]


@pytest.mark.parametrize(
    ("remaining_s", "allowed"),
    [(10.0, [True, True, True]), (2.0, [True, True, False]), (0.5, [True, False, False])],
)
def test_a_plan_needs_its_least_time(remaining_s: float, allowed: list[bool]) -> None:
    found, reasons = plan_masks(np.array([1.0, 2.0, 3.0]), remaining_s)
    assert found.tolist() == allowed
    assert reasons == tuple("" if fits else "too slow" for fits in allowed)


@pytest.mark.parametrize(
    ("rounds_left", "round_q90_s", "reason"),
    [(1, 5.0, ""), (0, 5.0, "no rounds left"), (1, 10.1, "too slow"), (0, 99.0, "no rounds left")],
)
def test_staying_needs_a_round_and_the_time_for_it(rounds_left: int, round_q90_s: float, reason: str) -> None:
    mask = PaceMask.of(rounds_left, round_q90_s, 10.0)
    assert mask.allowed.tolist() == [not reason, True] and mask.reasons == (reason, "")
