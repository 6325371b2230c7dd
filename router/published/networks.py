"""The published networks in torch, to train; `planner` and `executor` serve them in numpy.

B = decisions, E = embedding, T = topologies, R = roles, Z = latent, M = models, A = models x strategies.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from inframind.router.encoder import Floats
from inframind.router.published.executor import MERGED, RESOURCE, RESOURCE_PART, SEMANTIC
from inframind.router.published.layers import SHORTEST
from inframind.router.published.planner import LATENT, ROLE_TEMPERATURE, TOPOLOGY_TEMPERATURE
from inframind.router.published.reading import NUMBERS_PER_MODEL


class PlannerNetwork(nn.Module):
    """Latent vectors of questions, topologies, contexts and roles.

    Args:
        dimension: of the embedding (E).
        rng: of the initial weights.
    """

    def __init__(self, dimension: int, rng: torch.Generator) -> None:
        super().__init__()
        self.question = _linear(dimension, LATENT, rng)
        self.topology = _linear(dimension, LATENT, rng)
        self.context = _linear(3 * dimension, LATENT, rng)
        self.role = _linear(dimension, LATENT, rng)
        # A buffer: the team size is rounded, so that nothing of the reward reaches its weights.
        bound = 1 / math.sqrt(LATENT)
        self.register_buffer("team", torch.empty(LATENT).uniform_(-bound, bound, generator=rng))

    def topology_logits(self, question_BE: Tensor, topology_TE: Tensor) -> Tensor:
        """Cosines over the temperature (B, T)."""
        return _cosine(self.question(question_BE), self.topology(topology_TE)) / TOPOLOGY_TEMPERATURE

    def role_logits(self, context_BE: Tensor, role_RE: Tensor) -> Tensor:
        """Cosines over the temperature (B, R); contexts are (B, 3 E)."""
        return _cosine(self.context(context_BE), self.role(role_RE)) / ROLE_TEMPERATURE


class ExecutorNetwork(nn.Module):
    """A semantic and a resource path, a joint head and a value.

    Args:
        dimension: of the embedding (E).
        n_models: models (M).
        n_actions: models x strategies (A).
        rng: of the initial weights.
    """

    def __init__(self, dimension: int, n_models: int, n_actions: int, rng: torch.Generator) -> None:
        super().__init__()
        self.semantic = _linear(2 * dimension, SEMANTIC, rng)
        self.semantic_norm = nn.LayerNorm(SEMANTIC)
        self.budget = _linear(1, RESOURCE_PART, rng)
        self.system = _linear(NUMBERS_PER_MODEL * n_models, RESOURCE_PART, rng)
        self.resource = _linear(2 * RESOURCE_PART, RESOURCE, rng)
        self.resource_norm = nn.LayerNorm(RESOURCE)
        self.merge = _linear(SEMANTIC + RESOURCE, MERGED, rng)
        self.choice = _linear(MERGED, n_actions, rng)
        self.value = _linear(MERGED, 1, rng)

    def forward(self, semantic_BE: Tensor, resources_BM: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, A) and value (B) of semantics (B, 2 E) and resources (B, 1 + 3 M)."""
        meaning = self.semantic_norm(torch.relu(self.semantic(semantic_BE)))
        budget = torch.relu(self.budget(resources_BM[:, :1]))
        system = torch.relu(self.system(resources_BM[:, 1:]))
        state = self.resource_norm(torch.relu(self.resource(torch.cat([budget, system], dim=-1))))
        merged = torch.relu(self.merge(torch.cat([meaning, state], dim=-1)))
        return self.choice(merged), self.value(merged)[:, 0]


def exported(network: nn.Module) -> dict[str, Floats]:
    """A copy of the weights, as the serving classes take them."""
    return {name: tensor.detach().numpy().copy() for name, tensor in network.state_dict().items()}


def _cosine(left_BZ: Tensor, right_TZ: Tensor) -> Tensor:
    return (
        functional.normalize(left_BZ, dim=-1, eps=SHORTEST)
        @ functional.normalize(right_TZ, dim=-1, eps=SHORTEST).T
    )


def _linear(n_in: int, n_out: int, rng: torch.Generator) -> nn.Linear:
    """Uniform within ``1 / sqrt(n_in)``, torch's own default, but from the given source of chance."""
    layer = nn.Linear(n_in, n_out, device="meta").to_empty(device="cpu")
    bound = 1 / math.sqrt(n_in)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=rng)
        layer.bias.uniform_(-bound, bound, generator=rng)
    return layer
