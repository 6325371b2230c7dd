"""The configuration file as the desk sees it: what of advice is in it, and what a decision would make of it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from inframind.fleet.clock import Clock
from inframind.plugin.advice.file_swap import swap
from inframind.plugin.advice.rules import documents_of
from inframind.plugin.advice.stories import Stories, Story
from inframind.plugin.advice.toml_edit import FileEdit, advice_in, digest_of, with_rules, without_rules
from inframind.traces.advice import AdviceEvent, AdviceEventKind, Recommendation

BY_FILE = "file"
"""Who decided, where the file alone says what was decided."""


class ConfigFile:
    """The file into which rules go.

    Args:
        path: of the file.
        require_valid: is given an edit; raises ConfigError where no application could be made of the file then.
        clock: time.
    """

    def __init__(self, path: Path, require_valid: Callable[[FileEdit], None], clock: Clock) -> None:
        self.path = path.absolute()
        self._require_valid, self._clock = require_valid, clock

    def adding(self, made: Recommendation) -> FileEdit:
        """What accepting a recommendation would write.

        Raises:
            ConfigError: the file cannot be edited, or no application could be made of it with these rules.
        """
        edit = with_rules(self.path, documents_of(made), advice=made.recommendation_id, title=made.title)
        self._require_valid(edit)
        return edit

    def removing(self, made: Recommendation) -> FileEdit:
        """What taking it back would write.

        Raises:
            ConfigError: the file cannot be edited.
        """
        return without_rules(self.path, advice=made.recommendation_id)

    def write(self, edit: FileEdit) -> Path | None:
        """Write it; the copy of what the file was, or None where it says so already.

        Raises:
            ConfigError: somebody changed the file meanwhile, or it cannot be written; nothing is changed.
        """
        if not edit.is_change:
            return None
        return swap(edit.path, edit.before, edit.after, at_s=self._clock.wall_s())

    def facts(self, edit: FileEdit, backup: Path | None) -> dict[str, str]:
        """For the event of a decision: which file, where, what it was and what it is."""
        return {
            **self._place(),
            "backup": backup.name if backup else "",
            "digest_before": digest_of(edit.before),
            "digest": digest_of(edit.after),
        }

    def unnoted(self, stories: Stories) -> Iterator[AdviceEvent]:
        """Decisions that the file shows and nobody noted: they were interrupted, or made by hand.

        Raises:
            ConfigError: the file is no TOML.
        """
        if not self.path.is_file():
            return
        present = advice_in(self.path)
        for advice in sorted(present):
            story = stories.story(advice)
            if story is not None and not story.has("accepted", "rejected"):
                yield self._event(story, "accepted", {"rules": documents_of(story.recommendation)})
        for story in stories.accepted():
            is_gone = story.recommendation.recommendation_id not in present
            if is_gone and story.is_in_force and self._was_here(story):
                yield self._event(story, "reverted", {})

    def _was_here(self, story: Story) -> bool:
        accepted = story.event("accepted")
        return accepted is not None and all(accepted.facts.get(k) == v for k, v in self._place().items())

    def _place(self) -> dict[str, str]:
        return {"file": str(self.path), "host": socket.gethostname()}

    def _event(self, story: Story, kind: AdviceEventKind, facts: dict[str, object]) -> AdviceEvent:
        return AdviceEvent(
            recommendation_id=story.recommendation.recommendation_id,
            kind=kind,
            at_s=self._clock.wall_s(),
            by=BY_FILE,
            facts={**self._place(), **facts},
        )
