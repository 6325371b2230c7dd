"""LangChain's own suites for chat models, against a simulated fleet over HTTP.

They show that what goes over the wire, and what becomes of it, is as LangChain expects. They say nothing of any
model's abilities: the simulated one calls the tool that it is given, with what the user said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from tests.contract.vllm_servers import SIMULATED_PROFILE

from inframind.plugin.chat import ChatInfraMind
from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind
from inframind.simulator.fleet import SimulatedFleetProcess
from inframind.simulator.model import EchoModel, ToolCaller
from inframind.simulator.server import ServerSpec

MODELS = ("small", "large")
NOWHERE = "http://127.0.0.1:9/v1"
CONFIG = f"""
[traces]
url = "memory:"
[[endpoints]]
name = "small"
model = "small"
base_url = "{NOWHERE}"
"""


@pytest.fixture(scope="module")
def base_urls() -> Iterator[dict[str, str]]:
    specs = [ServerSpec(name=name, model=name, profile=SIMULATED_PROFILE) for name in MODELS]
    with SimulatedFleetProcess(specs, ToolCaller(speaker=EchoModel(n_tokens=24))) as fleet:
        yield dict(fleet.base_urls)


class TestUnit(ChatModelUnitTests):
    config_file = ""

    @pytest.fixture(autouse=True)
    def _config_file(self, tmp_path: Path) -> None:
        path = tmp_path / "inframind.toml"
        path.write_text(CONFIG)
        self.config_file = str(path)

    @pytest.fixture(autouse=True)
    def _trusted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LangChain's loader trusts "all" classes of a list of its own, and others by ``allowed_objects=[...]``.

        The standard test can only say "all".
        """
        loading = import_module("langchain_core.load.load")
        trusted = loading._get_default_allowed_class_paths("all") | {tuple(ChatInfraMind.lc_id())}
        monkeypatch.setitem(loading._default_class_paths_cache, "all", trusted)

    @property
    def chat_model_class(self) -> type[ChatInfraMind]:
        return ChatInfraMind

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"endpoints": {"small": NOWHERE}}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"INFRAMIND_CONFIG": self.config_file, "INFRAMIND_API_KEY": "test"}, {}, {"model_name": "auto"}


class TestIntegration(ChatModelIntegrationTests):
    mind: InfraMind

    @pytest.fixture(autouse=True)
    async def _mind(self, base_urls: dict[str, str]) -> AsyncIterator[None]:
        endpoints = [
            {
                "name": name,
                "model": name,
                "base_url": url,
                "metrics": False,
                "capabilities": ["tools", "json"],
            }
            for name, url in base_urls.items()
        ]
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        async with InfraMind(settings) as self.mind:
            yield

    @property
    def chat_model_class(self) -> type[ChatInfraMind]:
        return ChatInfraMind

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"mind": self.mind}

    @property
    def model_override_value(self) -> str:
        return "large"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True
