"""What other routers do for the same choice among 20 arms: one callable each, as its users would call it.

None of them masks, predicts latency, keeps a deadline or writes a record; each figure is that of the pick alone.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle

import numpy as np

ARMS, CONTEXT = 20, 40
Pick = Callable[[], object]


def rivals() -> Mapping[str, Callable[[int], Pick]]:
    """Makers by name; a maker takes a seed, and raises ImportError where its package is missing."""
    return {
        "random": random_pick,
        "lowest_latency_rule": lowest_latency_rule,
        "linucb": linucb,
        "vowpal_wabbit": vowpal_wabbit,
        "vowpal_wabbit_parsed": partial(vowpal_wabbit, is_parsed=True),
    }


def random_pick(seed: int) -> Pick:
    rng = random.Random(seed)
    return lambda: rng.randrange(ARMS)


def lowest_latency_rule(seed: int) -> Pick:
    """LiteLLM's latency-based routing as documented: the lowest mean of the last calls, ties at random.

    Its own code does the same over a cache of dictionaries; that is measured apart where LiteLLM is installed.
    """
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    seen_s = [deque(numbers.exponential(2.0, 10).tolist(), maxlen=10) for _ in range(ARMS)]

    def pick() -> int:
        means_s = [sum(times_s) / len(times_s) for times_s in seen_s]
        lowest_s = min(means_s)
        return rng.choice([arm for arm, mean_s in enumerate(means_s) if mean_s == lowest_s])

    return pick


def linucb(seed: int) -> Pick:
    """Disjoint LinUCB (Li et al. 2010): a ridge regression per arm, and its upper confidence bound."""
    rng = np.random.default_rng(seed)
    contexts = rng.standard_normal((64, CONTEXT))
    inverse = np.broadcast_to(np.eye(CONTEXT), (ARMS, CONTEXT, CONTEXT)).copy()
    theta = rng.standard_normal((ARMS, CONTEXT))
    turn = cycle(range(len(contexts)))

    def pick() -> int:
        x = contexts[next(turn)]
        width = np.sqrt((inverse @ x) @ x)
        return int(np.argmax(theta @ x + 0.5 * width))

    return pick


def vowpal_wabbit(seed: int, *, is_parsed: bool = False) -> Pick:
    """Action-dependent features: 24 shared numbers and 16 per arm, given as text; draws from what it returns.

    Parsing that text is most of the work; ``is_parsed`` leaves it out.
    """
    from vowpalwabbit import Workspace

    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    workspace = Workspace("--cb_explore_adf --epsilon 0.05 --quiet")
    texts = [_adf_lines(numbers) for _ in range(64)]
    for lines in texts:
        workspace.learn([lines[0], f"0:1.0:0.05 {lines[1]}", *lines[2:]])
    examples = cycle([workspace.parse(lines) for lines in texts] if is_parsed else texts)
    arms = range(ARMS)

    def pick() -> int:
        return rng.choices(arms, workspace.predict(next(examples)))[0]

    return pick


def _adf_lines(rng: np.random.Generator) -> list[str]:
    def namespace(name: str, values: np.ndarray) -> str:
        return f"|{name} " + " ".join(f"{place}:{value:.4f}" for place, value in enumerate(values))

    shared = "shared " + namespace("s", rng.standard_normal(24))
    return [shared, *(namespace("a", rng.standard_normal(16)) for _ in range(ARMS))]
