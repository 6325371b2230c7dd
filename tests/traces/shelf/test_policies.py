"""Versions on every shelf: never changed, found by a few digits, verified when read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from inframind.errors import ConfigError, StoreError, UnknownPolicy
from inframind.traces.shelf import Shelf
from inframind.traces.shelf_checks import digest_of


async def test_a_version_comes_back_as_it_was_with_its_number(shelf: Shelf, made: Any) -> None:
    first, second = made.version(1), made.version(2, parent=made.version(1).version, facts={})
    assert await shelf.add_policy(first, made.content(1)) == replace(first, number=1)
    assert await shelf.add_policy(second, made.content(2)) == replace(second, number=2)
    assert list(await shelf.policies()) == [replace(first, number=1), replace(second, number=2)]
    assert await shelf.policy_content(second.version) == made.content(2)


async def test_adding_a_version_again_changes_nothing(shelf: Shelf, made: Any) -> None:
    once = await shelf.add_policy(made.version(1), made.content(1))
    await shelf.add_policy(made.version(2), made.content(2))
    assert await shelf.add_policy(made.version(1, created_by="user:ann"), made.content(1)) == once
    assert [version.number for version in await shelf.policies()] == [1, 2]


async def test_many_add_at_once_and_numbers_have_no_gaps(shelf: Shelf, made: Any) -> None:
    added = await asyncio.gather(
        *(shelf.add_policy(made.version(n % 5), made.content(n % 5)) for n in range(15))
    )
    assert sorted({version.number for version in added}) == [1, 2, 3, 4, 5]
    assert [version.number for version in await shelf.policies()] == [1, 2, 3, 4, 5]


async def test_a_version_that_is_not_its_contents_digest_is_refused(shelf: Shelf, made: Any) -> None:
    with pytest.raises(ConfigError, match=digest_of(made.content(2))):
        await shelf.add_policy(made.version(1), made.content(2))
    assert list(await shelf.policies()) == []


@pytest.mark.parametrize("value", [float("nan"), "\ud800", object()], ids=["nan", "surrogate", "object"])
async def test_facts_that_are_no_plain_data_are_refused(shelf: Shelf, made: Any, value: object) -> None:
    with pytest.raises(StoreError, match="no plain JSON data"):
        await shelf.add_policy(made.version(1, facts={"loss": value}), made.content(1))


async def test_facts_come_back_as_json_has_them(shelf: Shelf, made: Any) -> None:
    facts = {"names": ("a", "b"), "text": "naïve 答え\x00 🚀 \ue0000", "deep": {"none": None, "n": 1}}
    added = await shelf.add_policy(made.version(1, facts=facts), made.content(1))
    assert added.facts == {**facts, "names": ["a", "b"]}
    assert (await shelf.policies())[0].facts == added.facts


async def test_a_version_is_found_by_its_first_digits(shelf: Shelf, made: Any) -> None:
    (version,) = await made.add(shelf, 1)
    assert (await shelf.policy(version[:6])).version == version
    assert (await shelf.policy(version.upper())).version == version


@pytest.mark.parametrize("prefix", ["12345", "hello world", "0" * 65, "", "______"])
async def test_a_prefix_that_can_be_none_says_how_to_write_one(shelf: Shelf, prefix: str) -> None:
    with pytest.raises(ConfigError, match="6 to 64 hex digits"):
        await shelf.policy(prefix)


async def test_a_prefix_that_begins_several_names_two_of_them(shelf: Shelf, made: Any) -> None:
    contents = [b"%d" % n for n in (4163, 8864)]  # the same first six digits
    versions = [digest_of(content) for content in contents]
    assert versions[0][:6] == versions[1][:6]
    for content, version in zip(contents, versions, strict=True):
        await shelf.add_policy(made.version(0, version=version), content)
    with pytest.raises(ConfigError, match=rf"{min(versions)[:12]}, {max(versions)[:12]}"):
        await shelf.policy(versions[0][:6])
    assert (await shelf.policy(versions[0])).version == versions[0]


async def test_an_unknown_version_is_named(shelf: Shelf, made: Any) -> None:
    unknown = made.version(1).version
    with pytest.raises(UnknownPolicy) as caught:
        await shelf.policy(unknown[:8])
    assert caught.value.version == unknown[:8]
    with pytest.raises(UnknownPolicy):
        await shelf.policy_content(unknown)


async def test_pruning_keeps_the_newest_and_those_in_use(shelf: Shelf, made: Any) -> None:
    versions = await made.add(shelf, *range(6))
    for number, (version, stage) in enumerate(
        [(versions[0], "full"), (versions[1], "full"), (versions[2], "canary")]
    ):
        await shelf.append(made.event(version, stage), after=number)
    assert await shelf.prune_policies(keep=2) == 1
    kept = [version.version for version in await shelf.policies()]
    assert kept == [*versions[:3], *versions[4:]]
    with pytest.raises(UnknownPolicy):
        await shelf.policy_content(versions[3])
    assert await shelf.prune_policies(keep=100) == 0


async def test_a_pruned_version_can_be_added_anew_under_a_new_number(shelf: Shelf, made: Any) -> None:
    await made.add(shelf, 1, 2)
    assert await shelf.prune_policies(keep=1) == 1
    assert (await shelf.add_policy(made.version(1), made.content(1))).number == 3


async def test_at_least_one_version_is_kept(shelf: Shelf) -> None:
    with pytest.raises(ConfigError, match="keep"):
        await shelf.prune_policies(keep=0)
