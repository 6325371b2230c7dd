"""A chat model on scripted servers."""

from __future__ import annotations

from typing import Any

import pytest

from inframind.plugin.chat import ChatInfraMind


@pytest.fixture
def make_model(make_mind: Any) -> Any:
    """``model = await make_model(script, ..., **fields)``: its mind is ``model.mind``."""

    async def make(*scripts: Any, settings: dict[str, Any] | None = None, **fields: Any) -> ChatInfraMind:
        return ChatInfraMind(mind=await make_mind(*scripts, settings=settings), **fields)

    return make
