"""Credit: which step of a run earned, or cost, what. Pure functions of one run or a batch.

T = steps of one run in an order in which parents come before children, B = samples, R = runs, M = models.

The learner gives every step the whole return of its run, or with ``LearnerConfig.credit = "potential"`` what
`shaped_rewards` gives it. The others are for learners of your own: none of ours is told how long each step took.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inframind.errors import ConfigError
from inframind.rewards.arrays import Array, Ints, floats, require_between, require_same_shape
from inframind.rewards.outcomes import RunOutcomes
from inframind.rewards.registry import Reward

Parents = Sequence[Sequence[int]]
"""Of each step, the steps that it waited for, each before it."""


def shared_return(return_R: Array, run_B: Ints) -> Array:
    """Every step earns the whole return of its run: ``return_R[run_B]``.

    Unbiased and blunt: who helped and who did harm share alike, so it needs a baseline and a state that knows the
    step's place (slot kind, topology, steps left).

    Source: REINFORCE (Williams 1992).

    Args:
        return_R: Monte-Carlo return of each run.
        run_B: the run of each step.
    """
    return return_R[run_B]


def returns_to_go(reward_T: Array, gamma: float = 1.0) -> Array:
    """Return from each step on: ``G_t = r_t + gamma G_(t+1)``.

    Raises:
        ConfigError: ``gamma`` is outside 0 to 1.
    """
    require_between("gamma", gamma, 0, 1)
    return_T = np.zeros(len(reward_T))
    following = 0.0
    for step in reversed(range(len(reward_T))):
        following = float(reward_T[step]) + gamma * following
        return_T[step] = following
    return return_T


def shaped_rewards(potential_T: Array, final_return: float, gamma: float = 1.0) -> Array:
    """Rewards of the steps of one run, shaped by a potential: ``r_t = gamma F(s_(t+1)) - F(s_t)``.

    The last step earns the return besides, and the potential after it is 0. The discounted sum telescopes to
    ``gamma^(T-1) final_return - F(s_0)``, which no action can influence beyond the return itself: the optimum stays
    where it is. A good potential is the predicted probability of being solved in time; each step is then paid the
    change that it brought about.

    Source: Ng, Harada and Russell 1999.

    Known failure: with a good value baseline it adds little; with a potential that sees the action it is no longer
    neutral.

    Args:
        potential_T: F of the state before each step.
        final_return: what the run earned at its end.
        gamma: discount, 0 to 1.

    Raises:
        ConfigError: there is no step, or ``gamma`` is outside 0 to 1.
    """
    require_between("gamma", gamma, 0, 1)
    before_T = floats("potential_T", potential_T)
    if not len(before_T):
        raise ConfigError("potential_T", [], "give the potential of at least one step")
    reward_T = gamma * np.append(before_T[1:], 0.0) - before_T
    reward_T[-1] += final_return
    return reward_T


def critical_path_s(latency_T: Array, parents: Parents) -> float:
    """Seconds from the start of the run to the end of its last step, each step starting when its parents are done.

    0 for a run without steps.

    Raises:
        ConfigError: a step waits for itself or for a later one, or the lengths differ.
    """
    _check_run(latency_T, parents)
    return _longest_s(latency_T.tolist(), parents)


def counterfactual_latency_s(latency_T: Array, parents: Parents, reference_T: Array) -> Array:
    """Latency (T) that the run would have had if only this step had taken its reference time.

    Everything else, waiting times at the endpoints included, is held as it was.

    Raises:
        ConfigError: as `critical_path_s`.
    """
    _check_run(latency_T, parents)
    require_same_shape({"latency_T": latency_T, "reference_T": floats("reference_T", reference_T)})
    latencies = latency_T.tolist()
    return np.array(
        [
            _longest_s([*latencies[:step], reference, *latencies[step + 1 :]], parents)
            for step, reference in enumerate(reference_T.tolist())
        ],
        dtype=np.float64,
    )


def latency_savings_s(latency_T: Array, parents: Parents, reference_T: Array) -> Array:
    """What each step (T) cost the run: ``L(G) - L(G with l_i := reference_i)``, exactly, on the executed DAG.

    Steps with slack get 0: a sibling that is hidden behind a slower one costs nothing. Negative where the step was
    faster than its reference and that made the run faster. With references of 0, the savings of a chain sum to L and
    those of any DAG's critical path to at most L.

    Source: difference rewards (Wolpert and Tumer 2002) on the critical path.

    Known failure: two equally slow siblings get 0 each, though together they cost the run time.

    Raises:
        ConfigError: as `critical_path_s`.
    """
    return critical_path_s(latency_T, parents) - counterfactual_latency_s(latency_T, parents, reference_T)


def latency_credit(
    reward: Reward,
    *,
    solved: bool,
    budget_s: float,
    multiplier: float,
    latency_T: Array,
    parents: Parents,
    reference_T: Array,
    overhead_s: float = 0.0,
) -> Array:
    """Difference reward of each step's latency (T): the run's reward less what it had been at the reference latency.

    The answer is held as it was, so this is the latency's share only; add it to the part of the reward that rates
    the answer. With `lagrangian` it is -lambda savings / B; with `on_time` it blames exactly those steps without
    which the run had met its deadline.

    Source: difference rewards, as `latency_savings_s`.

    Args:
        reward: a reward of runs that needs no more than solved, latency and budget.
        solved: whether the run was right.
        budget_s: the run's budget in seconds.
        multiplier: lambda of the run's tier.
        latency_T: seconds of each step.
        parents: what each step waited for.
        reference_T: seconds that each step would have taken on the reference choice.
        overhead_s: seconds of the run in which no step ran, such as routing.

    Raises:
        ConfigError: the reward needs more than this, or as `critical_path_s`.
    """
    actual_s = critical_path_s(latency_T, parents)
    latency_s = overhead_s + np.append(counterfactual_latency_s(latency_T, parents, reference_T), actual_s)
    samples = len(latency_s)
    outcomes = RunOutcomes(
        solved_B=np.full(samples, solved),
        latency_s_B=latency_s,
        budget_s_B=np.full(samples, budget_s),
    )
    total = reward(outcomes, np.full(samples, multiplier)).total
    return np.asarray(total[-1] - total[:-1])


def priced(return_B: Array, work_s_B: Array, price_per_s_B: Array) -> Array:
    """Return less a congestion charge: ``R - price work``, for the delay that a call causes to others.

    Source: congestion pricing (Pigou), as in the dual prices of budgeted routers.

    Known failure: a price that is always on can collapse the policy to cheap, fast and wrong, as one on GPU time
    did in our study; let `next_price` take it to 0 where nothing queues.

    Args:
        return_B: returns.
        work_s_B: predicted seconds of a slot that the choice occupies.
        price_per_s_B: price of the chosen endpoint.
    """
    require_same_shape({"return_B": return_B, "work_s_B": work_s_B, "price_per_s_B": price_per_s_B})
    return return_B - price_per_s_B * work_s_B


def next_price(
    price_per_s_M: Array, utilisation_M: Array, *, target: float = 0.8, rate: float = 0.01
) -> Array:
    """Prices after one step of dual ascent on utilisation: ``max(0, price + rate (utilisation - target))``.

    Source: projected dual ascent on a capacity constraint per endpoint.

    Raises:
        ConfigError: shapes differ, or ``target`` or ``rate`` is negative.
    """
    require_between("target", target, 0)
    require_between("rate", rate, 0)
    require_same_shape({"price_per_s_M": price_per_s_M, "utilisation_M": utilisation_M})
    return np.maximum(0.0, price_per_s_M + rate * (utilisation_M - target))


def _check_run(latency_T: Array, parents: Parents) -> None:
    floats("latency_T", latency_T)
    if len(parents) != len(latency_T):
        raise ConfigError("parents", f"{len(parents)} steps", f"give {len(latency_T)}, one per step")
    for step, before in enumerate(parents):
        if any(not 0 <= parent < step for parent in before):
            raise ConfigError(f"parents.{step}", tuple(before), "name earlier steps only, counted from 0")


def _longest_s(latency_T: Sequence[float], parents: Parents) -> float:
    end_s: list[float] = []
    for latency_s, before in zip(latency_T, parents, strict=True):
        end_s.append(latency_s + max((end_s[parent] for parent in before), default=0.0))
    return max(end_s, default=0.0)
