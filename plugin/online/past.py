"""What the roll-out's events say of how it came to be where it is."""

from __future__ import annotations

from inframind.traces.shelf import Rollout, RolloutEvent, Shelf, rollout_after


class RolloutPast:
    """Reads every event once.

    Attributes:
        promotion: event that made what serves now serve; None of the configured policy, and of what serves again since
            another version was rolled back.
        placed_by: who put the candidate where it is, or "" without one.
    """

    def __init__(self) -> None:
        self.promotion: RolloutEvent | None = None
        self.placed_by = ""
        self._rollout = Rollout()

    async def read(self, shelf: Shelf) -> None:
        """Go on to the shelf's last event.

        Raises:
            StoreError: the shelf cannot be read.
        """
        for event in await shelf.events(after=self._rollout.number):
            self._add(event)

    def _add(self, event: RolloutEvent) -> None:
        after = rollout_after(self._rollout, event)
        if after.serving != self._rollout.serving:
            self.promotion = event if event.stage == "full" else None
        if not after.candidate:
            self.placed_by = ""
        elif event.stage is not None and event.version == after.candidate:
            self.placed_by = event.by
        self._rollout = after
