"""What the doctor says of rules in the file that came from recommendations."""

from __future__ import annotations

import pytest

from inframind.plugin.advice.toml_edit import with_rules
from inframind.plugin.commands.doctor_advice import accepted_advice
from inframind.plugin.config import load_settings
from inframind.traces.store import open_store

from .conftest import NO_LARGE, PLAIN, Office

HERE = PLAIN + '\n[traces]\nurl = "sqlite:///traces.db"\n'


@pytest.mark.parametrize(
    ("decided", "level", "found"),
    [
        ("accepted", "ok", "Change number 1: in effect"),
        ("rejected", "warn", "Change number 1: it was rejected, and its rules are in the file"),
        ("reverted", "warn", "Change number 1: it was taken back, and its rules are in the file again"),
    ],
)
async def test_rules_that_nobody_wants_any_more_are_warned_of(
    plain: Office, decided: str, level: str, found: str
) -> None:
    plain.file.write_text(HERE)
    settings = load_settings(plain.file)
    async with open_store(settings.traces.url) as store:
        office = Office(file=plain.file, store=store)
        advice = await office.offered()
        if decided == "rejected":
            await office.desk().reject(advice, by="user:ann")
        else:
            await office.desk().accept(advice, by="user:ann")
        if decided == "reverted":
            await office.desk().revert(advice, by="user:ann")
        rule = NO_LARGE.model_copy(update={"advice": advice}).to_plain()
        office.file.write_text(with_rules(office.file, [rule], advice=advice, title="t").after)
    (said,) = await accepted_advice(load_settings(plain.file), plain.clock)
    assert (said.check, said.level, said.found) == (advice[:12], level, found)
