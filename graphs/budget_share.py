"""A routed graph in somebody's run: the part of that run's budget that falls to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig

RUN_KEY = "run"
"""Key of a trace's metadata that names the trace of the run around it."""
NODE_KEY = "run_node"
"""Key of a trace's metadata that names the node of that run which it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetShare:
    """What a node of a surrounding run should keep to.

    Attributes:
        share_s: seconds for this node; positive.
        run_s: seconds that the whole run had when it began.
        run_id: trace id of the run.
        node: the node.
    """

    share_s: float
    run_s: float
    run_id: str
    node: str

    def marked(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """A trace's metadata that also says which run it is part of."""
        return {**metadata, RUN_KEY: self.run_id, NODE_KEY: self.node}


ShareOf = Callable[[RunnableConfig], BudgetShare | None]
"""The share of the node that a config belongs to; None outside any run.

Raises:
    DeadlineExceeded: the run keeps a hard budget, and that is spent.
"""
