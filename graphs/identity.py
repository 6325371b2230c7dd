"""What a run and its calls are called, so that they are known again after an interrupt, a retry or a restart.

LangGraph executes a node again from its top when it was interrupted or is retried, possibly in another process. A
task keeps its id through that, and so does everything that is named after it here.
"""

from __future__ import annotations

import hashlib

from langgraph.runtime import ExecutionInfo, get_runtime


def current_execution() -> ExecutionInfo | None:
    """The execution of the running node, the same object until that ends; None outside a graph."""
    try:
        runtime = get_runtime()
    except RuntimeError:
        return None
    # A chain outside a graph has a config, and no runtime in it; the annotation does not say so.
    return getattr(runtime, "execution_info", None)


def current_invocation() -> object:
    """The same object throughout one invocation of a graph and of those inside it; None outside any."""
    try:
        return get_runtime().control
    except RuntimeError:
        return None


def run_identity(execution: ExecutionInfo | None) -> str:
    """What the run that a plan node opens is called; "" where nothing is checkpointed and no run can be resumed.

    The task of the parent that the routed graph is in names the run: it stays the same even where the routed graph
    keeps no checkpoints (``checkpointer=False``) and starts anew on resume, and LangGraph numbers several graphs in
    one task. A routed graph that stands alone, or keeps a memory of its own (``checkpointer=True``: its place in
    the parent is the same on every turn), never starts anew, and the plan node's own task names it.
    """
    if execution is None or execution.thread_id is None:
        return ""
    outer = execution.checkpoint_ns.split("|")[:-1]
    named = [part for part in outer if not part.isdigit()]
    scope = "|".join(outer) if named and ":" in named[-1] else execution.task_id
    return f"{execution.thread_id}/{scope}"


def trace_id_of(identity: str) -> str:
    """The trace id of a run that may be resumed: 32 hex digits, the same in every process."""
    return hashlib.blake2b(identity.encode(errors="surrogatepass"), digest_size=16).hexdigest()
