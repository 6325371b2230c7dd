"""What is known of a thread."""

from __future__ import annotations

from inframind.plugin.calls.warmth import Threads, Warmth


def at(seconds: float, model: str = "m") -> Warmth:
    return Warmth(model, "e", 100, seconds)


def test_a_prefix_is_warm_until_it_is_taken_to_be_evicted() -> None:
    threads = Threads(lasts_s=60)
    threads.note("t", at(1000.0))
    assert threads.warmth("t", 1060.0) == at(1000.0)
    assert threads.warmth("t", 1060.1) is None
    assert threads.warmth("another", 1000.0) is None


def test_the_latest_call_counts() -> None:
    threads = Threads(lasts_s=60)
    threads.note("t", at(1000.0, "a"))
    threads.note("t", at(1050.0, "b"))
    found = threads.warmth("t", 1100.0)
    assert found is not None and found.model == "b"


def test_the_threads_that_were_silent_longest_are_forgotten() -> None:
    threads = Threads(kept=2)
    for thread in ("one", "two", "one", "three"):
        threads.note(thread, at(0.0))
    assert [threads.warmth(thread, 1.0) is not None for thread in ("one", "two", "three")] == [
        True,
        False,
        True,
    ]


def test_a_thread_s_run_begins_once() -> None:
    threads = Threads()
    assert [threads.begins("t", run) for run in ("a", "a", "b", "a")] == [True, False, True, True]
    assert threads.begins("another", "a")
