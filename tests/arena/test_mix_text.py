"""Mixes as written on the command line."""

from __future__ import annotations

import pytest

from inframind.arena.mix_text import mix_from, schedule_from, shift_from
from inframind.arena.query_mix import AS_IT_COMES, MixSchedule, QueryMix, Shift
from inframind.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("levels=1,2,3", QueryMix(levels={1: 1.0, 2: 1.0, 3: 1.0})),
        ("levels = 1, 5:0.5", QueryMix(levels={1: 1.0, 5: 0.5})),
        ("domains=math;levels=2", QueryMix(levels={2: 1.0}, domains={"math": 1.0})),
        ("subjects=Number Theory:3,Algebra", QueryMix(subjects={"Number Theory": 3.0, "Algebra": 1.0})),
    ],
)
def test_a_mix_is_read(text: str, mix: QueryMix) -> None:
    assert mix_from(text) == mix


def test_shifts_begin_after_a_share_or_after_seconds() -> None:
    hard = QueryMix(levels={5: 2.0})
    assert shift_from("0.5:levels=5:2") == Shift(mix=hard, at_share=0.5)
    assert shift_from("600s:levels=5:2") == Shift(mix=hard, at_s=600.0)


def test_a_schedule_without_words_is_as_it_comes() -> None:
    assert schedule_from("") == AS_IT_COMES
    easy, hard = QueryMix(levels={1: 1.0}), QueryMix(levels={5: 1.0})
    assert schedule_from("levels=1", ["0.5:levels=5"]) == MixSchedule(easy, (Shift(mix=hard, at_share=0.5),))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hard", "write levels=1,2,3"),
        ("colours=red", "write levels=1,2,3"),
        ("levels=", "name every value once"),
        ("levels=1,1", "name every value once"),
        ("levels=1;levels=2", "give levels once"),
        ("levels=easy", "'easy' is no level"),
        ("levels=1:much", "'much' is no weight"),
        ("levels=1:-1", "weights from 0 on"),
        ("levels=1:nan", "weights from 0 on"),
    ],
)
def test_a_mix_that_cannot_be_read_is_explained(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        mix_from(text)


@pytest.mark.parametrize("text", ["levels=5", "0.5", "half:levels=5", "1.5:levels=5", "0s:levels=5"])
def test_a_shift_that_cannot_be_read_is_explained(text: str) -> None:
    with pytest.raises(ConfigError, match=r"such as 0\.5|positive number of seconds"):
        shift_from(text)
