"""What is kept of the texts in a trace: all of them, or their digests. Secrets are kept in neither form.

With digests a trace still says what was decided, why, when and with which outcome, and what the router read of the
question (`Trajectory.question_read`), so that policies learn from it just the same; nobody can read it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from inframind.errors import ConfigError
from inframind.traces.records import Outcome, Step, Trajectory

_PREFIX = "blake2b:"
_DIGEST_BYTES = 16
ReadQuestion = Callable[[str], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedContent:
    """Replaces every text of a trace by a digest of it. Equal texts have equal digests, under one key.

    Attributes:
        key: secret, at least 16 bytes. Without one, short texts such as answers could be guessed by trying.
        read_question: what the router needs to know of a question, as numbers.

    Raises:
        ConfigError: the key is shorter.
    """

    key: bytes = field(repr=False)
    read_question: ReadQuestion

    def __post_init__(self) -> None:
        if len(self.key) < _DIGEST_BYTES:
            raise ConfigError("traces.content_key", "...", f"give a secret of at least {_DIGEST_BYTES} bytes")

    def __call__(self, trajectory: Trajectory) -> Trajectory:
        """The trace without its texts; one that has none any more comes back as it is."""
        if is_hashed(trajectory.question):
            return trajectory
        return replace(
            trajectory,
            question_read=dict(self.read_question(trajectory.question)),
            question=self.digest(trajectory.question),
            answer=self.digest(trajectory.answer),
            text=self.digest(trajectory.text),
            error_detail=self.digest(trajectory.error_detail),
            steps=tuple(self._step(step) for step in trajectory.steps),
            tools=tuple(
                replace(tool, error_detail=self.digest(tool.error_detail)) for tool in trajectory.tools
            ),
            outcomes=tuple(self.outcome(outcome) for outcome in trajectory.outcomes),
        )

    def outcome(self, outcome: Outcome) -> Outcome:
        """The outcome without its comment."""
        return replace(outcome, comment=self.digest(outcome.comment))

    def digest(self, text: str) -> str:
        """``blake2b:<32 hex digits>:<number of characters>``; "" stays empty, and a digest as it is."""
        if not text or is_hashed(text):
            return text
        digest = hmac.new(self.key, text.encode("utf-8", "surrogatepass"), hashlib.blake2b).hexdigest()
        return f"{_PREFIX}{digest[: 2 * _DIGEST_BYTES]}:{len(text)}"

    def _step(self, step: Step) -> Step:
        return replace(
            step,
            text=self.digest(step.text),
            answer=self.digest(step.answer),
            error_detail=self.digest(step.error_detail),
        )


def is_hashed(text: str) -> bool:
    """Whether a text is a digest that `HashedContent` made."""
    kind, _, rest = text.partition(":")
    digest, _, length = rest.partition(":")
    return f"{kind}:" == _PREFIX and len(digest) == 2 * _DIGEST_BYTES and length.isdigit()
