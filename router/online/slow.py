"""The slow part of learning while serving: the networks, replayed over the last runs with small steps.

Critics learn from the runs kept, actors from the newest with weights of at most 1 for what other policies chose
(V-trace's one-step rho). Both read runs with the offsets that were believed when they came, so that what is wrong
with a model is the offsets' to say, and only what hangs on the question, the load or the plan is left to the networks.
A run without a label teaches whether it was in time: of being right it says what was expected, which teaches nothing.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from inframind.rewards.multiplier import PidConfig
from inframind.rewards.registry import RewardConfig
from inframind.router.actions import ActionSpace
from inframind.router.learning.config import LearnerConfig, TemperatureSchedule
from inframind.router.learning.learner import Learner
from inframind.router.learning.training_state import TrainingState
from inframind.router.losses import EntropySchedule
from inframind.router.offsets import Offsets
from inframind.router.online.config import SlowConfig
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_learned import HeadWeights
from inframind.router.query_model import QueryModel
from inframind.traces.records import Trajectory

_PARTS = 1000


class SlowPart:
    """Networks that go on learning.

    Args:
        stored: the policy to begin with.
        actions: what may be chosen.
        queries: reads questions.
        config: how it learns.
        seed: of minibatches.
    """

    def __init__(
        self, stored: StoredPolicy, actions: ActionSpace, queries: QueryModel, config: SlowConfig, seed: int
    ) -> None:
        self._config = config
        self._learner = Learner(
            actions, queries, _learner_config(stored, config), seed=seed, served=stored.weights
        )

    @property
    def heads(self) -> Mapping[str, HeadWeights]:
        """The networks as they are now."""
        return self._learner.serving().weights.heads

    def wants(self, run: Trajectory) -> bool:
        """Whether it reads the run, which is decided by its id."""
        return zlib.crc32(run.trace_id.encode()) % _PARTS < self._config.share * _PARTS

    def learn(
        self,
        runs: Sequence[Trajectory],
        solved: Mapping[str, bool],
        expected: Mapping[str, float],
        offsets: Offsets,
    ) -> dict[str, float]:
        """One round.

        Args:
            runs: that it wants.
            solved: labels that count in full, by trace id.
            expected: probability of being right of the others, by trace id; they count half, and for critics alone.
            offsets: what is believed of models and strategies now.

        Returns:
            Losses and entropies; empty while there are too few runs.
        """
        self._learner.read_with(offsets)
        figures = self._learner.learn(runs, solved, 1.0, imputed=expected, fewest=self._config.fewest)
        self._learner.end_epoch()
        return figures

    def state(self) -> bytes:
        """Networks, optimisers and the runs kept."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "slow"
            self._learner.state().save(path)
            return path.read_bytes()

    def restore(self, state: bytes) -> None:
        """Go on from where `state` was taken, over the same candidates.

        Raises:
            CheckpointError: it is damaged.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "slow"
            path.write_bytes(state)
            self._learner.restore(TrainingState.load(path))


def _learner_config(stored: StoredPolicy, config: SlowConfig) -> LearnerConfig:
    weights, temperature = stored.weights, stored.valuation.temperature
    still = PidConfig(
        start=max(weights.multipliers), ki=0.0, kp=0.0
    )  # what being late costs is not learned here
    return LearnerConfig(
        reward=RewardConfig(parameters={"w": stored.valuation.wrong_late}),
        pid=still,
        edges_s=weights.edges_s,
        valuation=stored.valuation,
        temperature=TemperatureSchedule(start=temperature, end=temperature),
        entropy=EntropySchedule(start=config.entropy, end=config.entropy, floor=0.0),
        sight=stored.sight,
        largest_weight=1.0,
        hidden=len(weights.heads["step"].critic.bias),
        critic_rate=config.critic_rate,
        actor_rate=config.actor_rate,
        critic_batches=config.critic_batches,
        runs_kept=config.kept,
        excluded_strategies=weights.excluded_strategies,
    )
