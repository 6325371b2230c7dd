"""How many threads torch may take: one, for networks this small."""

from __future__ import annotations

import torch


def use_one_thread() -> None:
    """Let torch compute in one thread, in the whole process. For entry points: it is a global setting.

    Networks of a few thousand weights gain nothing from more, cost twice the CPU, and sums in another order would
    give other weights.
    """
    torch.set_num_threads(1)
