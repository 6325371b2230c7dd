"""The latency model that serves: a physical prior, corrected by every call, with quantiles that follow the calls.

    q_p = (ttft + length * tpot) * exp(level + a_p * sigma)

``ttft``, ``tpot`` and ``length`` are those of `PartModels`, times a quick drift: coefficients are remembered for
hundreds of calls, a slowdown is followed within tens. ``sigma`` is the predicted standard deviation of log latency,
from those of the parts and their shares; ``a_p`` the quantiles of the standardised errors that were seen. ``level``
learns from calls that do not show their parts (no stream, no token counts, cut by the deadline), and fades with
those that do.

An endpoint whose load is not known, or was read too long ago, is not an idle one: it is taken to be as busy as it
usually is, or as our own calls there make it, and its spread is wider until blind calls have shown how wide.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from inframind.fleet.endpoints import ModelFacts
from inframind.fleet.snapshot import FleetSnapshot
from inframind.router.actions import StrategySpec
from inframind.router.latency import LatencyMap
from inframind.router.latency_beliefs import StepParts
from inframind.router.latency_columns import LoadColumns
from inframind.router.latency_learners import Call, LatencyConfig, Learners
from inframind.router.latency_serving import LatencyTables
from inframind.router.latency_state import LatencyState


class LearnedLatencyModel:
    """Predicts the whole map in one pass; learns from every call, from any thread.

    Args:
        models: facts by model.
        strategies: by name.
        config: prior and learning.
        state: what was learned earlier; models and strategies that it does not know start from the others'.
    """

    def __init__(
        self,
        models: Mapping[str, ModelFacts],
        strategies: Mapping[str, StrategySpec],
        config: LatencyConfig | None = None,
        state: LatencyState | None = None,
    ) -> None:
        self._config = config or LatencyConfig()
        self.models, self.strategies = models, strategies
        self._models = {name: place for place, name in enumerate(models)}
        self._strategies = {name: place for place, name in enumerate(strategies)}
        self._learners = Learners(models, strategies, self._config)
        self._lock = threading.Lock()
        self._pending: list[Call] = []
        self._calls = 0
        if state is not None:
            self._restore(state)
        self._beliefs = self._learners.beliefs()
        self._tables = LatencyTables(self._beliefs, self._config.stale_after_s)

    def predict(self, snapshot: FleetSnapshot, prompt_tokens: int) -> LatencyMap:
        """Quantiles for every model and strategy, each model on its least loaded replica."""
        tables, beliefs = self._tables, self._beliefs
        if tables.beliefs is not beliefs:
            tables = self._tables = LatencyTables(beliefs, self._config.stale_after_s)
        return tables.map([snapshot.least_loaded(model) for model in self._models], prompt_tokens)

    def predict_parts(self, snapshot: FleetSnapshot, prompt_tokens: int) -> StepParts:
        """What the predictions are made of, before level and quantiles."""
        beliefs = self._beliefs
        loads = [snapshot.least_loaded(model) for model in self._models]
        columns = LoadColumns.of(loads, beliefs.typical, self._config.stale_after_s)
        return beliefs.step_parts(slice(None), columns, prompt_tokens)

    def observe(
        self,
        model: str,
        strategy: str,
        snapshot: FleetSnapshot,
        prompt_tokens: int,
        latency_s: float,
        *,
        ttft_s: float | None = None,
        output_tokens: int | None = None,
    ) -> None:
        """Learn one call: its parts where it shows them, else its total alone."""
        self.learn_call(
            Call(
                model=self._models[model],
                strategy=self._strategies[strategy],
                load=snapshot.least_loaded(model),
                prompt_tokens=prompt_tokens,
                latency_s=latency_s,
                ttft_s=ttft_s,
                output_tokens=output_tokens,
            )
        )

    def learn_call(self, call: Call) -> None:
        """Learn one call of a model that shares this one's places of models and strategies."""
        with self._lock:
            self._calls += 1
            self._pending.append(call)
            every = self._config.learn_every
            if len(self._pending) >= every or self._calls <= 10 * every or call.is_cut:
                self._learn_pending()

    def state(self) -> LatencyState:
        """Everything learned so far."""
        with self._lock:
            self._learn_pending()
            sums = self._learners.sums()
        return LatencyState(models=tuple(self._models), strategies=tuple(self._strategies), sums=sums)

    def _learn_pending(self) -> None:
        self._learners.learn(self._pending, self._beliefs)
        self._pending = []
        self._beliefs = self._learners.beliefs()

    def _restore(self, state: LatencyState) -> None:
        models = {
            self._models[name]: there for there, name in enumerate(state.models) if name in self._models
        }
        strategies = {
            self._strategies[name]: there
            for there, name in enumerate(state.strategies)
            if name in self._strategies
        }
        cells = {
            here * len(self._strategies) + column: there * len(state.strategies) + column_there
            for here, there in models.items()
            for column, column_there in strategies.items()
        }
        self._learners.restore(state.sums, models, cells)
