"""The configuration file as the desk sees it: what of advice is in it, and what a decision would make of it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.advice.file_swap import copies_of, read_whole, swap
from inframind.plugin.advice.rules import documents_of
from inframind.plugin.advice.stories import Stories, Story
from inframind.plugin.advice.toml_edit import (
    FileEdit,
    advice_in,
    digest_of,
    require_loading,
    rules_written,
    values_in,
    with_rules,
    without_rules,
)
from inframind.router.rules import RoutingRule
from inframind.traces.advice import BY_FILE, AdviceEvent, AdviceEventKind, Recommendation


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

    def rules(self) -> tuple[RoutingRule, ...]:
        """That are written in it; none where there is no such file.

        Raises:
            ConfigError: it is no TOML, or one is no rule.
        """
        return rules_written(self.path) if self.path.is_file() else ()

    def advice(self) -> frozenset[str]:
        """Ids of the recommendations that it has rules of; none where there is no such file.

        Raises:
            ConfigError: it is no TOML.
        """
        return advice_in(values_in(self.path)) if self.path.is_file() else frozenset()

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
            ConfigError: the file is no TOML, or lacks rules and does not load: an editor may be at work.
        """
        if not self.path.is_file():
            return
        values = values_in(self.path)
        present = advice_in(values)
        for advice in sorted(present):
            story = stories.story(advice)
            if story is not None and not story.is_decided:
                facts = {"rules": documents_of(story.recommendation), **self._copied(story, is_there=True)}
                yield self._event(story, "accepted", facts)
        for story in stories.accepted():
            is_gone = story.recommendation.recommendation_id not in present
            if is_gone and story.is_in_force and self._was_here(story):
                require_loading(values, self.path)  # what is empty or cut off takes nothing back
                yield self._event(story, "reverted", self._copied(story, is_there=False))

    def _copied(self, story: Story, *, is_there: bool) -> dict[str, str]:
        """Facts of the copy that was made when its rules were written or taken out; none where there is no such.

        It is the one that differs from the file by these rules alone, as taking them out of either shows.
        """
        now = read_whole(self.path)
        for copy in copies_of(self.path):
            try:
                before = read_whole(copy)
                longer, shorter = (self.path, before) if is_there else (copy, now)
                rest = without_rules(longer, advice=story.recommendation.recommendation_id).after
            except ConfigError:  # what cannot be read or edited was not written by us
                continue
            if before != now and rest == shorter:
                return {"backup": copy.name, "digest_before": digest_of(before), "digest": digest_of(now)}
        return {}

    def _was_here(self, story: Story) -> bool:
        accepted = story.event("accepted")
        return accepted is not None and all(accepted.facts.get(k) == v for k, v in self._place().items())

    def _place(self) -> dict[str, str]:
        return {"file": str(self.path), "host": socket.gethostname()}

    def _event(self, story: Story, kind: AdviceEventKind, facts: Mapping[str, object]) -> AdviceEvent:
        return AdviceEvent(
            recommendation_id=story.recommendation.recommendation_id,
            kind=kind,
            at_s=self._clock.wall_s(),
            by=BY_FILE,
            facts={**self._place(), **facts},
        )
