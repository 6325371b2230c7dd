"""What a chat model can do, as LangChain's agents ask: from what the endpoints are declared to be capable of."""

from __future__ import annotations

from collections.abc import Mapping

from langchain_core.language_models import ModelProfile

from inframind.fleet.endpoints import ModelFacts


def profile_of(models: Mapping[str, ModelFacts], name: str) -> ModelProfile:
    """The profile of one model; of all together for ``auto``, since calls go to whichever is capable.

    What nobody declares is left out, not denied: a server may well do it.
    """
    among = [models[name]] if name in models else list(models.values())
    capable = frozenset().union(*(facts.capabilities for facts in among))
    profile = ModelProfile(
        max_input_tokens=max(facts.context_length for facts in among), text_inputs=True, text_outputs=True
    )
    if "tools" in capable:
        profile["tool_calling"] = profile["tool_choice"] = True
    if "json" in capable:
        profile["structured_output"] = True
    if "vision" in capable:
        profile["image_inputs"] = profile["image_url_inputs"] = True
    if "reasoning" in capable:
        profile["reasoning_output"] = True
    return profile
