"""Which nodes do as they are told: does a call take the chosen model because it was chosen?"""

from __future__ import annotations

from collections import defaultdict


class Habits:
    """Tells calls that follow a choice from calls that would have taken the same model anyway.

    That a client's fields are configurable cannot be seen from outside, and a client that always calls one model would
    seem to follow whenever that one is chosen: learners would then see its successes with a probability that they never
    had. So a model that a node called against the choice counts as following only in a node that has followed with
    another one. What cannot be told is the time before a node's first call against a choice.
    """

    def __init__(self) -> None:
        self._with: defaultdict[str, set[str]] = defaultdict(set)
        self._against: defaultdict[str, set[str]] = defaultdict(set)

    def follows(self, node: str, chosen: str, called: str) -> bool:
        """Note a call, and tell whether it follows the choice.

        Args:
            node: name of the node.
            chosen: model that was chosen for it.
            called: model that it called.
        """
        if called != chosen:
            self._against[node].add(called)
            return False
        self._with[node].add(called)
        return bool(self._with[node] - self._against[node])
