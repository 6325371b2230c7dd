"""The seam between the serving engine and whatever thinks of the words: a `LanguageModel`.

The server knows about batches, queues and bytes and nothing about answers; a language model knows what is
asked, and by whom, and nothing about time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from inframind.fleet.context import StepContext


@dataclass(frozen=True, slots=True, kw_only=True)
class SimRequest:
    """What a simulated language model is asked.

    Attributes:
        model: served model name.
        messages: OpenAI-style messages, as they came over the wire.
        context: the workflow step that is asking, from the ``baggage`` header, or None.
        seed: drives all chance of this reply; the same question gets the same seed whatever the load.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...]
    context: StepContext | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimReply:
    """What a simulated language model says.

    Attributes:
        text: the answer's text; its length decides the number of output tokens.
        reasoning: a reasoning model's own thinking, sent before the text and apart from it.
    """

    text: str
    reasoning: str = ""


class LanguageModel(Protocol):
    """Anything that answers. It must be a pure function of the request: no clock, no chance of its own."""

    def reply(self, request: SimRequest) -> SimReply:
        """The whole answer to one request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoModel:
    """Filler text of a fixed length, for tests and load measurements.

    Attributes:
        n_tokens: length of the answer in tokens of `inframind.simulator.tokens`.
        reasoning_tokens: length of the thinking before it.
    """

    n_tokens: int = 16
    reasoning_tokens: int = 0

    def reply(self, request: SimRequest) -> SimReply:
        """Words numbered from the request's seed, one token each."""
        return SimReply(
            text=_filler(request.seed, self.n_tokens),
            reasoning=_filler(request.seed + 1, self.reasoning_tokens),
        )


_WORDS = ("the", "sum", "of", "two", "odd", "sides", "is", "even", "so", "we", "get", "that", "half", "more")


def _filler(seed: int, n_tokens: int) -> str:
    """``n_tokens`` short words; every one is a single token, its leading space included."""
    return " ".join(_WORDS[(seed + index) % len(_WORDS)] for index in range(n_tokens))
