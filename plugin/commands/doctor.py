"""``inframind doctor``: is every endpoint what the configuration says it is, and can traces be kept?"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inframind.errors import ConfigError, StoreError
from inframind.fleet.clock import Clock, SystemClock
from inframind.fleet.endpoints import EndpointSpec, group_by_model
from inframind.fleet.probe import Finding, probe_endpoint
from inframind.plugin.commands.doctor_advice import accepted_advice
from inframind.plugin.commands.doctor_policy import served_policy
from inframind.plugin.commands.doctor_rules import checked_rules, served_rules
from inframind.plugin.config import EndpointSection, Settings, load_settings
from inframind.traces.records import Trajectory
from inframind.traces.store import POSTGRES_PREFIXES, open_store, shown_url

STORE = "trace store"
POLICY = "policy"
ADVICE = "advice"
RULES = "rules"
_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}

Report = list[tuple[str, list[Finding]]]


def doctor(config: Path, *, timeout_s: float, console: Console) -> bool:
    """Check everything and print a table; True when nothing failed."""
    settings = load_settings(config)
    report = asyncio.run(_examine(settings, SystemClock(), timeout_s))
    console.print(_table(report))
    findings = [finding for _, group in report for finding in group]
    console.print(_verdict(findings))
    return all(finding.level != "fail" for finding in findings)


async def _examine(settings: Settings, clock: Clock, timeout_s: float) -> Report:
    sections = settings.endpoints
    groups = await asyncio.gather(
        *(_endpoint(section, clock, timeout_s) for section in sections), _store(settings.traces.url, clock)
    )
    names = [*(section.name for section in sections), STORE]
    online = [(POLICY, await served_policy(settings, clock))] if settings.online.enabled else []
    has_advice = any(rule.advice for rule in settings.rules)
    advice = [(ADVICE, await accepted_advice(settings, clock))] if has_advice else []
    rules = checked_rules(settings, await served_rules(settings))
    return [
        *_fleet(sections),
        *([(RULES, rules)] if rules else []),
        *zip(names, groups, strict=True),
        *online,
        *advice,
    ]


def _fleet(sections: Sequence[EndpointSpec]) -> Iterator[tuple[str, list[Finding]]]:
    """What contradicts each other between endpoints; nothing when nothing does."""
    try:
        group_by_model(sections)
    except ConfigError as error:
        yield "fleet", [Finding(check="replicas", level="fail", found=str(error), fix=error.fix)]


async def _endpoint(section: EndpointSection, clock: Clock, timeout_s: float) -> list[Finding]:
    try:
        spec = section.to_spec()
    except ConfigError as error:
        return [
            Finding(check="api key", level="fail", found=f"{error.field} = {error.value!r}", fix=error.fix)
        ]
    return await probe_endpoint(spec, clock, timeout_s=timeout_s)


async def _store(url: str, clock: Clock) -> list[Finding]:
    """Open it, and write, read and delete a trace."""
    probe = Trajectory(
        trace_id=uuid.uuid4().hex, question="doctor's probe", arrived_at_s=clock.wall_s(), budget_s=1.0
    )
    try:
        async with open_store(url) as store:
            started_s = clock.now_s()
            await store.put(probe)
            written_s = clock.now_s() - started_s
            is_same = await store.get(probe.trace_id) == probe
            await store.delete(probe.trace_id)
            count = await store.count()
    except (ConfigError, StoreError) as error:
        fix = error.fix if isinstance(error, ConfigError) else _store_fix(url)
        return [Finding(check="store", level="fail", found=str(error), fix=fix)]
    if not is_same:
        found = f"{shown_url(url)} gave back another trace than was written"
        return [Finding(check="store", level="fail", found=found, fix="move the file away: it is damaged")]
    found = f"{shown_url(url)}: written in {1000 * written_s:.1f} ms, read, deleted; {count:,} traces"
    return [Finding(check="store", level="ok", found=found)]


def _store_fix(url: str) -> str:
    """By kind of store: what is to be looked at where it cannot be opened, written or read."""
    if url.startswith(POSTGRES_PREFIXES):
        return "check that PostgreSQL runs, is reachable from here, and has the user and the database of traces.url"
    return "check the folder, its owner and its free space"


def _table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("where", "check", "result", "found", "fix"):
        table.add_column(name, overflow="fold")
    for where, findings in report:
        for number, finding in enumerate(findings):
            table.add_row(
                Text("" if number else where, "bold"),
                Text(finding.check),
                Text(finding.level, _STYLES[finding.level]),
                Text(finding.found),
                Text(finding.fix),
                end_section=number == len(findings) - 1,
            )
    return table


def _verdict(findings: Sequence[Finding]) -> Text:
    failed = sum(finding.level == "fail" for finding in findings)
    warned = sum(finding.level == "warn" for finding in findings)
    style = _STYLES["fail" if failed else "warn" if warned else "ok"]
    return Text(f"{len(findings)} checks: {failed} failed, {warned} with a warning", style)
