"""What of an analysis may be shown to whom: not what is in force through something else, and not what was refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from pydantic import ValidationError

from inframind.advisor.analysis import Analysis
from inframind.advisor.ranking.changes import Change, change_of, rules_of
from inframind.advisor.recommending import Ranking
from inframind.errors import ConfigError
from inframind.fleet.clock import Clock
from inframind.plugin.advice.config_file import ConfigFile
from inframind.plugin.advice.rules import named_rules
from inframind.plugin.advice.stories import Standing, Stories, Story
from inframind.plugin.advice.toml_edit import SHOWN_DIGITS
from inframind.plugin.rule_names import gone_in_words
from inframind.router.rulebook import RuleBook
from inframind.router.rules import RoutingRule
from inframind.traces.advice import Recommendation
from inframind.traces.configurations import Configuration

_OUT_OF_FORCE: tuple[Standing, ...] = ("rejected", "rolled back", "reverted")


def change_in(made: Recommendation) -> Change:
    """What its rules do; nothing where this release cannot read them."""
    return change_of(_rules_in(made))


def same_together(stories: Iterable[Story]) -> list[tuple[Story, ...]]:
    """Stories, the newest first; the undecided ones of one change and segment together.

    Args:
        stories: in the order in which they were made.
    """
    groups: dict[object, list[Story]] = {}
    for story in reversed([*stories]):
        made, change = story.recommendation, change_in(story.recommendation)
        is_alone = story.is_decided or not change
        groups.setdefault(made.recommendation_id if is_alone else (change, made.segment), []).append(story)
    return [tuple(group) for group in groups.values()]


class Effects:
    """What rules do now, and whose they are.

    Args:
        rules: in force; those with ``advice`` are that recommendation's.
    """

    def __init__(self, rules: Iterable[RoutingRule]) -> None:
        self._whose = [(effect, rule) for rule in rules for effect in change_of([rule])]

    def through(self, change: Change, *, but: str = "") -> str:
        """Whose rules do all of a change already, in words; "" where some of it is not in force.

        Args:
            change: what is asked for.
            but: id of a recommendation whose own rules do not count.
        """
        found = [(effect, rule) for effect, rule in self._whose if not but or rule.advice != but]
        if not change or not change <= {effect for effect, _ in found}:
            return ""
        return " and ".join(dict.fromkeys(_named(rule) for effect, rule in found if effect in change))


class Offers:
    """Knows what is in force, and what somebody does not want.

    Args:
        stories: recommendations and what became of them.
        ranking: knows what was refused, and for how long.
        file: whose rules take effect, or None.
        tries: whether what is accepted serves by policy versions: then the file's copies of it do nothing.
        book: gives rules over what may be chosen, to see what of others speaks of what is gone.
        clock: time.
    """

    def __init__(
        self,
        stories: Stories,
        ranking: Ranking,
        file: ConfigFile | None,
        *,
        tries: bool,
        book: Callable[[], RuleBook],
        clock: Clock,
    ) -> None:
        self._stories, self._ranking, self._file = stories, ranking, file
        self._tries, self._book, self._clock = tries, book, clock

    def told(self, story: Story) -> Story:
        """A story that says through what else its change is in force.

        Raises:
            ConfigError: the file cannot be read.
        """
        return self._told(story, self._effects())

    def all(self) -> tuple[Story, ...]:
        """All of them so, in the order in which they were made.

        Raises:
            ConfigError: the file cannot be read.
        """
        effects = self._effects()
        return tuple(self._told(story, effects) for story in self._stories.all())

    def accepted(self) -> tuple[Story, ...]:
        """Those that somebody accepted so, in that order.

        Raises:
            ConfigError: the file cannot be read.
        """
        effects = self._effects()
        return tuple(self._told(story, effects) for story in self._stories.accepted())

    def still_shown(self, together: Iterable[Story]) -> tuple[Story, ...]:
        """Of what was shown together, best first: the open ones as far as nothing was decided since that speaks against
        them, and those that were decided on.

        Raises:
            ConfigError: the file cannot be read.
        """
        effects = self._effects()
        told = (self._told(one, effects) for one in together)
        left = (
            one
            for one in told
            if one.standing != "in force" and (one.standing != "open" or not self._refusal(one))
        )
        return tuple(sorted(left, key=lambda one: one.recommendation.rank))

    def without_what_is_in_force(self, analysis: Analysis) -> Analysis:
        """The analysis with the other options alone.

        Raises:
            ConfigError: the file cannot be read.
        """
        effects = self._effects()
        left = tuple(one for one in analysis.options if not effects.through(change_of(one.rules)))
        return replace(analysis, options=left)

    def hidden(
        self, analysis: Analysis, configuration: Configuration | None, *, segment: str, domain: str
    ) -> Mapping[str, int]:
        """How many of an analysis' options are not for a segment and a domain, by why not.

        Raises:
            ConfigError: the file cannot be read.
        """
        effects = self._effects()
        analysed = Effects(rules_of(configuration.document.get("rules") or ()) if configuration else ())
        why: Counter[str] = Counter()
        for option in analysis.options:
            change = change_of(option.rules)
            if effects.through(change):
                why["in force already"] += 1
            elif analysed.through(change):
                why["in force when runs were last analysed"] += 1
            elif domain and option.domain not in ("", domain):
                why["for another domain"] += 1
            elif refusal := self._ranking.history.objection(
                change,
                option.predictions,
                segment=segment,
                now_s=self._clock.wall_s(),
                pause_s=self._ranking.config.pause_s,
            ):
                why[refusal] += 1
        return why

    def _told(self, story: Story, effects: Effects) -> Story:
        made = story.recommendation
        return replace(
            story,
            through=effects.through(change_in(made), but=made.recommendation_id),
            without_effect=self._without_effect(story),
        )

    def _without_effect(self, story: Story) -> tuple[str, ...]:
        """Of what is on offer or in force."""
        if story.standing in _OUT_OF_FORCE:
            return ()
        try:
            rules = named_rules(story.recommendation)
        except ConfigError:  # a newer release made it, and knows what it names
            return ()
        return tuple(gone_in_words(one) for one in self._book().gone_in(rules))

    def _refusal(self, story: Story) -> str:
        made = story.recommendation
        return self._ranking.history.objection(
            change_in(made),
            made.predictions,
            segment=made.segment,
            now_s=self._clock.wall_s(),
            pause_s=self._ranking.config.pause_s,
        )

    def _effects(self) -> Effects:
        return Effects(self._in_force())

    def _in_force(self) -> Iterator[RoutingRule]:
        for rule in self._file.rules() if self._file else ():
            if not (rule.advice and self._tries):
                yield rule
        for story in self._stories.accepted():
            if story.takes_effect:
                advice = story.recommendation.recommendation_id
                yield from (
                    rule.model_copy(update={"advice": advice}) for rule in _rules_in(story.recommendation)
                )


def _rules_in(made: Recommendation) -> tuple[RoutingRule, ...]:
    try:
        return rules_of(made.rules)
    except ValidationError:  # a newer release made it, and knows what it does
        return ()


def _named(rule: RoutingRule) -> str:
    return rule.advice[:SHOWN_DIGITS] or f"the file's rule {rule.name!r}"
