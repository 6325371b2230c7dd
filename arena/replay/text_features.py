"""What a recorded question looks like as a vector, for contenders that compare questions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.table import ReplayTable
from inframind.router.features import Encoder, HashingEncoder

Vectors = NDArray[np.float32]


def question_vectors(table: ReplayTable, encoder: Encoder | None = None) -> Vectors:
    """One vector per question (Q, D), from its text; without texts, from what was known at dispatch.

    Args:
        table: the questions.
        encoder: of texts; None takes `HashingEncoder`.

    Returns:
        Unit vectors of texts, the zero vector where one question has none. In a table without any text: prompt
        length and context of all arms, each column with mean 0 and deviation 1 over the table, 0 where not
        recorded. D = 0 when there is neither.
    """
    if any(table.questions):
        chosen = encoder or HashingEncoder()
        return np.stack([chosen.encode(text or "") for text in table.questions])
    return _context_vectors(table)


def _context_vectors(table: ReplayTable) -> Vectors:
    columns = [table.context.reshape(len(table.question_ids), -1)]
    if table.prompt_tokens is not None:
        columns.append(np.log1p(table.prompt_tokens))
    raw = np.ma.masked_invalid(np.concatenate(columns, axis=1))
    spread = raw.std(axis=0)
    informative = np.ma.filled(spread, 0.0) > 0
    scaled = (raw[:, informative] - raw[:, informative].mean(axis=0)) / spread[informative]
    return np.asarray(np.ma.filled(scaled, 0.0), dtype=np.float32)
