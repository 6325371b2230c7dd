"""A learned policy as one file, and back: weights, what the rows stand for, and whence they came. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inframind.errors import CheckpointError, ConfigError
from inframind.router.actions import ActionSpace
from inframind.router.columns import CANDIDATE_TABLES, TABLES
from inframind.router.encoder import Encoder, HashingEncoder
from inframind.router.features import FEATURES_VERSION, Sight
from inframind.router.latency_state import LatencyState
from inframind.router.learning.checkpoint import (
    Checkpoint,
    CheckpointMeta,
    checkpoint_bytes,
    load_checkpoint,
    save_checkpoint,
)
from inframind.router.offsets import Offsets
from inframind.router.pacer import LearnedPacer
from inframind.router.policy_learned import KINDS, HeadWeights, LearnedPolicy, PolicyWeights, Valuation
from inframind.router.query_model import SHAPE_COLUMNS, QueryModel, QueryWeights
from inframind.router.rules import RoutingRule
from inframind.router.scorer import ScorerWeights
from inframind.router.views import Array

_NETS = ("critic", "actor")
_PACER = "pacer."
_RULES = "rules"


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredPolicy:
    """Everything that makes a `LearnedPolicy`, bound to no fleet yet.

    Attributes:
        weights: what was learned.
        queries: how questions are read; None reads all as typical.
        valuation: how probabilities become a choice.
        sight: what may be looked at.
        pacer: decides between rounds, where one was trained.
        facts: whence it came, as plain data.
        rules: under which it serves, beside those of the configuration.
        version: digest of the file, "" before it is one.
    """

    weights: PolicyWeights
    queries: QueryWeights | None
    valuation: Valuation = field(default_factory=Valuation)
    sight: Sight = field(default_factory=Sight)
    pacer: LearnedPacer | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[RoutingRule, ...] = ()
    version: str = ""

    @property
    def latency(self) -> LatencyState | None:
        """What was learned of the fleet's speed, to start from."""
        return self.weights.latency

    def bind(
        self,
        actions: ActionSpace,
        *,
        explores: bool = False,
        encoder: Encoder | None = None,
        name: str = "learned",
    ) -> LearnedPolicy:
        """The policy over this fleet's models, strategies and topologies.

        Raises:
            ConfigError: an encoder of another dimension than it was trained with.
        """
        return self.bind_reader(actions, self.reader(encoder), explores=explores, name=name)

    def reader(self, encoder: Encoder | None = None) -> QueryModel:
        """What reads questions for the policy.

        Raises:
            ConfigError: an encoder of another dimension than it was trained with.
        """
        encoder = encoder or HashingEncoder()
        self._require_encoder(encoder)
        return QueryModel(self.queries, encoder)

    def bind_reader(
        self, actions: ActionSpace, queries: QueryModel, *, explores: bool = False, name: str = "learned"
    ) -> LearnedPolicy:
        """The policy over this fleet, with somebody else's reader of questions."""
        return LearnedPolicy(
            self.weights,
            actions,
            queries,
            valuation=self.valuation,
            sight=self.sight,
            explores=explores,
            pacer=self.pacer,
            version=self.version[:12] or "unsaved",
            name=name,
        )

    def _require_encoder(self, encoder: Encoder) -> None:
        if self.queries is not None:
            wanted = len(self.queries.mean) - len(SHAPE_COLUMNS)
            if encoder.dimension != wanted:
                raise ConfigError("encoder.dimension", encoder.dimension, f"it was trained with {wanted}")


def save_policy(path: Path, stored: StoredPolicy) -> Path:
    """Write a policy atomically; the same policy gives the same bytes.

    Raises:
        CheckpointError: a weight is not finite.
    """
    return save_checkpoint(path, _arrays(stored), _meta(stored))


def policy_bytes(stored: StoredPolicy) -> bytes:
    """What `save_policy` would write; no disk is needed.

    Raises:
        CheckpointError: a weight is not finite.
    """
    return checkpoint_bytes(_arrays(stored), _meta(stored))


def _arrays(stored: StoredPolicy) -> dict[str, Array]:
    arrays = _head_arrays(stored.weights) | _query_arrays(stored.queries)
    if stored.pacer is not None:
        arrays |= {_PACER + name: array for name, array in stored.pacer.to_arrays().items()}
    return arrays


def _meta(stored: StoredPolicy) -> CheckpointMeta:
    weights = stored.weights
    return CheckpointMeta(
        features_version=FEATURES_VERSION,
        names=_names(stored),
        created_from={
            "facts": dict(stored.facts),
            "valuation": asdict(stored.valuation),
            "sight": asdict(stored.sight),
            "multipliers": list(weights.multipliers),
            "edges_s": list(weights.edges_s),
            "excluded_strategies": sorted(weights.excluded_strategies),
            "plan_runs": dict(weights.plan_runs),
            "offsets": weights.offsets.to_json(),
            "latency": weights.latency.to_json() if weights.latency else None,
            "length_slope": stored.queries.length_slope if stored.queries else None,
            "typical": stored.queries.typical if stored.queries else None,
            # Files without rules are those of releases that knew none, byte for byte: their digests are their names.
            **({_RULES: [rule.to_plain() for rule in stored.rules]} if stored.rules else {}),
        },
        needs=(_RULES,)
        if stored.rules
        else (),  # who knows of none would serve without them, under their name
    )


