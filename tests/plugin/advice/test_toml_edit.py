"""Rules into a configuration file and out of it again: what there was stays, and what would not load is not written."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from inframind.errors import ConfigError
from inframind.plugin.advice.toml_edit import advice_in, values_in, with_rules, without_rules
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
    ('rules = [{name = "own", most_agents = 2},  # ours\n]\n' + ENDPOINT).replace("\n", "\r\n"),
    ENDPOINT + '[[rules]]\nname = "own"\nonly_models = ["m"]\n[rules.when]\ndomains = ["math"]\n# tail\n',
    ENDPOINT + '[[ "rules" ]]\nname = "own"\nmost_agents = 2\n\n[run]\nbudget_s = 5\n',
    ENDPOINT
    + '[[strategies]]\nname = "S"\nmax_tokens = 9\nexpected_output_tokens = 2\n'
    + 'instruction = """\n[[rules]]\nname = "no rule"\n"""\n',
)
A, B = "a" * 32, "b" * 32

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


def test_the_difference_shows_nothing_of_what_stands_around_it(file: Path) -> None:
    file.write_text(ENDPOINT + 'api_key = "sesame"\n')
    rule = plain(RoutingRule(name="x", most_agents=2), "a", A)
    assert "sesame" not in with_rules(file, [rule], advice=A, title="t").diff()


def test_what_is_there_already_is_no_change(file: Path) -> None:
    rule = plain(RoutingRule(name="x", most_agents=2), "a", A)
    file.write_text(ENDPOINT)
    file.write_text(with_rules(file, [rule], advice=A, title="t").after)
    assert not with_rules(file, [rule], advice=A, title="t").is_change
    assert not without_rules(file, advice=B).is_change
    assert advice_in(values_in(file)) == {A}


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


def test_what_is_no_utf8_or_has_a_byte_order_mark_is_said_to_be_so_and_left_alone(file: Path) -> None:
    rule = plain(RoutingRule(name="x", most_agents=2), "a", A)
    for content, fix in (
        (ENDPOINT.encode("utf-16"), "save it as UTF-8"),
        (b"# \xe9\n" + ENDPOINT.encode(), "save it as UTF-8"),
        (b"\xef\xbb\xbf" + ENDPOINT.encode(), "byte order mark: save it as UTF-8 without one"),
    ):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=fix):
            with_rules(file, [rule], advice=A, title="t")
        assert file.read_bytes() == content


def test_taking_the_first_of_many_rules_out_is_not_confused_by_those_after_it(file: Path) -> None:
    file.write_text(ENDPOINT)
    ours = plain(RoutingRule(name="x", most_agents=2), "a", A)
    file.write_text(with_rules(file, [ours], advice=A, title="t").after)
    own = "".join(
        f'\n[[rules]]\nname = "r{n}"\nmost_agents = 2\n[rules.when]\nroles = []\n' for n in range(30)
    )
    file.write_text(file.read_text() + own)
    assert without_rules(file, advice=A).after == ENDPOINT + own
