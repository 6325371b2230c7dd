"""What every section of the configuration has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Values of one table: unknown keys are errors, and what was given is not repeated in them."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