def load_policy(path: Path) -> StoredPolicy:
    """Read and verify a policy.

    Raises:
        CheckpointError: no such file, damaged, or over other feature columns.
    """
    return policy_in(load_checkpoint(path, features_version=FEATURES_VERSION))


def policy_in(checkpoint: Checkpoint) -> StoredPolicy:
    """The policy that a checkpoint holds.

    Raises:
        CheckpointError: it holds something else, or not all of it.
    """
    given = checkpoint.meta.created_from
    _require_known(checkpoint)
    try:
        latency = given["latency"]
        return StoredPolicy(
            weights=PolicyWeights(
                heads={kind: _head(checkpoint, kind) for kind in KINDS},
                multipliers=tuple(given["multipliers"]),
                edges_s=tuple(given["edges_s"]),
                latency=LatencyState.from_json(latency) if latency else None,
                excluded_strategies=frozenset(given["excluded_strategies"]),
                plan_runs=given["plan_runs"],
                offsets=Offsets.from_json(given.get("offsets", {})),  # files before it had none
            ),
            queries=_queries(checkpoint),
            valuation=Valuation(**given["valuation"]),
            sight=Sight(**given["sight"]),
            pacer=_pacer(checkpoint.arrays),
            facts=given["facts"],
            rules=tuple(RoutingRule.model_validate(rule) for rule in given.get(_RULES, ())),
            version=checkpoint.sha256,
        )
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(
            str(checkpoint.path),
            f"it does not hold together: {error}",
            "train anew, or use the release that wrote it",
        ) from error


def _require_known(checkpoint: Checkpoint) -> None:
    unknown = sorted({*checkpoint.meta.needs} - {_RULES})
    if unknown:
        raise CheckpointError(
            str(checkpoint.path),
            f"it needs {', '.join(unknown)}, which this release does not know",
            "use the release that wrote it",
        )


def _head_arrays(weights: PolicyWeights) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for kind, head in weights.heads.items():
        for net, scorer in zip(_NETS, (head.critic, head.actor), strict=True):
            arrays |= {f"{kind}.{net}.{name}": array for name, array in _scorer_arrays(scorer).items()}
    return arrays


def _scorer_arrays(scorer: ScorerWeights) -> dict[str, Array]:
    plain = ("state", "bias", "candidate", "out", "out_bias")
    arrays = {name: getattr(scorer, name) for name in plain}
    arrays |= {f"state_table.{place}": table for place, table in enumerate(scorer.state_tables)}
    return arrays | {f"candidate_table.{place}": table for place, table in enumerate(scorer.candidate_tables)}


def _query_arrays(queries: QueryWeights | None) -> dict[str, Array]:
    if queries is None:
        return {}
    return {
        "query.mean": queries.mean,
        "query.scale": queries.scale,
        "query.difficulty": queries.difficulty,
        "query.abilities": np.array(list(queries.abilities.values())),
        "query.discriminations": np.array(list(queries.discriminations.values())),
    }


def _names(stored: StoredPolicy) -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {}
    for kind, head in stored.weights.heads.items():
        names |= {
            f"{kind}.state.{table}": known
            for table, known in zip(TABLES[kind], head.critic.state_names, strict=True)
        }
        names |= {f"{kind}.candidate.{table}": known for table, known in head.critic.candidate_names.items()}
    if stored.queries is not None:
        names["query.actions"] = tuple(stored.queries.abilities)
    return names


def _head(checkpoint: Checkpoint, kind: str) -> HeadWeights:
    critic, actor = (_scorer(checkpoint, kind, net) for net in _NETS)
    return HeadWeights(critic=critic, actor=actor)


def _scorer(checkpoint: Checkpoint, kind: str, net: str) -> ScorerWeights:
    arrays, names = checkpoint.arrays, checkpoint.meta.names
    prefix = f"{kind}.{net}."
    return ScorerWeights(
        state=arrays[prefix + "state"],
        bias=arrays[prefix + "bias"],
        candidate=arrays[prefix + "candidate"],
        state_tables=tuple(arrays[f"{prefix}state_table.{place}"] for place in range(len(TABLES[kind]))),
        state_names=tuple(tuple(names[f"{kind}.state.{table}"]) for table in TABLES[kind]),
        candidate_tables=tuple(
            arrays[f"{prefix}candidate_table.{place}"] for place in range(len(CANDIDATE_TABLES[kind]))
        ),
        candidate_names={
            table: tuple(names[f"{kind}.candidate.{table}"]) for table in CANDIDATE_TABLES[kind]
        },
        out=arrays[prefix + "out"],
        out_bias=arrays[prefix + "out_bias"],
    )


def _queries(checkpoint: Checkpoint) -> QueryWeights | None:
    arrays, given = checkpoint.arrays, checkpoint.meta.created_from
    if given["length_slope"] is None:
        return None
    labels = checkpoint.meta.names["query.actions"]
    return QueryWeights(
        mean=arrays["query.mean"],
        scale=arrays["query.scale"],
        difficulty=arrays["query.difficulty"],
        typical=given["typical"],
        length_slope=given["length_slope"],
        abilities=dict(zip(labels, arrays["query.abilities"].tolist(), strict=True)),
        discriminations=dict(zip(labels, arrays["query.discriminations"].tolist(), strict=True)),
    )


def _pacer(arrays: Mapping[str, Array]) -> LearnedPacer | None:
    found = {name.removeprefix(_PACER): array for name, array in arrays.items() if name.startswith(_PACER)}
    return LearnedPacer.from_arrays(found, greedy=True) if found else None
