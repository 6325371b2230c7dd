"""What came of a decision."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inframind.plugin.advice.stories import Story
from inframind.plugin.advice.toml_edit import FileEdit


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What came of a decision.

    Attributes:
        story: the recommendation and all that happened so far.
        edit: what was written, or None.
        backup: copy of the file as it was, or None where it was not changed.
        together_with: ids of what was accepted before and is not measured yet, and without which this was predicted:
            what is promised of both together nobody knows.
        still_serves: whether a version with its rules serves all the same, after it was taken back: until a thaw.
    """

    story: Story
    edit: FileEdit | None = None
    backup: Path | None = None
    together_with: tuple[str, ...] = ()
    still_serves: bool = False
