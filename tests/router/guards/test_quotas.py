"""No flood of feedback drowns the rest."""

from __future__ import annotations

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
    admission = admit(labels(*["api"] * 50, *["user:eve"] * 500), CONFIG)
    kept = Counter(label.source for label in admission.kept.values())
    assert kept == {"api": 50, "user:eve": 12}  # 12 of 62 are a fifth
    assert admission.surplus == {"user:eve": 488}
    assert len(admission.kept) + len(admission.set_aside) == 550


def test_sources_of_one_kind_share_a_quota() -> None:
    crowd = [f"user:{place}" for place in range(400)]
    admission = admit(labels(*["api"] * 40, *crowd), CONFIG)
    kept = Counter(kind_of(label.source) for label in admission.kept.values())
    assert kept == {"api": 40, "user:*": 40}


def test_a_trusted_source_has_no_quota() -> None:
    assert not admit(labels(*["grader:math"] * 1000), CONFIG).set_aside


def test_a_source_that_is_alone_gives_a_few() -> None:
    assert len(admit(labels(*["user:ann"] * 100), CONFIG).kept) == CONFIG.free


def test_room_comes_back_as_others_speak() -> None:
    first = admit(labels(*["user:ann"] * 100), CONFIG)
    then = admit(labels(*["api"] * 90, *["user:ann"] * 100), CONFIG, recent=first.recent)
    assert Counter(label.source for label in then.kept.values())["user:ann"] == 20  # of the 100 in the window


def test_in_parts_or_at_once_is_the_same() -> None:
    flood = labels(*["api", "user:eve", "user:eve", "user:bob"] * 100)
    whole, parts, recent = admit(flood, CONFIG), {}, ()
    for start in range(0, 400, 37):
        part = admit(dict(list(flood.items())[start : start + 37]), CONFIG, recent=recent)
        parts |= part.kept
        recent = part.recent
    assert parts == whole.kept
    assert recent == whole.recent


@given(st.lists(st.sampled_from(["api", "user:a", "user:b", "bot"]), max_size=600))
def test_nobody_exceeds_the_share_in_any_window(sources: list[str]) -> None:
    kept = [label.source for label in admit(labels(*sources), CONFIG).kept.values()]
    for end in range(1, len(kept) + 1):
        window = kept[max(0, end - CONFIG.window) : end]
        for source in ("user:a", "user:b", "bot"):
            assert window.count(source) <= max(CONFIG.free, CONFIG.most_share * len(window))


@pytest.mark.parametrize("wrong", [{"most_share": 0.0}, {"free": 500}, {"most_group_share": 1.1}])
def test_what_cannot_be_meant_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        QuotaConfig(**wrong)  # type: ignore[arg-type]
