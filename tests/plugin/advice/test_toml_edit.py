"""Rules into a configuration file and out of it again: what there was stays, and what would not load is not written."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from inframind.errors import ConfigError
from inframind.plugin.advice.file_swap import swap
from inframind.plugin.advice.toml_edit import advice_in, with_rules, without_rules
from inframind.plugin.cli import app
from inframind.plugin.config import load_settings
from inframind.router.rules import Circumstances, RoutingRule

ENDPOINT = '[[endpoints]]\nname = "e"  # the one\nbase_url = "http://gpu/v1"\nmodel = "m"\n'
TRICKY = (
    ENDPOINT,
    ENDPOINT.rstrip("\n"),
    ENDPOINT.replace("\n", "\r\n"),
    ENDPOINT + "\n\n\n# the end\n\n",
    "rules = []\n" + ENDPOINT,
    'rules = [{name = "own", most_agents = 2},  # ours\n]\n' + ENDPOINT,
    ENDPOINT + '[[rules]]\nname = "own"\nonly_models = ["m"]\n[rules.when]\ndomains = ["math"]\n# tail\n',
    ENDPOINT + '[[ "rules" ]]\nname = "own"\nmost_agents = 2\n\n[run]\nbudget_s = 5\n',
    ENDPOINT
    + '[[strategies]]\nname = "S"\nmax_tokens = 9\nexpected_output_tokens = 2\n'
    + 'instruction = """\n[[rules]]\nname = "no rule"\n"""\n',
)
A, B = "a" * 32, "b" * 32
AT_S = 1_700_000_000.0

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
rules = st.builds(
    RoutingRule,
    name=names,
    avoid_models=st.frozensets(names, min_size=1, max_size=3),
    when=st.builds(
        Circumstances,
        domains=st.frozensets(st.sampled_from(["math", "code"])),
        hours_utc=st.none() | st.just((22, 6)),
        min_prompt_tokens=st.integers(0, 100),
    ),
)


def plain(rule: RoutingRule, name: str, advice: str) -> dict[str, Any]:
    return rule.model_copy(update={"name": name, "advice": advice}).to_plain()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "inframind.toml"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("example") / "inframind.toml"
    CliRunner().invoke(app, ["init", str(path)])
    return path.read_text()


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(rules, min_size=1, max_size=2),
    second=rules,
    place=st.integers(0, len(TRICKY)),
    title=names,
    in_order=st.booleans(),
)
def test_any_rules_load_in_any_file_and_taking_them_out_again_leaves_the_very_bytes(
    file: Path,
    example: str,
    first: list[RoutingRule],
    second: RoutingRule,
    place: int,
    title: str,
    in_order: bool,
) -> None:
    before = (example, *TRICKY)[place].encode()
    file.write_bytes(before)
    ours = [plain(rule, f"a{number}", A) for number, rule in enumerate(first)]
    file.write_bytes(with_rules(file, ours, advice=A, title=title).after.encode())
    file.write_bytes(with_rules(file, [plain(second, "b", B)], advice=B, title=title).after.encode())
    loaded = [rule for rule in load_settings(file).rules if rule.advice]
    wanted = [rule.model_copy(update={"name": f"a{n}", "advice": A}) for n, rule in enumerate(first)]
    assert loaded == [*wanted, second.model_copy(update={"name": "b", "advice": B})]
    for advice in (A, B) if in_order else (B, A):
        file.write_bytes(without_rules(file, advice=advice).after.encode())
    assert file.read_bytes() == before


def test_comments_and_layout_stay_when_rules_in_the_middle_are_taken_out(file: Path) -> None:
    rule = plain(RoutingRule(name="x", most_agents=2), "a", A)
    further = "\n# about runs\n[run]\nbudget_s = 5\n"
    file.write_text(ENDPOINT)
    file.write_text(with_rules(file, [rule], advice=A, title="Small teams").after + further)
    assert without_rules(file, advice=A).after == ENDPOINT + further


def test_rules_that_somebody_wrote_anew_are_found_by_their_meaning(file: Path) -> None:
    head = f'[[rules]]\n# why\nadvice = "{A}"\nname = "x"\navoid_models = ["m"]\n'
    file.write_text(ENDPOINT + head + '\n[rules.when]\ndomains = ["math"]\n')
    assert tomllib.loads(without_rules(file, advice=A).after) == tomllib.loads(ENDPOINT)


def test_the_difference_shows_what_is_added_and_by_which_recommendation(file: Path) -> None:
    file.write_text(ENDPOINT)
    rule = plain(RoutingRule(name="x", most_agents=2), "advice-aaaaaaaaaaaa", A)
    lines = with_rules(file, [rule], advice=A, title="Small teams").diff().splitlines()
    assert [line for line in lines if line.startswith("+") and len(line) > 1] == [
        "+++ inframind.toml (then)",
        "+# Recommendation aaaaaaaaaaaa: Small teams",
        "+[[rules]]",
        '+name = "advice-aaaaaaaaaaaa"',
        "+most_agents = 2",
        f'+advice = "{A}"',
    ]


def test_what_is_there_already_is_no_change(file: Path) -> None:
    rule = plain(RoutingRule(name="x", most_agents=2), "a", A)
    file.write_text(ENDPOINT)
    file.write_text(with_rules(file, [rule], advice=A, title="t").after)
    assert not with_rules(file, [rule], advice=A, title="t").is_change
    assert not without_rules(file, advice=B).is_change
    assert advice_in(file) == {A}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (ENDPOINT + "[run]\nbudget = 1\n", "unknown key"),
        (ENDPOINT + "[run\n", "not valid TOML"),
        (ENDPOINT + '[[rules]]\nname = "a"\nmost_agents = 1\n', "a"),
    ],
)
def test_a_file_that_would_not_load_is_not_edited(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        with_rules(file, [plain(RoutingRule(name="x", most_agents=2), "a", A)], advice=A, title="t")
    assert file.read_text() == text


# Swapping --------------------------------------------------------------------------------------------------


def test_a_copy_of_what_there_was_is_kept_with_its_permissions_and_never_overwritten(file: Path) -> None:
    file.write_text("one")
    file.chmod(0o640)
    first = swap(file, "one", "two", at_s=AT_S)
    second = swap(file, "two", "three", at_s=AT_S)
    assert (first.name, first.read_text()) == ("inframind.toml.bak-20231114T221320Z", "one")
    assert (second.name, second.read_text()) == ("inframind.toml.bak-20231114T221320Z-2", "two")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (file, first, second)} == {0o640}
    assert file.read_text() == "three"
    assert len(list(file.parent.iterdir())) == 3


def test_what_was_changed_meanwhile_is_not_lost(file: Path) -> None:
    file.write_text("another hand's")
    with pytest.raises(ConfigError, match="changed meanwhile"):
        swap(file, "one", "two", at_s=AT_S)
    assert file.read_text() == "another hand's"
    assert list(file.parent.iterdir()) == [file]


def test_a_link_a_read_only_file_and_no_file_are_refused(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text(ENDPOINT)
    file.symlink_to(real)
    with pytest.raises(ConfigError, match=r"it is a link.*real\.toml"):
        swap(file, ENDPOINT, "two", at_s=AT_S)
    real.chmod(0o444)
    with pytest.raises(ConfigError, match="read-only"):
        without_rules(real, advice=A)
    real.chmod(0o644)
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        without_rules(file, advice=A)
    assert real.read_text() == ENDPOINT
