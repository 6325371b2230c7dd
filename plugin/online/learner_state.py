"""Everything that a learner needs to go on, as bytes that are committed with the lessons that made them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from inframind.errors import CheckpointError
from inframind.router.learning.tensor_file import read_tensor_bytes, tensor_bytes

FORMAT = 1
_NAME = "the learner's state"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerState:
    """Where a learner stands between two commits; never changed, only replaced.

    Attributes:
        learner: the bytes of `OnlineLearner.state`.
        base: version that its lineage began with, "" for the configured policy.
        published: versions that it published and that are still on the shelf, oldest first.
        labelled: labelled runs learned so far, in all.
        fresh: labelled runs learned since its last publication.
        labels: labels heard so far, by kind of source, such as ``user:*``.
        set_aside: labels beyond their source's quota, by kind of source.
        recent: sources of the latest labels, for quotas.
        sources: what sources said beyond predictions, see `SourceBook.to_json`.
        trials: evidence about the candidate and about what serves, by name, see `inframind.plugin.online.trial`.
    """

    learner: bytes
    base: str = ""
    published: tuple[str, ...] = ()
    labelled: int = 0
    fresh: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    set_aside: Mapping[str, int] = field(default_factory=dict)
    recent: tuple[str, ...] = ()
    sources: Sequence[Mapping[str, Any]] = ()
    trials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def lineage(self) -> tuple[str, ...]:
        """Versions that this learner can go on from without a new beginning."""
        return (self.base, *self.published)

    def to_bytes(self) -> bytes:
        """For `Shelf.commit`."""
        header = {"format": FORMAT, **asdict(self)}
        header.pop("learner")
        return tensor_bytes({"learner": np.frombuffer(self.learner, dtype=np.uint8)}, json.dumps(header))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """What `to_bytes` gave.

        Raises:
            CheckpointError: damaged, or of another release.
        """
        file = read_tensor_bytes(content, _NAME)
        header = json.loads(file.header)
        if header.pop("format", None) != FORMAT:
            raise CheckpointError(
                _NAME, f"this release reads format {FORMAT}", "use the release that wrote it"
            )
        for name in ("published", "recent"):
            header[name] = tuple(header[name])
        return cls(learner=file.arrays["learner"].tobytes(), **header)
