"""What of a run is watched for drift."""

from __future__ import annotations

import math

from inframind.router.latency import estimate_tokens
from inframind.router.online.protocol import Label
from inframind.traces.records import Trajectory


def streams_of(run: Trajectory, label: Label | None = None) -> dict[str, float]:
    """A run's values by stream: what is asked, and how it ended by the policy version and the model that served it."""
    values = {
        "prompt_tokens": float(estimate_tokens([run.question])),
        "budget_s": run.budget_s,
        **{f"domain/{domain}": float(run.domain == domain) for domain in _DOMAINS},
    }
    policy = run.decisions[0].policy_version if run.decisions else ""
    final = next((step for step in run.steps if step.step_id == run.final_step_id), None)
    suffixes = [f"policy/{policy}"] if policy else []
    suffixes += [f"model/{final.served_model}"] if final else []
    for suffix in suffixes:
        values[f"on_time/{suffix}"] = float(run.on_time)
        if label is not None and math.isfinite(label.solved):
            values[f"solved/{suffix}"] = label.solved
    return values


_DOMAINS = ("math", "code", "knowledge", "general")
