"""Who looks at runs knows what their configurations were."""

from __future__ import annotations

from dataclasses import replace

from inframind.traces.configurations import Configuration, configuration_of

from .conftest import Office, run


def configuration(instruction: str) -> Configuration:
    return configuration_of(
        {"strategies": {"Plain": {"instruction": instruction}}, "policy": {"version": "1"}}
    )


async def test_runs_of_before_a_strategy_was_changed_are_set_aside(here: Office) -> None:
    old, new = configuration("think"), configuration("think twice")
    for one in (old, new):
        await here.graph.add_configuration(one, at_s=here.clock.wall_s())
    for number in range(6):
        made = run(number, here.clock.wall_s() - 60.0 + number, configuration="")
        decisions = tuple(replace(one, actions=("large/Plain",)) for one in made.decisions)
        name = (old if number < 4 else new).configuration_id
        await here.store.put(replace(made, decisions=decisions, configuration=name))
    desk = here.desk()
    for _ in range(2):
        found = await desk.analyse()
        assert found.runs == 2
        assert found.configuration_id == new.configuration_id
        assert found.notes[0].startswith("4 of 6 runs are set aside")
        assert "strategy Plain (4 runs)" in found.notes[0]
