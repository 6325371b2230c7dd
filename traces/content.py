"""What is kept of the texts in a trace: all of them, or their digests. Secrets are kept in neither form.

With digests a trace still says what was decided, why, when and with which outcome, and what the router read of the
question (`Trajectory.question_read`), so that policies learn from it just the same; nobody can read it.

Kept as they are, in both forms: names (of models, tools, errors, keys of feedback and who gave it), ids, numbers, and
`Trajectory.metadata`, which is the caller's: what must not be kept does not belong there.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from inframind.errors import ConfigError
from inframind.fleet.messages import Attempt
from inframind.traces.records import Outcome, Step, Trajectory

_PREFIX = "blake2b:"
_DIGEST_BYTES = 16
_DIGEST = re.compile(rf"{_PREFIX}[0-9a-f]{{{2 * _DIGEST_BYTES}}}:[1-9][0-9]*", re.ASCII)
ReadQuestion = Callable[[str], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HashedContent:
    """Replaces every text of a trace by a digest of it. Equal texts have equal digests, under one key.

    Attributes:
        key: secret, at least 16 bytes. Without one, short texts such as answers could be guessed by trying.
        read_question: what the router needs to know of a question, as numbers; at least one, for by them a trace shows
            that its texts were left out.

    Raises:
        ConfigError: the key is shorter.
    """

    key: bytes = field(repr=False)
    read_question: ReadQuestion

    def __post_init__(self) -> None:
        if len(self.key) < _DIGEST_BYTES:
            raise ConfigError("traces.content_key", "...", f"give a secret of at least {_DIGEST_BYTES} bytes")

    def __call__(self, trajectory: Trajectory) -> Trajectory:
        """The trace without its texts; one that was read already has none any more, and comes back as it is.

        Never its texts decide that: anybody may ask a question that looks like a digest.
        """
        if trajectory.question_read:
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
        """The outcome without its comment and the label's text. Once only: digests have digests too."""
        value = None if outcome.value is None else self.digest(outcome.value)
        return replace(outcome, comment=self.digest(outcome.comment), value=value)

    def digest(self, text: str) -> str:
        """``blake2b:<32 hex digits>:<number of characters>``; "" stays empty."""
        if not text:
            return ""
        digest = hmac.new(self.key, text.encode("utf-8", "surrogatepass"), hashlib.blake2b).hexdigest()
        return f"{_PREFIX}{digest[: 2 * _DIGEST_BYTES]}:{len(text)}"

    def _step(self, step: Step) -> Step:
        return replace(
            step,
            text=self.digest(step.text),
            answer=self.digest(step.answer),
            error_detail=self.digest(step.error_detail),
            attempts=tuple(self._attempt(attempt) for attempt in step.attempts),
        )

    def _attempt(self, attempt: Attempt) -> Attempt:
        return replace(attempt, detail=self.digest(attempt.detail))


def is_hashed(text: str) -> bool:
    """Whether a text looks like a digest that `HashedContent` made."""
    return _DIGEST.fullmatch(text) is not None
