"""LangChain's integration suite against real vLLM servers: `make test-vllm`.

The model there is tiny and random. What a server promises whoever writes can be asked of it; what takes a mind cannot,
and `TAKES_A_MIND` says which tests those are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests
from tests.contract.vllm_servers import API_KEY, MODEL, has_real_target, real_base_urls

from inframind.plugin.chat import ChatInfraMind
from inframind.plugin.config import settings_from
from inframind.plugin.mind import InfraMind

pytestmark = pytest.mark.vllm

_ARGUMENTS = "checks that arguments of a tool are those that the prompt names; noise names others"
_ANY_JSON = "calls a tool without strict, where vLLM takes any JSON for arguments; noise is seldom an object"
_UNASKED = "wants a tool called that need not be; noise calls none"
_LONG = (
    "wants JSON with free text to end; noise ends a text only when its tokens are spent, in the middle of it"
)
TAKES_A_MIND = {
    "test_tool_calling": _ARGUMENTS,
    "test_tool_calling_async": _ARGUMENTS,
    "test_unicode_tool_call_integration": _ARGUMENTS,
    "test_tool_choice": _ANY_JSON,
    "test_bind_runnables_as_tools": _ANY_JSON,
    "test_tool_calling_with_no_arguments": _ANY_JSON,
    "test_structured_output": _LONG,
    "test_structured_output_async": _LONG,
    "test_structured_output_pydantic_2_v1": _LONG,
    "test_structured_output_optional_param": _LONG,
    "test_json_mode": _LONG,
    "test_agent_loop": _UNASKED,
}


class TestIntegration(ChatModelIntegrationTests):
    mind: InfraMind

    @pytest.fixture(autouse=True)
    async def _mind(self, request: pytest.FixtureRequest) -> AsyncIterator[None]:
        if not has_real_target():
            pytest.skip("needs real vLLM servers: run `make test-vllm`")
        if reason := TAKES_A_MIND.get(request.node.originalname):
            pytest.skip(reason)
        endpoints = [
            {"name": name, "model": MODEL, "base_url": url, "context_length": 16384}
            | ({"api_key": API_KEY} if name == "fcfs" else {"priority": True})
            for name, url in real_base_urls().items()
        ]
        settings = settings_from({"endpoints": endpoints, "traces": {"url": "memory:"}})
        async with InfraMind(settings) as self.mind:
            yield

    @property
    def chat_model_class(self) -> type[ChatInfraMind]:
        return ChatInfraMind

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"mind": self.mind, "max_tokens": 40, "seed": 1, "temperature": 1.0}

    @property
    def model_override_value(self) -> str:
        return MODEL

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True
