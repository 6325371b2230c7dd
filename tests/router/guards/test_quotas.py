"""No flood of feedback drowns the rest."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.router.guards.quotas import QuotaConfig, admit, kind_of
from inframind.router.online.protocol import Label

CONFIG = QuotaConfig(window=100)


def labels(*sources: str) -> dict[str, Label]:
    return {f"{place:032x}": Label(solved=1.0, source=source) for place, source in enumerate(sources)}


def test_a_flood_is_set_aside_and_reported() -> None:
    admission = admit(labels(*["api"] * 50, *["user:eve"] * 400), QuotaConfig())
    kept = Counter(label.source for label in admission.kept.values())
    assert kept == {"api": 50, "user:eve": 12}  # 12 of 62 are a fifth
    assert admission.surplus == {"user:eve": 388}
    assert len(admission.kept) + len(admission.set_aside) == 450


def test_sources_of_one_kind_share_a_quota() -> None:
    crowd = [f"user:{place}" for place in range(400)]
    admission = admit(labels(*["api"] * 40, *crowd), QuotaConfig())
    kept = Counter(kind_of(label.source) for label in admission.kept.values())
    assert kept == {"api": 40, "user:*": 40}


def test_a_trusted_source_has_no_quota() -> None:
    assert not admit(labels(*["grader:math"] * 1000), CONFIG).set_aside


@pytest.mark.parametrize("sources", [["user"] * 10_000, [f"user:{place}" for place in range(10_000)]])
def test_who_is_alone_floods_nobody(sources: list[str]) -> None:
    assert not admit(labels(*sources), CONFIG).set_aside


def test_a_few_who_are_not_trusted_do_not_hold_each_other_down() -> None:
    admission = admit(labels(*["user:ann", "user:bob"] * 5_000), CONFIG)
    kept = Counter(label.source for label in admission.kept.values())
    assert min(kept.values()) > 1_000
    kinds = admit(labels(*["user:ann", "bot:1", "user:bob", "bot:2"] * 2_500), CONFIG)
    assert len(kinds.kept) > 2_000


def test_one_who_shouts_among_many_is_held_to_a_share_of_them() -> None:
    said = [source for place in range(1_000) for source in (f"user:{place % 50}", "user:eve", "user:eve")]
    kept = Counter(label.source for label in admit(labels(*said), CONFIG).kept.values())
    assert kept.total() - kept["user:eve"] == 1_000
    assert kept["user:eve"] <= 0.25 * 1_000


def test_a_flood_beside_a_grader_is_held_to_its_share_for_ever() -> None:
    said = ["grader:math", *["user:eve"] * 9] * 1_000
    kept = Counter(label.source for label in admit(labels(*said), CONFIG).kept.values())
    assert kept["grader:math"] == 1_000
    assert (
        kept["user:eve"] <= 0.5 * 1_000
    )  # a few are always let in: 5 of the 100 in the window, with 10 of the grader
    wide = Counter(label.source for label in admit(labels(*said), QuotaConfig()).kept.values())
    assert wide["user:eve"] <= 0.25 * 1_000


def test_who_was_alone_goes_back_to_a_share_when_others_speak() -> None:
    alone = admit(labels(*["user:ann"] * 1_000), CONFIG)
    then = admit(labels(*["api", "user:ann"] * 1_000), CONFIG, recent=alone.recent)
    kept = Counter(label.source for label in then.kept.values())
    assert kept["api"] == 1_000
    assert kept["user:ann"] <= 0.25 * 1_000


def test_who_is_left_alone_is_learned_from_once_the_others_are_forgotten() -> None:
    both = admit(labels(*["api", "user:ann"] * 1_000), CONFIG)
    alone = admit(labels(*["user:ann"] * 1_000), CONFIG, recent=both.recent)
    assert len(alone.set_aside) <= CONFIG.window


def test_what_is_remembered_is_bounded_and_plain() -> None:
    recent = admit(labels(*["api", "user:eve", "user:eve"] * 500, "+", "-*", ""), CONFIG).recent
    assert len(recent) == CONFIG.window
    assert tuple(json.loads(json.dumps(recent))) == recent


def test_in_parts_or_at_once_is_the_same() -> None:
    flood = labels(*["api", "user:eve", "user:eve", "user:bob"] * 100)
    whole, parts, recent = admit(flood, CONFIG), {}, ()
    for start in range(0, 400, 37):
        part = admit(dict(list(flood.items())[start : start + 37]), CONFIG, recent=recent)
        parts |= part.kept
        recent = part.recent
    assert parts == whole.kept
    assert recent == whole.recent


@given(st.lists(st.sampled_from(["api", "user:a", "user:b", "bot", "*", "+api"]), max_size=600))
def test_nobody_is_let_in_beyond_a_share_while_a_trusted_source_is_heard(sources: list[str]) -> None:
    admission = admit(labels(*sources), CONFIG)
    is_kept = [trace_id in admission.kept for trace_id in labels(*sources)]
    for end, source in enumerate(sources):
        since = max(0, end - CONFIG.window)
        pairs = zip(sources[since:end], is_kept[since:end], strict=True)
        window = [one for one, kept in pairs if kept]
        if is_kept[end] and source != "api" and "api" in window:
            after = window.count(source) + 1
            assert after <= max(CONFIG.free, CONFIG.most_share * (len(window) + 1))


@pytest.mark.parametrize("wrong", [{"most_share": 0.0}, {"free": 500}, {"most_group_share": 1.1}])
def test_what_cannot_be_meant_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=rf"online\.guards\.{next(iter(wrong))}"):
        QuotaConfig(**wrong)  # type: ignore[arg-type]
