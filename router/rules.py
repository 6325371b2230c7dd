"""Rules: what a configuration, or a person who accepted a recommendation, wants avoided, and when."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inframind.router.topology import MAX_TEAM_SIZE

HOURS = 24
SECONDS_PER_HOUR = 3600


class Circumstances(BaseModel):
    """When a rule applies: all that is given must hold; nothing given is always."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    domains: frozenset[str] = frozenset()
    """Domains of the question; empty means all. So it is with the others."""
    roles: frozenset[str] = frozenset()
    """Roles of the step; a plan has none."""
    topologies: frozenset[str] = frozenset()
    """Topologies of the step's workflow; a plan has none yet."""
    hours_utc: tuple[int, int] | None = None
    """From this full hour on, and before that one, in UTC: (22, 6) is the night."""
    min_prompt_tokens: int = Field(default=0, ge=0)
    """Rough number of tokens of the question, at least."""

    @model_validator(mode="after")
    def _hours_exist(self) -> Self:
        if self.hours_utc is not None:
            begin, end = self.hours_utc
            if not (0 <= begin < HOURS and 0 <= end < HOURS and begin != end):
                raise ValueError(f"hours_utc = {[begin, end]} are not two different hours from 0 to 23")
        return self

    def is_at(self, wall_s: float) -> bool:
        """Whether an instant (seconds since the Unix epoch) is within the hours."""
        if self.hours_utc is None:
            return True
        begin, end = self.hours_utc
        hour = int(wall_s // SECONDS_PER_HOUR) % HOURS
        return begin <= hour < end if begin < end else hour >= begin or hour < end


class RoutingRule(BaseModel):
    """What is not to be chosen under some circumstances.

    Rules narrow a choice and never end a run: where they would leave nothing, they are passed over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    """Unique; shown where it masks something."""
    when: Circumstances = Circumstances()
    """When it applies."""
    avoid_models: frozenset[str] = frozenset()
    """Models that no step uses."""
    only_models: frozenset[str] = frozenset()
    """Models that steps are left with; empty is all."""
    avoid_endpoints: frozenset[str] = frozenset()
    """Servers that are not called while their model has others; a model without others is avoided."""
    avoid_strategies: frozenset[str] = frozenset()
    """Strategies that no step uses."""
    avoid_actions: frozenset[str] = frozenset()
    """Pairs that no step uses, each as ``model/Strategy``."""
    avoid_topologies: frozenset[str] = frozenset()
    """Topologies that are not planned."""
    most_agents: int | None = Field(default=None, ge=1, le=MAX_TEAM_SIZE)
    """Largest team that is planned."""
    advice: str = ""
    """Id of the recommendation that it came from. With ``[online]`` such a rule serves where the roll-out says so."""

    def to_plain(self) -> dict[str, Any]:
        """As plain data, as in the configuration file: what is not as by default, names in alphabetical order."""
        return _plain(self.model_dump(exclude_defaults=True))

    @property
    def asks_for_something(self) -> bool:
        """Whether it avoids anything, or keeps to anything."""
        return any(self._asked().values())

    def _asked(self) -> dict[str, Any]:
        return self.model_dump(exclude={"name", "when", "advice"})

    @model_validator(mode="after")
    def _is_a_rule(self) -> Self:
        asked = self._asked()
        if not any(asked.values()):
            raise ValueError(f"rule {self.name!r} avoids nothing: give at least one of {', '.join(asked)}")
        both = self.avoid_models & self.only_models
        if both:
            raise ValueError(f"rule {self.name!r} avoids and allows {sorted(both)}: leave one out")
        plans = self.avoid_topologies or self.most_agents is not None
        if plans and (self.when.roles or self.when.topologies):
            raise ValueError(
                f"rule {self.name!r} concerns plans, which have neither role nor topology yet: leave them out of `when`"
            )
        return self


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _plain(value)
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
