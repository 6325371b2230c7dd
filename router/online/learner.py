"""Learns while it serves: fast offsets of models and strategies from a trickle of labels, tried by what is unknown.

Each labelled run with an answer moves a Gaussian belief over offsets (`inframind.router.online.belief`) by as much as
it surprises; whoever keeps surprising while others do not has changed, and is believed less
(`inframind.router.online.change`). Offsets are part of the policy's weights, so that a published version holds them.
Runs without a label teach nothing of what is right: missing is not zero.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from inframind.errors import CheckpointError
from inframind.router.actions import ActionSpace, ExecutorAction
from inframind.router.encoder import Encoder
from inframind.router.learning.tensor_file import read_tensor_bytes, tensor_bytes
from inframind.router.offsets import Offsets
from inframind.router.online.belief import SHARED, OffsetBelief
from inframind.router.online.change import Alarm, ChangeDetector
from inframind.router.online.config import OnlineConfig
from inframind.router.online.evidence import Evidence, EvidenceReader
from inframind.router.online.exploring import ExploringPolicy
from inframind.router.online.protocol import Label, LabelledRun
from inframind.router.online.strangers import expected_offsets
from inframind.router.policy import Policy
from inframind.router.policy_file import StoredPolicy
from inframind.router.policy_learned import PolicyWeights
from inframind.router.policy_shelf import content_of, policy_of, version_of

if TYPE_CHECKING:
    from inframind.router.online.slow import SlowPart

_FORMAT = 1
_RUNS_REMEMBERED = 200


class OnlineLearner:
    """Goes on learning a stored policy from finished runs. Deterministic: the same runs in order, the same policy.

    Args:
        stored: the policy to begin with; offsets that it has are where the belief begins.
        actions: what may be chosen.
        config: how it learns.
        seed: of the slow part's minibatches; nothing else here is left to chance.
        encoder: reads questions; the one that the policy was trained with.
        name: in tables and traces.

    Raises:
        ConfigError: an encoder of another dimension than the policy was trained with.
    """

    def __init__(
        self,
        stored: StoredPolicy,
        actions: ActionSpace,
        config: OnlineConfig | None = None,
        *,
        seed: int = 0,
        encoder: Encoder | None = None,
        name: str = "online",
    ) -> None:
        self.config, self._seed, self._name = config or OnlineConfig(), seed, name
        self._stored = stored
        self._queries = stored.reader(encoder)
        self._belief = OffsetBelief(self.config.belief)
        self._change = ChangeDetector(self.config.change)
        self._runs_of: Counter[str] = Counter()
        self._label_share = 1.0
        self._slow: SlowPart | None = None
        self.welcome(actions)

    @property
    def name(self) -> str:
        """Name in tables and traces."""
        return self._name

    @property
    def offsets(self) -> Offsets:
        """What is believed now of what may be chosen now."""
        actions = self._actions.executor_actions
        return Offsets(
            logit={action.label: self._served(action) for action in actions},
            spread={action.label: self._belief.spread(action) for action in actions},
            fresh=frozenset(model for model in self._actions.models if self._is_fresh(model)),
        )

    def welcome(self, actions: ActionSpace) -> None:
        """Models or strategies came or went: go on over these. What is believed of those that went is kept."""
        self._stored = replace(self._stored, weights=self._weights())
        self._actions = actions
        known = self._stored.weights.offsets.logit
        expected = expected_offsets(actions, self._stored.queries.abilities) if self._stored.queries else {}
        for action in actions.executor_actions:
            if action not in self._belief:
                self._belief.meet(action, is_new=self._is_stranger(action.model))
                self._belief.start(action, known.get(action.label, expected.get(action, 0.0)))
        self._slow = self._slow_part()
        self._read_with_networks()

    def learn(self, runs: Sequence[LabelledRun]) -> Mapping[str, float]:
        """Learn from runs of whatever policies served, in the order in which they matured; figures for a curve.

        How runs are cut into calls makes no difference to offsets; the networks have one round for each call. Empty
        where no run had a label and gave an answer.
        """
        surprises = [surprise for run in runs for surprise in self._learn_one(run)]
        figures = self._learn_slowly(runs)
        if not surprises:
            return figures
        logits = self.offsets.logit.values()
        return {
            **figures,
            "labelled": float(len(surprises)),
            "surprise": float(np.mean(surprises)),
            "shared_offset": self._belief.shared,
            "least_offset": min(logits),
            "greatest_offset": max(logits),
        }

    def behaviour(self) -> Policy:
        """The policy as it is now, exploring by what it does not know."""
        policy = self.candidate().bind_reader(self._actions, self._queries, name=self._name)
        return ExploringPolicy(policy, self._actions, self.config.exploration)

    def candidate(self) -> StoredPolicy:
        """The policy as it is now, to be published; it has no version before it is a file."""
        weights = replace(self._weights(), offsets=self.offsets)
        facts = {**self._stored.facts, "learned_online_from": self._stored.version}
        return replace(self._stored, weights=weights, facts=facts, version="")

    def state(self) -> bytes:
        """Everything that is needed to go on, the policy that it began with included."""
        arrays, components = self._belief.state()
        header = {
            "format": _FORMAT,
            "version": self._stored.version,
            "components": components,
            "change": self._change.state(),
            "runs_of": dict(self._runs_of),
            "label_share": self._label_share,
            "seed": self._seed,
        }
        parts = {"policy": content_of(self._stored)}
        if self._slow is not None:
            parts["slow"] = self._slow.state()
        contents = {name: np.frombuffer(part, dtype=np.uint8) for name, part in parts.items()}
        return tensor_bytes({**arrays, **contents}, json.dumps(header))

    @classmethod
    def restored(
        cls,
        state: bytes,
        actions: ActionSpace,
        config: OnlineConfig | None = None,
        *,
        encoder: Encoder | None = None,
        name: str = "online",
    ) -> OnlineLearner:
        """Go on from where `state` was taken, under the same configuration.

        Networks that are to learn by now, and did not when it was taken, begin with the policy's.

        Raises:
            CheckpointError: damaged, or of another release.
        """
        file = read_tensor_bytes(state, "the learner's state")
        header = json.loads(file.header)
        if header.get("format") != _FORMAT:
            found = f"its format is {header.get('format')!r}, this release reads {_FORMAT}"
            raise CheckpointError("the learner's state", found, "let the learner begin anew")
        content = file.arrays["policy"].tobytes()
        version = version_of(content, created_at_s=0.0, created_by=name, facts={})
        stored = replace(policy_of(version, content), version=header["version"])
        learner = cls(stored, actions, config, seed=header["seed"], encoder=encoder, name=name)
        learner._belief = OffsetBelief.restored(learner.config.belief, file.arrays, header["components"])
        learner._change = ChangeDetector.restored(learner.config.change, header["change"])
        learner._runs_of = Counter(header["runs_of"])
        learner._label_share = header["label_share"]
        learner.welcome(actions)
        if learner._slow is not None and "slow" in file.arrays:
            learner._slow.restore(file.arrays["slow"].tobytes())
            learner._read_with_networks()
        return learner

    # One run -------------------------------------------------------------------------------------------

    def _learn_one(self, run: LabelledRun) -> Iterator[float]:
        """The surprise of a run that taught something."""
        self._runs_of.update({step.served_model or step.model for step in run.run.steps})
        self._note_label(run.label is not None)
        if run.label is None:
            return
        evidence = self._reader.read(run.run)
        if evidence is not None:
            yield self._update(evidence, run.label)

    def _note_label(self, has_label: bool) -> None:
        """What share of the latest runs has a label."""
        self._label_share += (has_label - self._label_share) / _RUNS_REMEMBERED

    def _update(self, evidence: Evidence, label: Label) -> float:
        self._belief.forget()
        direction = self._belief.direction(evidence.shares)
        surprise = self._belief.update(direction, evidence.logit, label.solved, label.weight)
        alarm = self._change.watch(surprise * label.weight, _by_model(evidence.shares), self._label_share)
        if alarm is not None:
            self._doubt(alarm)
        return surprise

    def _doubt(self, alarm: Alarm) -> None:
        component = SHARED if alarm.is_shared else (alarm.model, "")
        self._belief.widen(component, self.config.change.widening)

    # Networks ------------------------------------------------------------------------------------------

    def _learn_slowly(self, runs: Sequence[LabelledRun]) -> dict[str, float]:
        if self._slow is None:
            return {}
        wanted = [run for run in runs if self._slow.wants(run.run)]
        solved: dict[str, bool] = {}
        expected: dict[str, float] = {}
        for run in wanted:
            if run.label is not None and run.label.weight == 1.0 and run.label.solved in (0.0, 1.0):
                solved[run.run.trace_id] = run.label.solved == 1.0
            else:
                expected |= self._expected(run)
        known = [run.run for run in wanted if run.run.trace_id in {**solved, **expected}]
        figures = self._slow.learn(known, solved, expected, self.offsets)
        if figures:
            self._read_with_networks()
        return figures

    def _expected(self, run: LabelledRun) -> dict[str, float]:
        """How probably a run is right of which nobody says so for certain; nothing where it gave no answer."""
        if run.label is not None:
            return {run.run.trace_id: run.label.solved}
        evidence = self._reader.read(run.run)
        if evidence is None:
            return {}
        logit = evidence.logit + self._belief.mean_of(self._belief.direction(evidence.shares))
        return {run.run.trace_id: 1.0 / (1.0 + math.exp(-logit))}

    def _weights(self) -> PolicyWeights:
        """Those that it began with, with the networks as they are now."""
        weights = self._stored.weights
        return weights if self._slow is None else replace(weights, heads=self._slow.heads)

    def _slow_part(self) -> SlowPart | None:
        if self.config.slow is None:
            return None
        from inframind.router.online.slow import SlowPart  # torch, which serving does not need

        return SlowPart(self._stored, self._actions, self._queries, self.config.slow, self._seed)

    def _read_with_networks(self) -> None:
        """Expect of calls what the networks say now, offsets aside."""
        unmoved = replace(self._stored, weights=replace(self._weights(), offsets=Offsets()))
        policy = unmoved.bind_reader(self._actions, self._queries)
        self._reader = EvidenceReader(policy, self._actions, self.config.final_share)

    # Offsets -------------------------------------------------------------------------------------------

    def _served(self, action: ExecutorAction) -> float:
        """The offset as it is served: what may be chance moves nobody who is known."""
        logit = self._belief.logit(action)
        if self._is_stranger(action.model):
            return logit
        doubt = self.config.belief.caution * min(self._belief.spread(action), self.config.belief.most_doubted)
        return math.copysign(max(abs(logit) - doubt, 0.0), logit)

    # Newcomers -----------------------------------------------------------------------------------------

    def _is_stranger(self, model: str) -> bool:
        """Whether the policy was trained without the model."""
        known = self._stored.queries.abilities if self._stored.queries else {}
        return bool(known) and not any(label.rpartition("/")[0] == model for label in known)

    def _is_fresh(self, model: str) -> bool:
        exploration = self.config.exploration
        if not self._is_stranger(model) or self._runs_of[model] >= exploration.fresh_runs:
            return False
        actions = [action for action in self._actions.executor_actions if action.model == model]
        return min(map(self._belief.spread, actions)) > exploration.fresh_spread


def _by_model(shares: Mapping[ExecutorAction, float]) -> dict[str, float]:
    by_model: dict[str, float] = {}
    for action, share in shares.items():
        by_model[action.model] = by_model.get(action.model, 0.0) + share
    return by_model
