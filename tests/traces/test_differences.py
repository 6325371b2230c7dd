"""What changed between two documents: everything that did, nothing that did not, by paths that people can read."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from inframind.traces.configurations import configuration_of
from inframind.traces.differences import differences
from inframind.traces.outcome_graph import Difference

_KEYS = st.sampled_from(["a", "b", "name", "c_d"])
_LEAVES = st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["", "x", "y"])
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(_KEYS, inner, max_size=3)
        | st.lists(st.fixed_dictionaries({"name": st.sampled_from("pqr"), "v": inner}), max_size=3)
    ),
    max_leaves=12,
)
_DOCUMENTS = st.dictionaries(_KEYS, _VALUES, max_size=4)


def applied(document: dict[str, Any], changes: tuple[Difference, ...]) -> dict[str, Any]:
    """The document with what changed, which the paths and values of the differences must suffice for."""
    copied: dict[str, Any] = copy.deepcopy(document)
    for change in changes:
        _apply(copied, change.path.split("."), change)
    return copied


def _apply(where: Any, path: list[str], change: Difference) -> None:
    key, *rest = path
    if isinstance(where, list):
        _apply_to_named(where, key, rest, change)
    elif rest:
        _apply(where[key], rest, change)
    elif _is_order(where.get(key), change):
        where[key].sort(key=lambda one: change.after.index(one["name"]))
    elif change.after is None:
        del where[key]
    else:
        where[key] = change.after


def _apply_to_named(where: list[Any], name: str, rest: list[str], change: Difference) -> None:
    place = next((k for k, one in enumerate(where) if one["name"] == name), None)
    if rest:
        assert place is not None
        _apply(where[place], rest, change)
    elif place is None:
        where.append(change.after)
    else:
        where.pop(place)


def _is_order(value: Any, change: Difference) -> bool:
    """Whether a difference says how a list of named things is ordered: names stand for things."""
    is_named = isinstance(value, list) and all(isinstance(one, dict) for one in value)
    return is_named and bool(change.before) and all(isinstance(one, str) for one in change.before)


def same(one: Any, other: Any) -> bool:
    """Equal but for the places of what was added to a list of named things: additions come last."""
    return json.dumps(_in_order(one), sort_keys=True) == json.dumps(_in_order(other), sort_keys=True)


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _in_order(one) for key, one in value.items()}
    if isinstance(value, list):
        inside = [_in_order(one) for one in value]
        if all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in inside):
            inside.sort(key=lambda one: json.dumps(one, sort_keys=True))
        return inside
    return value


@given(_DOCUMENTS)
def test_a_document_does_not_differ_from_itself(document: dict[str, Any]) -> None:
    assert differences(document, copy.deepcopy(document)) == ()


@given(_DOCUMENTS, _DOCUMENTS)
def test_the_old_document_with_its_differences_is_the_new_one(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    assert same(applied(old, differences(old, new)), new)


@given(_DOCUMENTS, _DOCUMENTS)
def test_looking_the_other_way_swaps_before_and_after(old: dict[str, Any], new: dict[str, Any]) -> None:
    back = [Difference(path=one.path, before=one.after, after=one.before) for one in differences(new, old)]
    assert differences(old, new) == tuple(back)


@given(_DOCUMENTS, _DOCUMENTS)
def test_documents_differ_where_their_configurations_do(old: dict[str, Any], new: dict[str, Any]) -> None:
    ids = [configuration_of({**one, "policy": {}}).configuration_id for one in (old, new)]
    assert (ids[0] == ids[1]) == (not differences(old, new))


def test_things_are_compared_by_name_wherever_they_stand() -> None:
    old = {"strategies": [{"name": "Flash", "max_tokens": 100}, {"name": "Plain"}, {"name": "gone"}]}
    new = {"strategies": [{"name": "Plain"}, {"name": "Flash", "max_tokens": 200}, {"name": "new"}]}
    assert differences(old, new) == (
        Difference(path="strategies.Flash.max_tokens", before=100, after=200),
        Difference(path="strategies.gone", before={"name": "gone"}, after=None),
        Difference(path="strategies.new", before=None, after={"name": "new"}),
        Difference(path="strategies", before=["Flash", "Plain", "gone"], after=["Plain", "Flash", "new"]),
    )


def test_a_name_with_a_dot_stands_in_quotes() -> None:
    old, new = ({"models": [{"name": "qwen2.5", "size_b": size}]} for size in (7, 14))
    assert differences(old, new) == (Difference(path='models."qwen2.5".size_b', before=7, after=14),)


def test_other_lists_are_compared_as_one_value() -> None:
    found = differences({"topologies": ["Solo", "Debate"]}, {"topologies": ["Debate"]})
    assert found == (Difference(path="topologies", before=["Solo", "Debate"], after=["Debate"]),)


def test_what_is_none_is_not_there_and_one_is_not_true() -> None:
    assert differences({"a": None, "b": 1}, {"b": True}) == (Difference(path="b", before=1, after=True),)
