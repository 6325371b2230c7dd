"""Small batches of logged decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inframind.router.ope.batch import LoggedDecisions


def batch_of(**values: Any) -> LoggedDecisions:
    """Arrays of the values; every decision a run of its own unless ``run_N`` is given."""
    arrays = {
        name: None if value is None else np.array(value, dtype=np.float64) for name, value in values.items()
    }
    n = len(arrays["reward_N"])
    arrays["chosen_N"] = np.array(values["chosen_N"], dtype=np.int64)
    arrays["run_N"] = np.array(values.get("run_N", range(n)), dtype=np.int64)
    return LoggedDecisions(**arrays)


def random_batch(seed: int, n: int = 40, a: int = 4, runs: int | None = None) -> LoggedDecisions:
    """Decisions of chance over candidates of which some are masked."""
    rng = np.random.default_rng(seed)
    allowed = rng.random((n, a)) < 0.8
    allowed[:, 0] = True
    logging, target = (rng.random((2, n, a)) + 0.05) * allowed
    logging /= logging.sum(axis=1, keepdims=True)
    target /= target.sum(axis=1, keepdims=True)
    return batch_of(
        reward_N=rng.random(n),
        chosen_N=(logging.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1),
        logging_NA=logging,
        target_NA=target,
        run_N=np.sort(rng.integers(0, runs, n)) if runs else np.arange(n),
        q_NA=rng.random((n, a)),
    )


@pytest.fixture(scope="session")
def make_batch() -> Callable[..., LoggedDecisions]:
    return batch_of


@pytest.fixture(scope="session")
def make_random_batch() -> Callable[..., LoggedDecisions]:
    return random_batch
