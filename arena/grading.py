"""Grading in bulk: models that fail tend to give the same few wrong answers, so a verdict is worth remembering."""

from __future__ import annotations

from inframind.rewards.extraction import extract_math
from inframind.rewards.graders import Grader, grader_for
from inframind.simulator.items import Item

GRADER_OF_DOMAIN = {"math": "math"}
"""Names for `grader_for`; other domains are compared exactly."""


class RememberingGrader:
    """Says whether a text answers an item, and remembers each verdict for as long as it lives."""

    def __init__(self) -> None:
        self._graders: dict[str, Grader] = {}
        self._verdicts: dict[tuple[str, str, str], bool] = {}

    def is_right(self, text: str, item: Item) -> bool:
        """Whether the text's final answer is the item's."""
        # A mathematical verdict hangs on the extracted answer alone; whole texts hardly ever repeat.
        said = extract_math(text) if item.domain == "math" else text
        key = (item.domain, item.answer, said)
        if key not in self._verdicts:
            self._verdicts[key] = self._grader(item.domain).grade(text, item.answer).solved
        return self._verdicts[key]

    def _grader(self, domain: str) -> Grader:
        if domain not in self._graders:
            self._graders[domain] = grader_for(GRADER_OF_DOMAIN.get(domain, "exact"))
        return self._graders[domain]
