"""The summary in the terminal: names that do not fit."""

from __future__ import annotations

import pytest

from inframind.arena.report.text import shortened


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("just-enough", "just-enough"),
        ("trained:runs/learned", "trained:runs/learned"),
        ("trained:/home/me/runs/2026/learned", "trained:…/2026/learned"),
        ("hidden-load:runs/learning/learned", "hidden-load:…/learned"),
        ("trained:runs/a-folder-with-a-very-long-name", "trained:…very-long-name"),
        ("fixed:IO/1/qwen2.5-coder-14b/Plain", "fixed:IO/1/qwen2.5-cod…"),
        ("a-contender-with-a-long-name", "a-contender-with-a-lon…"),
    ],
)
def test_of_a_path_the_last_folders_are_shown(name: str, shown: str) -> None:
    assert shortened(name, 23) == shown


@pytest.mark.parametrize("width", range(10, 40))
def test_a_name_never_takes_more_room_than_there_is(width: int) -> None:
    assert len(shortened("trained:/home/me/runs/2026/learned", width)) <= width
