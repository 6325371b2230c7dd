"""Whether a team agrees: the check that lets a judge be skipped and a pacer stop early."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from inframind.graphs.state import Draft
from inframind.rewards.normalise import canonical_answer


def agreement(drafts: Sequence[Draft]) -> float | None:
    """Share of the drafts that give the most frequent answer, 0 to 1; None without any draft.

    A draft without an answer agrees with nobody, itself included.
    """
    if not drafts:
        return None
    counts = Counter(canonical_answer(draft["answer"]) for draft in drafts if draft["answer"])
    return max(counts.values(), default=0) / len(drafts)


def stagnation(before: Sequence[Draft], after: Sequence[Draft]) -> float:
    """Share of the agents whose answer did not change between two rounds, 0 to 1."""
    earlier = {draft["seat"]: canonical_answer(draft["answer"]) for draft in before}
    if not after:
        return 0.0
    same = [draft for draft in after if earlier.get(draft["seat"]) == canonical_answer(draft["answer"])]
    return len(same) / len(after)


def best_draft(drafts: Sequence[Draft]) -> Draft | None:
    """The draft to answer with when nobody judges: the latest one that gives the most frequent answer.

    Drafts that ended whole come before partial ones, and any text before none; None without any text.
    """
    usable = [draft for draft in drafts if draft["text"]]
    pool = (
        [d for d in usable if d["answer"] and not d["error"]] or [d for d in usable if d["answer"]] or usable
    )
    if not pool:
        return None
    counts = Counter(canonical_answer(draft["answer"]) for draft in pool)
    return max(
        pool, key=lambda draft: (counts[canonical_answer(draft["answer"])], draft["round"], draft["step_id"])
    )
