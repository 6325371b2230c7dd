"""What a simulated model makes of its prompt: the question, and the answers that others have given.

It reads text, as a model would: nothing here knows how prompts are built.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inframind.errors import ConfigError
from inframind.rewards.extraction import stated_answers
from inframind.simulator.arithmetic import arithmetic_item
from inframind.simulator.items import Item, is_generated, item_from_id

_PLACEHOLDER = re.compile(
    r'^\W*$|^["“]|^(\.\.\.|…|\\[lcd]?dots)|\b(your|the|final) answer\b|^answer$', re.IGNORECASE
)
_MAX_PROMPT_CHARS = 200_000


class AnswerKey:
    """Knows the items that may be asked: any generated one by its id, loaded ones by id or by their text, and sums.

    Args:
        items: questions to recognise by their text; generated items asked with their id need no listing.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        listed = tuple(items)
        self._by_id = {item.item_id: item for item in listed}
        self._by_text = {item.question.strip(): item for item in listed}

    def find(self, question_id: str, prompt: str) -> Item | None:
        """The item that is asked, or None: by its id, else by a line or passage of the prompt that equals it."""
        if question_id in self._by_id:
            return self._by_id[question_id]
        if is_generated(question_id):
            return _generated(question_id)
        return self._find_in_text(prompt)

    def _find_in_text(self, prompt: str) -> Item | None:
        for passage in (prompt, *prompt.split("\n\n"), *prompt.split("\n")):
            item = self._by_text.get(passage.strip())
            if item is not None:
                return item
        contained = (item for text, item in self._by_text.items() if text in prompt)
        return max(contained, key=lambda item: len(item.question), default=None) or arithmetic_item(prompt)


def user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of all user messages, parts of multimodal content included, other roles left out."""
    return "\n\n".join(
        _content_text(message.get("content")) for message in messages if message.get("role") == "user"
    )[:_MAX_PROMPT_CHARS]


def visible_answers(prompt: str, question: str) -> list[str]:
    """Answers stated in the prompt outside the question; format instructions are not mistaken for answers."""
    rest = prompt.replace(question, "", 1) if question else prompt
    return [answer for answer in stated_answers(rest) if not _PLACEHOLDER.search(answer)]


def _generated(item_id: str) -> Item | None:
    """A client may send any id: one that only looks generated is an unknown question, not an error."""
    try:
        return item_from_id(item_id)
    except ConfigError:
        return None


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(
            str(part["text"]) for part in content if isinstance(part, Mapping) and "text" in part
        )
    return ""
