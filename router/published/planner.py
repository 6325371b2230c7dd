"""The published planner as it serves: blind to load and budget, it sees the question and its own choices.

Topology: softmax of ``cos(z_question, z_topology) / 0.8``. Team: ``clamp(round(6 sigmoid(w . z_question)), 1, 6)``,
without chance and, in training, without gradient. Roles: seat after seat, softmax of ``cos(z_context, z_role) / 0.5``,
repeats allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from inframind.router.encoder import Floats
from inframind.router.published.layers import Weights, dense, unit
from inframind.router.published.reading import Reader

TOPOLOGY_TEMPERATURE = 0.8
ROLE_TEMPERATURE = 0.5
MOST_AGENTS = 6
LATENT = 64
"""Dimensions of the latent vectors."""


class Planner:
    """Scores topologies and roles.

    Args:
        weights: of the planner's network.
        reader: reads questions and names.
    """

    def __init__(self, weights: Weights, reader: Reader) -> None:
        self._weights, self._reader = weights, reader
        topologies = np.stack([reader.topology(name) for name in reader.topologies])
        self._topologies_TZ = unit(dense(topologies, weights, "topology"))
        self._roles = lru_cache(maxsize=64)(self._role_vectors)

    def topology_logits(self, question: str) -> Floats:
        """One logit per topology of the action space (T)."""
        latent_Z = dense(self._reader.text(question), self._weights, "question")
        logits: Floats = self._topologies_TZ @ unit(latent_Z) / np.float32(TOPOLOGY_TEMPERATURE)
        return logits

    def team_size(self, question: str) -> int:
        """Number of agents, 1 to 6."""
        latent_Z = dense(self._reader.text(question), self._weights, "question")
        share = 1.0 / (1.0 + math.exp(-float(self._weights["team"] @ latent_Z)))
        return min(max(round(MOST_AGENTS * share), 1), MOST_AGENTS)

    def role_logits(
        self, question: str, topology: str, taken: Sequence[str], roles: tuple[str, ...]
    ) -> Floats:
        """One logit per role for the next seat (R)."""
        context_Z = dense(self._reader.context(question, topology, taken), self._weights, "context")
        logits: Floats = self._roles(roles) @ unit(context_Z) / np.float32(ROLE_TEMPERATURE)
        return logits

    def _role_vectors(self, roles: tuple[str, ...]) -> Floats:
        return unit(dense(np.stack([self._reader.text(role) for role in roles]), self._weights, "role"))
