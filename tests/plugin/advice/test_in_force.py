"""Under which rules runs are looked at."""

from __future__ import annotations

import re

from inframind.plugin.config import load_settings

from .conftest import Office


async def test_a_rule_that_the_file_and_the_version_that_serves_both_have_counts_once(here: Office) -> None:
    advice = await here.offered()
    await here.desk().accept(advice, by="user:ann")
    await here.happen((await here.shelf.rollout()).candidate, "full", 1.0)
    here.file.write_text(re.sub(r"(?m)^advice = .*\n", "", here.file.read_text()))
    assert len(load_settings(here.file).own_rules()) == 1
    assert (await here.desk().analyse()).runs == 0
