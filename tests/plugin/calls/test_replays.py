"""Decisions by the task that they were made for."""

from __future__ import annotations

from typing import Any, cast

from inframind.plugin.calls.replays import Claim, MadeDecision, Replays
from inframind.plugin.calls.site import CallSite

ONCE, AGAIN = object(), object()


def made(**values: Any) -> MadeDecision:
    return MadeDecision(
        **cast(Any, {"scope": None, "choice": None, "decision": None, "step_id": 0, **values})
    )


def claim(
    replays: Replays, text: str = "q", *, task: str = "task", thread: str = "t", execution: object = ONCE
) -> Claim:
    site = CallSite(thread_id=thread, task_id=task, execution=execution)
    found = replays.claim(site, [{"role": "user", "content": text}])
    assert found is not None
    return found


def test_a_call_that_cannot_be_executed_again_has_no_place() -> None:
    messages = [{"role": "user", "content": "q"}]
    for site in (CallSite(), CallSite(thread_id="t"), CallSite(task_id="task")):
        assert Replays().claim(site, messages) is None


def test_the_same_prompt_in_the_same_task_finds_what_was_decided_before() -> None:
    replays, first = Replays(), made()
    claim(replays).keep(first)
    assert claim(replays, execution=AGAIN).earlier is first
    assert claim(replays, execution=AGAIN, text="another").earlier is None
    assert claim(replays, execution=AGAIN, task="another").earlier is None
    assert claim(replays, execution=AGAIN, thread="another").earlier is None


def test_a_prompt_that_is_asked_twice_has_two_places() -> None:
    replays, first, second = Replays(), made(), made()
    claim(replays).keep(first)
    claim(replays).keep(second)
    assert claim(replays).earlier is None
    assert [claim(replays, execution=AGAIN).earlier for _ in range(3)] == [first, second, None]


def test_calls_side_by_side_find_their_own_by_what_they_ask_whatever_their_order() -> None:
    replays, a, b = Replays(), made(), made()
    claim(replays, "a").keep(a)
    claim(replays, "b").keep(b)
    assert claim(replays, "b", execution=AGAIN).earlier is b
    assert claim(replays, "a", execution=AGAIN).earlier is a


def test_what_failed_is_decided_anew_and_the_new_decision_is_kept() -> None:
    replays, failed, better = Replays(), made(has_failed=True), made()
    claim(replays).keep(failed)
    place = claim(replays, execution=AGAIN)
    assert place.earlier is None
    place.keep(better)
    assert claim(replays, execution=object()).earlier is better


def test_the_order_of_a_message_s_keys_makes_no_difference_and_all_of_its_content_does() -> None:
    replays, first = Replays(), made()
    site, again = (CallSite(thread_id="t", task_id="k", execution=object()) for _ in range(2))
    place = replays.claim(site, [{"role": "user", "content": [{"type": "text", "text": "q"}]}])
    assert place is not None
    place.keep(first)
    same = replays.claim(again, [{"content": [{"type": "text", "text": "q"}], "role": "user"}])
    other = replays.claim(again, [{"content": [{"type": "text", "text": "Q"}], "role": "user"}])
    assert same is not None and other is not None
    assert (same.earlier, other.earlier) == (first, None)


def test_the_tasks_that_waited_longest_are_forgotten() -> None:
    replays = Replays(kept=2)
    for task in ("one", "two"):
        claim(replays, task=task).keep(made())
    claim(replays, task="one", execution=AGAIN)  # looked for again: the other one has waited longer now
    claim(replays, task="three").keep(made())
    assert claim(replays, task="one", execution=object()).earlier is not None
    assert claim(replays, task="two", execution=AGAIN).earlier is None
