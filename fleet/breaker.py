"""A circuit breaker: stop sending to an endpoint that keeps failing, and find out when it is back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inframind.errors import ConfigError

BreakerState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, kw_only=True)
class BreakerConfig:
    """When to stop sending, and for how long."""

    failure_threshold: int = 3
    """Consecutive failures that open a closed breaker."""
    open_s: float = 2.0
    """Seconds before the first trial; doubles with every failed trial."""
    max_open_s: float = 60.0
    """Longest wait between trials."""
    trial_timeout_s: float = 30.0
    """A trial that neither succeeds nor fails for so long no longer blocks the next."""

    def __post_init__(self) -> None:
        if self.failure_threshold < 1:
            raise ConfigError("breaker.failure_threshold", self.failure_threshold, "use 1 or more")
        if not 0 < self.open_s <= self.max_open_s:
            raise ConfigError("breaker.open_s", self.open_s, "use a value in (0, breaker.max_open_s]")
        if not self.trial_timeout_s > 0:
            raise ConfigError(
                "breaker.trial_timeout_s", self.trial_timeout_s, "use a positive number of seconds"
            )


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to send one call; give it back with how the call ended.

    Attributes:
        trial: number of the half-open breaker's trial, or None for a call through a closed one.
    """

    trial: int | None = None


class Breaker:
    """Closed, open, half-open. Fed by traffic first and by probes second; every method takes the time.

    Closed lets everything through. Open lets nothing through for a while. Half-open lets one trial through:
    its success closes the breaker, its failure opens it for twice as long. When an endpoint that could not be
    reached is seen alive (its metrics page was read), the open period ends early with a trial; being seen never
    closes a breaker, and says nothing about an endpoint that answers with errors.
    """

    def __init__(self, config: BreakerConfig | None = None) -> None:
        self._config = config or BreakerConfig()
        self._failures = 0
        self._opened_at_s: float | None = None
        self._open_s = self._config.open_s
        self._trial = 0
        self._trial_until_s: float | None = None
        self._was_unreachable = False

    def state(self, now_s: float) -> BreakerState:
        """The state at ``now_s``."""
        if self._opened_at_s is None:
            return "closed"
        return "half_open" if now_s >= self._opened_at_s + self._open_s else "open"

    def allows(self, now_s: float) -> bool:
        """Whether a call may be sent at ``now_s``; asking changes nothing."""
        state = self.state(now_s)
        if state == "half_open":
            return self._trial_until_s is None or now_s >= self._trial_until_s
        return state == "closed"

    def admit(self, now_s: float) -> Permit | None:
        """Like `allows`, and takes the one trial of a half-open breaker; None when nothing may be sent."""
        if not self.allows(now_s):
            return None
        if self._opened_at_s is None:
            return Permit()
        self._trial += 1
        self._trial_until_s = now_s + self._config.trial_timeout_s
        return Permit(self._trial)

    def record_success(self) -> None:
        """A call was answered, the trial or one sent before the breaker opened: close."""
        self._failures = 0
        self._opened_at_s = self._trial_until_s = None
        self._open_s = self._config.open_s

    def record_failure(self, permit: Permit, now_s: float, *, unreachable: bool = False) -> None:
        """A call failed in a way that speaks against the endpoint; ``unreachable`` when there was no reply.

        While the breaker is not closed only its present trial counts: the failures of calls that were sent
        before it opened are old news.
        """
        self._was_unreachable = unreachable
        if self._opened_at_s is not None:
            if self._is_present_trial(permit):
                self._open_s = min(2 * self._open_s, self._config.max_open_s)
                self._open(now_s)
            return
        self._failures += 1
        if self._failures >= self._config.failure_threshold:
            self._open(now_s)

    def record_reported(
        self, sent_s: float, now_s: float, *, unreachable: bool = False, opens: bool = False
    ) -> None:
        """A call that somebody else sent, without a permit, failed in a way that speaks against the endpoint.

        It counts as a call that was let through, or as the trial where one is due; one that was sent before the
        breaker opened is old news.

        Args:
            sent_s: when it was sent.
            now_s: when it failed.
            unreachable: whether there was no reply.
            opens: whether this failure is enough to open a closed breaker.
        """
        is_old = self._opened_at_s is not None and sent_s < self._opened_at_s
        permit = None if is_old else self.admit(now_s)
        if permit is None:
            return
        if opens and self._opened_at_s is None:
            self._failures = self._config.failure_threshold
        self.record_failure(permit, now_s, unreachable=unreachable)

    def record_abandoned(self, permit: Permit) -> None:
        """A call ended without telling anything (cancelled, out of time): give its trial back, if it was one."""
        if self._is_present_trial(permit):
            self._trial_until_s = None

    def record_seen(self, at_s: float) -> None:
        """The endpoint was seen alive at ``at_s``: after it had become unreachable, that allows a trial."""
        if self._was_unreachable and self._opened_at_s is not None and at_s > self._opened_at_s:
            self._opened_at_s = min(self._opened_at_s, at_s - self._open_s)

    def _is_present_trial(self, permit: Permit) -> bool:
        return self._trial_until_s is not None and permit.trial == self._trial

    def _open(self, now_s: float) -> None:
        self._opened_at_s = now_s
        self._trial_until_s = None
