"""What `route` cannot do for a node as it is, in the log: once per node, with what to change."""

from __future__ import annotations

import logging
import threading

_log = logging.getLogger("inframind.graphs")
_BOTH = "init_chat_model(..., configurable_fields=('model', 'base_url'))"


class Remarks:
    """Says each thing once per node."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: set[tuple[str, str]] = set()

    def not_followed(self, node: str, called: str) -> None:
        """A node's calls took another model than the one that was chosen."""
        self._say(
            node,
            "node %r called %s, which route() did not choose: make it with %s, or give prefix='...'",
            called,
            _BOTH,
        )

    def elsewhere(self, node: str, model: str, place: str) -> None:
        """A node's call took the model that was chosen, but not its server."""
        self._say(
            node,
            "node %r asked for %s at %s, which is not that model's server, and is not routed from now on: "
            "make its model with %s, or give fields=('model',) where one gateway serves all models",
            model,
            place,
            _BOTH,
        )

    def not_found(self, node: str, model: str) -> None:
        """A node's call was answered with 404."""
        self._say(
            node,
            "node %r asked for %s and got 404: either that server does not have it (`inframind doctor` compares), or "
            "the node's model is configurable in 'model' only: make it with %s",
            model,
            _BOTH,
        )

    def lacks(self, node: str, model: str, missing: str) -> None:
        """The model that was chosen for a node cannot do what the node's call needs."""
        self._say(
            node,
            "node %r needs %s, which %s does not have by its configuration; later calls keep to models that do: give "
            "needs={...} to have that from the first call on",
            missing,
            model,
        )

    def _say(self, node: str, text: str, *about: str) -> None:
        with self._lock:
            is_new = (node, text) not in self._said
            self._said.add((node, text))
        if is_new:
            _log.warning(text, node, *about)
