"""Whether rules written into configurations of all shapes are valid, through the very loader that reads them."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _common import Bench
from pydantic import ValidationError
from rich.console import Console

from inframind.errors import ConfigError
from inframind.plugin.advice.assembly import require_valid
from inframind.plugin.advice.rules import documents_of
from inframind.plugin.advice.toml_edit import require_loading, with_rules
from inframind.router.rules import Circumstances, RoutingRule
from inframind.traces.advice import KINDS, Recommendation

STRATEGIES = ("Flash", "Concise", "Plain", "DeepThink")
TOPOLOGIES = ("IO", "CoT", "Chain", "FullConnected", "Debate", "Reflection")
ROLES = ("MathSolver", "Inspector", "Programmer", "Critic", "Judge")
DOMAINS = ("math", "code", "knowledge", "general")
_NAMES = ("qwen-7b", "llama 70b", "mistral/small", 'say "x"', "größer-32b", "a.b.c", "m_1", "o'hara")


@dataclass(frozen=True, kw_only=True)
class Written:
    """A configuration as somebody wrote it.

    Attributes:
        text: of the file.
        models: that it names.
        endpoints: that it names.
        topologies: that may be planned.
    """

    text: str
    models: tuple[str, ...]
    endpoints: tuple[str, ...]
    topologies: tuple[str, ...]


def report_files(bench: Bench, console: Console, seed: int, *, quick: bool) -> None:
    """Write rules into many files, and read them back."""
    rng = np.random.default_rng(seed)
    files, valid, kept = 100 if quick else 1000, 0, 0
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="inframind-files-") as folder:
        path = Path(folder) / "inframind.toml"
        for _ in range(files):
            written = somebodys_file(rng)
            path.write_bytes(written.text.encode())
            require_loading(tomllib.loads(written.text), path)
            made = somebodys_advice(written, rng)
            try:
                edit = with_rules(path, documents_of(made), advice=made.recommendation_id, title=made.title)
                require_valid(edit)
            except (ConfigError, ValidationError) as error:
                wrong.append(str(error))
                continue
            valid += 1
            kept += _keeps(edit.after, written, made)
    bench.add_bar("files/valid", valid / files, 0.95, "share", direction="at least")
    bench.add_figure("files/nothing else changed", kept / max(valid, 1), "share", f"{files} files")
    for words in sorted(set(wrong))[:5]:
        console.print(f"not valid: {words}", style="dim", markup=False)


def _keeps(after: str, written: Written, made: Recommendation) -> bool:
    """Whether what was there is still there, and what was to be added is."""
    values, before = tomllib.loads(after), tomllib.loads(written.text)
    added = [rule for rule in values.pop("rules", []) if rule.get("advice") == made.recommendation_id]
    before.pop("rules", None)
    return values == before and len(added) == len(made.rules)


def somebodys_file(rng: np.random.Generator) -> Written:
    """A valid configuration: other servers, sections, rules, comments and habits every time."""
    models = tuple(str(name) for name in rng.choice(_NAMES, size=int(rng.integers(2, 5)), replace=False))
    endpoints, blocks = [], []
    for place, model in enumerate(models):
        for replica in range(int(rng.integers(1, 3))):
            endpoints.append(f"gpu-{place}-{replica}")
            blocks.append(_endpoint(endpoints[-1], model, 8000 + 10 * place + replica, rng))
    topologies = _some(TOPOLOGIES, rng) if rng.random() < 0.3 else TOPOLOGIES
    sections = [
        _policy(topologies, rng),
        f"[run]\nbudget_s = {int(rng.integers(5, 300))}  # seconds",
        "[fleet]\nscrape_interval_s = 1.5" if rng.random() < 0.5 else "",
        "[advisor]\nmost = 3" if rng.random() < 0.5 else "",
        _old_rule(models, rng) if rng.random() < 0.4 else "",
    ]
    rng.shuffle(sections)
    head = (
        "# InfraMind\nrules = []\n"
        if rng.random() < 0.1 and not any("rules" in one for one in sections)
        else ""
    )
    text = head + "\n\n".join(part for part in [*blocks, *sections] if part)
    text += ("", "\n", "\n\n# the end")[int(rng.integers(3))]
    if rng.random() < 0.2:
        text = text.replace("\n", "\r\n")
    return Written(text=text, models=models, endpoints=tuple(endpoints), topologies=topologies)


def _endpoint(name: str, model: str, port: int, rng: np.random.Generator) -> str:
    quoted = f"'''{model}'''" if rng.random() < 0.3 else '"' + model.replace('"', '\\"') + '"'
    lines = [f'name = "{name}"', f'base_url = "http://127.0.0.1:{port}/v1"', f"model = {quoted}"]
    lines += ["size_b = 7"] if len(model) % 2 else []
    comment = "  # the one in the cellar" if rng.random() < 0.3 else ""
    return "\n".join([f"[[endpoints]]{comment}", *lines])


def _policy(topologies: Sequence[str], rng: np.random.Generator) -> str:
    lines = ["[policy]", f'name = "{rng.choice(("just_enough", "uniform"))}"']
    lines += [f"exploration = {float(rng.choice((0.05, 0.1)))}"] if rng.random() < 0.6 else []
    if len(topologies) < len(TOPOLOGIES):
        lines.append("topologies = [" + ", ".join(f'"{one}"' for one in topologies) + "]")
    return "\n".join(lines)


def _old_rule(models: Sequence[str], rng: np.random.Generator) -> str:
    name = models[int(rng.integers(len(models)))].replace('"', '\\"')
    if rng.random() < 0.5:
        return f'[[rules]]\nname = "mine"  # do not touch\navoid_models = ["{name}"]\nwhen = {{ domains = ["code"] }}'
    return f'[[rules]]\nname = "mine"\navoid_models = [\n  "{name}",  # slow\n]\n\n[rules.when]\ndomains = ["code"]'


def somebodys_advice(written: Written, rng: np.random.Generator) -> Recommendation:
    """A recommendation of one or two rules of any form that analyses make."""
    rules = [_rule(number, written, rng) for number in range(1 + int(rng.random() < 0.3))]
    return Recommendation(
        recommendation_id=rng.bytes(16).hex(),
        made_at_s=1_700_000_000.0,
        kind=KINDS[int(rng.integers(len(KINDS)))],
        configuration_id=rng.bytes(32).hex(),
        title=f"Do not use {written.models[0]}\nhere"
        if rng.random() < 0.1
        else f"Do not use {written.models[0]}",
        reason="drawn",
        rules=tuple(
            rule.model_dump(mode="json", exclude_defaults=True) | {"name": rule.name} for rule in rules
        ),
        predictions=(),
    )


def _rule(number: int, written: Written, rng: np.random.Generator) -> RoutingRule:
    model = str(rng.choice(written.models))
    what = [
        {"avoid_models": {model}},
        {"only_models": {model}},
        {"avoid_strategies": set(_some(STRATEGIES[:-1], rng))},
        {"avoid_actions": {f"{model}/{rng.choice(STRATEGIES)}"}},
        {"avoid_endpoints": {str(rng.choice(written.endpoints))}},
        {"avoid_topologies": {str(rng.choice(written.topologies))}},
        {"most_agents": int(rng.integers(1, 5))},
    ]
    place = int(rng.integers(len(what)))
    when = _circumstances(written, rng, of_plans=place >= 5)
    return RoutingRule.model_validate({"name": f"r{number}", "when": when, **what[place]})


def _circumstances(written: Written, rng: np.random.Generator, *, of_plans: bool) -> Circumstances:
    begin = int(rng.integers(24))
    hours = (begin, (begin + int(rng.integers(1, 23))) % 24)
    return Circumstances(
        domains=frozenset(_some(DOMAINS, rng)) if rng.random() < 0.4 else frozenset(),
        roles=frozenset(_some(ROLES, rng)) if rng.random() < 0.3 and not of_plans else frozenset(),
        topologies=frozenset(_some(written.topologies, rng))
        if rng.random() < 0.2 and not of_plans
        else frozenset(),
        hours_utc=hours if rng.random() < 0.3 else None,
        min_prompt_tokens=int(rng.integers(1, 500)) if rng.random() < 0.2 else 0,
    )


def _some(names: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    size = int(rng.integers(1, min(3, len(names)) + 1))
    return tuple(str(name) for name in rng.choice(names, size=size, replace=False))
