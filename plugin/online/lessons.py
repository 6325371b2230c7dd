"""From matured traces to lessons: whose word counts, how much of it, and who is not heard for a while."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inframind.plugin.online.learner_state import LearnerState
from inframind.router.guards.labels import Trust, labels_of
from inframind.router.guards.quotas import Admission, QuotaConfig, admit, kind_of
from inframind.router.guards.sources import SourceBook, SourceConfig, SourceSample, slice_of
from inframind.router.online.evidence import EvidenceReader
from inframind.router.online.protocol import Label, LabelledRun
from inframind.traces.records import SOLVED_ONLY, SolvedKeys, Trajectory


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """Whose feedback is listened to.

    Attributes:
        keys: which feedback is a verdict.
        trust: how far each source is believed.
        quotas: how much one source may say.
        suspicion: when a source is not heard.
    """

    keys: SolvedKeys = SOLVED_ONLY
    trust: Trust = field(default_factory=Trust)
    quotas: QuotaConfig = field(default_factory=QuotaConfig)
    suspicion: SourceConfig = field(default_factory=SourceConfig)

    def book(self, state: LearnerState) -> SourceBook:
        """What sources have said so far."""
        return SourceBook(config=self.suspicion, trust=self.trust).with_json(state.sources)

    def labels(self, runs: Sequence[Trajectory], book: SourceBook) -> Mapping[str, Label]:
        """Labels of those who are not suspected, by trace id."""
        said = {outcome.source for run in runs for outcome in run.outcomes}
        return labels_of(runs, keys=self.keys, trust=self.trust, suspected=book.suspected(said))

    def proofs(self, runs: Sequence[Trajectory], book: SourceBook, recent: tuple[str, ...]) -> Admission:
        """Labels by which a candidate is judged, within the quotas: a flood must not promote what it praises.

        Args:
            runs: in the order in which they are to count.
            book: who is suspected.
            recent: latest labels of this trial, as `admit` left them.
        """
        labels = self.labels(runs, book)
        given = {run.trace_id: labels[run.trace_id] for run in runs if run.trace_id in labels}
        return admit(given, self.quotas, trust=self.trust, recent=recent)

    def lessons(
        self, runs: Sequence[Trajectory], state: LearnerState, reader: EvidenceReader
    ) -> tuple[list[LabelledRun], LearnerState]:
        """What is to be learned of these runs, and the state with what was heard.

        A label beyond its source's quota is set aside: the run is learned from without it.
        """
        book = self.book(state)
        if self._can_suspect(book, runs):
            book = book.plus(self._samples(runs, reader))
        labels = self.labels(runs, book)
        given = {run.trace_id: labels[run.trace_id] for run in runs if run.trace_id in labels}
        admitted = admit(given, self.quotas, trust=self.trust, recent=state.recent)
        heard = _by_kind(state.labels) + _by_kind(Counter(label.source for label in admitted.kept.values()))
        set_aside = _by_kind(state.set_aside) + _by_kind(admitted.surplus)
        after = replace(
            state,
            labelled=state.labelled + len(admitted.kept),
            fresh=state.fresh + len(admitted.kept),
            labels=dict(heard),
            set_aside=dict(set_aside),
            recent=admitted.recent,
            sources=book.to_json(),
        )
        return [LabelledRun(run=run, label=admitted.kept.get(run.trace_id)) for run in runs], after

    def _can_suspect(self, book: SourceBook, runs: Iterable[Trajectory]) -> bool:
        """Whether there is, or was, any source that is not trusted; without one, nothing needs to be compared."""
        said = {outcome.source for run in runs for outcome in run.outcomes}
        return bool(book.surplus) or any(self.trust.of(one) < self.suspicion.trusted_from for one in said)

    def _samples(self, runs: Sequence[Trajectory], reader: EvidenceReader) -> Iterable[SourceSample]:
        """Every source's labels beside what was expected, those of suspected sources too."""
        for run in runs:
            said = {outcome.source for outcome in run.outcomes}
            if not said or (evidence := reader.read(run)) is None:
                continue
            expected = 1.0 / (1.0 + math.exp(-evidence.logit))
            for source in sorted(said):
                alone = replace(run, outcomes=tuple(one for one in run.outcomes if one.source == source))
                label = labels_of([alone], keys=self.keys, trust=self.trust).get(run.trace_id)
                if label is not None:
                    yield SourceSample(
                        source=source, slice=slice_of(run), solved=label.solved, expected=expected
                    )


def _by_kind(counts: Mapping[str, int]) -> Counter[str]:
    """Counts of sources as counts of kinds of sources, of which there are few."""
    kinds: Counter[str] = Counter()
    for source, count in counts.items():
        kinds[kind_of(source)] += count
    return kinds
