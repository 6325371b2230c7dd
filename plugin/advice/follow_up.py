"""What follows a decision: what was interrupted, what waits for the roll-out, what can be measured."""

from __future__ import annotations

from inframind.plugin.advice.config_file import ConfigFile
from inframind.plugin.advice.measurer import Measurer
from inframind.plugin.advice.serving import Serving
from inframind.plugin.advice.stories import Stories
from inframind.traces.advice import AdviceEvent


class FollowUp:
    """Does what is left to be done. Idempotent, and safe in several processes at once, but not for two callers of one.

    Args:
        stories: recommendations and what became of them.
        file: which shows decisions that nobody noted; None where there is none.
        serving: has the roll-out try what is accepted; None without ``[online]``.
        measurer: compares runs before and after; None where somebody else does.
    """

    def __init__(
        self,
        stories: Stories,
        *,
        file: ConfigFile | None,
        serving: Serving | None,
        measurer: Measurer | None,
    ) -> None:
        self._stories, self._file, self._serving, self._measurer = stories, file, serving, measurer

    async def catch_up(self) -> list[AdviceEvent]:
        """Read all that is known, and note what the file says and nobody noted: a decision that was interrupted.

        Raises:
            ConfigError: the file cannot be read.
            StoreError: the store cannot be read or written.
        """
        await self._stories.read()
        if self._file is None:
            return []
        await self._stories.know(self._file.advice())
        noted = [
            await self._stories.add_unless_moved(event) for event in [*self._file.unnoted(self._stories)]
        ]
        await self._stories.read()
        return [event for event in noted if event is not None]

    async def go_on(self) -> list[AdviceEvent]:
        """Have the roll-out follow what was decided, and measure what can be measured.

        Raises:
            StoreError: the store cannot be read or written.
            UnknownPolicy, CheckpointError: what serves cannot be read by this release.
        """
        await self._stories.read()
        followed = await self._serving.tend() if self._serving else []
        return [*followed, *await self._measure()]

    async def _measure(self) -> list[AdviceEvent]:
        if self._measurer is None:
            return []
        measured = await self._measurer.tend(await self._serving.rollout_events() if self._serving else ())
        if measured:
            await self._stories.read()
        return measured
