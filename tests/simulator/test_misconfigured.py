from __future__ import annotations

from dataclasses import replace

import httpx2
import pytest

from inframind.errors import ConfigError
from inframind.fleet.context import StepContext
from inframind.fleet.endpoints import EndpointSpec
from inframind.simulator.fleet import default_specs
from inframind.simulator.items import generate_item
from inframind.simulator.model import EchoModel
from inframind.simulator.outcome_parameters import OutcomeParameters
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey
from inframind.simulator.server import ServerSpec
from inframind.simulator.virtual import VirtualClock, run_in_virtual_time
from inframind.simulator.virtual_fleet import VirtualFleet

SPEC = default_specs()[0]


def asked(spec: ServerSpec, **body: object) -> tuple[str, int]:
    """Finish reason and length of an answer that would have 40 tokens."""

    async def ask(clock: VirtualClock) -> tuple[str, int]:
        fleet = VirtualFleet([spec], EchoModel(n_tokens=40), clock=clock)
        endpoint = EndpointSpec(name=spec.name, base_url=fleet.base_urls[spec.name], model=spec.model)
        message = {"role": "user", "content": "Count."}
        async with fleet.http_client(endpoint) as http:
            url = f"{fleet.base_urls[spec.name]}/chat/completions"
            reply: httpx2.Response = await http.post(
                url, json={"model": spec.model, "messages": [message], **body}
            )
        fleet.close()
        said = reply.json()
        return said["choices"][0]["finish_reason"], said["usage"]["completion_tokens"]

    return run_in_virtual_time(ask)


def test_a_server_may_limit_every_answer_whatever_is_asked_for() -> None:
    assert asked(SPEC) == ("stop", 40)
    limited = replace(SPEC, max_output_tokens=10)
    assert asked(limited) == ("length", 10)
    assert asked(limited, max_tokens=30) == ("length", 10)
    assert asked(limited, max_tokens=4) == ("length", 4)
    assert asked(replace(SPEC, max_output_tokens=50)) == ("stop", 40)


def test_a_limit_below_one_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_output_tokens"):
        replace(SPEC, max_output_tokens=0)


def test_a_role_and_a_strategy_that_clash_cost_what_they_say_and_only_together() -> None:
    item = generate_item(3, 3)
    clashing = OutcomeParameters(clashes={"Critic": {"Concise": -2.0}})
    plain, clash = (LatentDifficultyModel(AnswerKey([item]), one) for one in (OutcomeParameters(), clashing))

    def chance(model: LatentDifficultyModel, role: str, strategy: str) -> float:
        context = StepContext(role=role, strategy=strategy)
        return model.probability(item, "llama-3.1-8b", context)

    def odds(p: float) -> float:
        return p / (1 - p)

    together = odds(chance(clash, "Critic", "Concise")) / odds(chance(plain, "Critic", "Concise"))
    assert together == pytest.approx(2.718281828**-2, rel=1e-6)
    assert chance(clash, "Critic", "Plain") == chance(plain, "Critic", "Plain")
    assert chance(clash, "Inspector", "Concise") == chance(plain, "Inspector", "Concise")
