"""Prompts: every combination is read for contradictions, and what is shared comes first."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from inframind.errors import ConfigError
from inframind.graphs.domains import FORMAT_RULES, find_answer, guess_domain, require_domain
from inframind.graphs.prompts import TASKS, PeerAnswer, PromptBuilder
from inframind.graphs.registry import TopologyRegistry
from inframind.graphs.roles import DOMAINS, default_roles, merge_roles, parse_roles, roles_by_domain
from inframind.router.actions import DEFAULT_STRATEGIES, StrategySpec

ROLES = merge_roles(default_roles())
BUILDER = PromptBuilder(ROLES, max_peer_chars=50)
STRATEGIES = {strategy.name: strategy for strategy in DEFAULT_STRATEGIES}
PEERS = [PeerAnswer(author="Solver 1", text="It is 7."), PeerAnswer(author="Critic 2", text="It is 8.")]

FORBIDS_WORKING = re.compile(r"without (showing )?any (working|steps|reasoning)|at once|no explanation", re.I)
WANTS_WORKING = re.compile(
    r"step by step|every step|show (your|the|all)|derive|verif|explain|in full|justify|prove", re.I
)
WANTS_BREVITY = re.compile(r"\b(brief|short|concise|few words|only the two)", re.I)
WANTS_LENGTH = re.compile(r"in full|every step|detail|thorough|at length", re.I)
FORBIDS_OTHERS = re.compile(r"on your own|ignore (the )?others|independent(ly)?|do not (look|use)", re.I)
SPEAKS_OF_OTHERS = re.compile(r"answers so far|the others|several members|earlier answer|answer so far", re.I)


def build(role: str, strategy: str, task: str, domain: str, **values: Any) -> list[Any]:
    return BUILDER.messages(
        **{"question": "How many?", "role": role, "task": task, "domain": domain, **values},
        strategy=STRATEGIES[strategy],
    )


def excluded(task: str, strategy: str) -> bool:
    return task == "step_by_step" and strategy in TopologyRegistry().specs["CoT"].excluded_strategies


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_combination_contradicts_itself(domain: str, strategy: str) -> None:
    for role, task in itertools.product(ROLES, TASKS):
        peers = [] if task in ("alone", "step_by_step") else PEERS
        if excluded(task, strategy):
            continue
        text = "\n".join(
            m["content"] for m in build(role, strategy, task, domain, peers=peers, own="Solver 1")
        )
        where = (role, task)
        assert not (FORBIDS_WORKING.search(text) and WANTS_WORKING.search(text)), where
        assert not (WANTS_BREVITY.search(text) and WANTS_LENGTH.search(text)), where
        assert not (FORBIDS_OTHERS.search(text) and SPEAKS_OF_OTHERS.search(text)), where
        assert bool(SPEAKS_OF_OTHERS.search(text)) == bool(peers), where
        assert text.count("\\boxed") == int(domain == "math"), where
        assert text.count("fenced code block") == int(domain == "code"), where
        assert text.count("Final answer: ") == int(domain == "knowledge"), where


def test_the_one_contradiction_that_there_would_be_is_excluded() -> None:
    text = build("MathSolver", "Flash", "step_by_step", "math")[-1]["content"]
    assert FORBIDS_WORKING.search(text) and WANTS_WORKING.search(text)
    assert excluded("step_by_step", "Flash")


@pytest.mark.parametrize("role", ROLES)
def test_a_role_says_who_not_how_much_or_in_which_form(role: str) -> None:
    prompt = ROLES[role].prompt
    for pattern in (FORBIDS_WORKING, WANTS_WORKING, WANTS_BREVITY, WANTS_LENGTH):
        assert not pattern.search(prompt)
    assert not re.search(
        r"boxed|final answer|format|code block|tokens|words", prompt.replace("Translate words", ""), re.I
    )


def test_plain_adds_nothing() -> None:
    plain = build("MathSolver", "Plain", "alone", "math")[-1]["content"]
    assert plain == (
        f"Question:\nHow many?\n\nYour part:\n{ROLES['MathSolver'].prompt}\n"
        f"Answer the question.\n{FORMAT_RULES['math']}"
    )


def test_all_of_a_round_share_a_prefix_with_question_and_peers() -> None:
    prompts = [
        build(role, strategy, "debate", "math", peers=PEERS, own=own)[-1]["content"]
        for role, strategy, own in [
            ("MathSolver", "Plain", "Solver 1"),
            ("Inspector", "Flash", "Critic 2"),
            ("Economist", "DeepThink", ""),
        ]
    ]
    shared = "".join(
        a for a, *rest in itertools.takewhile(lambda c: len(set(c)) == 1, zip(*prompts, strict=False))
    )
    assert "How many?" in shared and "It is 7." in shared and "It is 8." in shared
    assert (
        "marked [Solver 1]" in prompts[0] and "marked [Critic 2]" in prompts[1] and "marked" not in prompts[2]
    )


def test_messages_are_system_history_question() -> None:
    history = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    messages = build("Assistant", "Plain", "alone", "general", history=history)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[1:3] == history
    assert messages[0] == build("Critic", "DeepThink", "judge", "math", peers=PEERS)[0]


def test_a_long_answer_of_a_peer_is_cut_in_the_middle() -> None:
    peer = PeerAnswer(author="Solver 1", text="begin " + "x" * 500 + " the end: 42")
    text = build("Judge", "Plain", "judge", "math", peers=[peer])[-1]["content"]
    assert "begin" in text and "[...]" in text and "the end: 42" in text and "x" * 100 not in text


def test_every_domain_has_roles_and_every_role_a_domain_but_the_judge() -> None:
    by_domain = roles_by_domain(ROLES)
    assert set(by_domain) == set(DOMAINS)
    assert all(len(names) >= 3 for names in by_domain.values())
    assert [role.name for role in ROLES.values() if not role.domains] == ["Judge"]


def test_roles_of_ones_own() -> None:
    own = parse_roles(
        '[[roles]]\nname = "Judge"\ndomains = []\nprompt = "p"\n[[roles]]\nname="N"\ndomains=["law"]\nprompt="q"',
        "x",
    )
    merged = merge_roles(default_roles(), own)
    assert merged["Judge"].prompt == "p" and roles_by_domain(merged)["law"] == ("N",)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[[roles", "mine.toml"),
        ('[[roles]]\nname = ""\ndomains = []\nprompt = "p"', "mine.toml: roles.0.name"),
        ('[[roles]]\nname = "a"\nprompt = "p"', "mine.toml: roles.0.domains"),
        ('[[roles]]\nname = "a"\ndomains = []\nprompt = "p"\nshoe = 1', "mine.toml: roles.0.shoe"),
        ("roles = 5", "mine.toml: roles"),
        ('roles = ["a"]', "mine.toml: roles"),
    ],
)
def test_a_broken_catalogue_is_named(text: str, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_roles(text, "mine.toml")
    assert caught.value.field.startswith(field)


@pytest.mark.parametrize(
    ("question", "domain"),
    [
        ("How many primes are below 100?", "math"),
        ("What is 3 * 4?", "math"),
        ("Write a Python function that reverses a list.", "code"),
        ("Which is largest?\nA) Mars\nB) Venus", "knowledge"),
        ("Tell me a story.", "general"),
    ],
)
def test_the_domain_is_guessed_from_the_surface(question: str, domain: str) -> None:
    assert guess_domain(question) == domain


def test_an_unknown_domain_is_refused() -> None:
    assert require_domain("code") == "code"
    with pytest.raises(ConfigError, match="math, code, knowledge, general"):
        require_domain("law")


@pytest.mark.parametrize(
    ("domain", "text", "answer"),
    [
        ("math", "so \\boxed{42}", "42"),
        ("math", "I do not know", ""),
        ("knowledge", "because.\nFinal answer: B", "B"),
        ("general", "  hello ", "hello"),
        ("code", "```python\nx\n```", "```python\nx\n```"),
        ("math", "", ""),
    ],
)
def test_the_answer_is_found_by_the_domains_rule(domain: str, text: str, answer: str) -> None:
    assert find_answer(text, domain) == answer


def test_strategies_of_ones_own_are_appended_last() -> None:
    pirate = StrategySpec(
        name="Pirate", instruction="Talk like a pirate.", max_tokens=9, expected_output_tokens=3
    )
    messages = BUILDER.messages(
        question="Ho?", domain="general", role="Assistant", task="alone", strategy=pirate
    )
    text = messages[-1]["content"]
    assert text.endswith("Answer the question.\nTalk like a pirate.")
