"""What a recorded question looks like as a vector, for contenders that compare questions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inframind.arena.replay.table import ReplayTable
from inframind.router.encoder import Encoder, HashingEncoder

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]


def text_vectors(table: ReplayTable, encoder: Encoder | None = None) -> Vectors | None:
    """One unit vector per question (Q, D), from its text; the zero vector where one question has none.

    Args:
        table: the questions.
        encoder: of texts; None takes `HashingEncoder`.

    Returns:
        None for a table without any text.
    """
    if not any(table.questions):
        return None
    chosen = encoder or HashingEncoder()
    return np.stack([chosen.encode(text or "") for text in table.questions])


def context_vectors(table: ReplayTable, train: Ints) -> Vectors:
    """One vector per question (Q, D), from what was known at dispatch: prompt length and context of all arms.

    Args:
        table: the questions.
        train: indices of the questions that may be learned from.

    Returns:
        Each column with mean 0 and deviation 1 over the training questions, 0 where not recorded. Columns with one
        value throughout the table are left out; D = 0 when nothing is left.
    """
    columns = [table.context.reshape(len(table.question_ids), -1)]
    if table.prompt_tokens is not None:
        columns.append(np.log1p(table.prompt_tokens))
    raw = np.ma.masked_invalid(np.concatenate(columns, axis=1))
    raw = raw[:, np.ma.filled(raw.std(axis=0), 0.0) > 0]
    mean, spread = np.ma.filled(raw[train].mean(axis=0), 0.0), np.ma.filled(raw[train].std(axis=0), 0.0)
    scaled = (raw - mean) / np.where(spread > 0, spread, 1.0)
    return np.asarray(np.ma.filled(scaled, 0.0), dtype=np.float32)
