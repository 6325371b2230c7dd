"""What a run tells a stream while it goes on.

Every event is a plain dict in LangGraph's ``custom`` stream, and in `InfraMind.astream` without the prefix:

======================== ============================================================================================
``type``                 beside ``trace_id``
======================== ============================================================================================
``inframind.plan``       ``decision_id``, ``probability``, ``topology``, ``team``, ``replayed``
``inframind.step_start`` ``decision_id``, ``probability``, ``model``, ``strategy``, ``replayed``; who: ``step_id``,
                         ``kind``, ``seat``, ``round``, ``role``
``inframind.step_end``   ``decision_id``, ``model`` (that answered), ``strategy``, ``latency_s``, ``answer`` (200
                         characters at most), ``error`` ("" if none); who: as above
``inframind.pace``       ``decision_id``, ``probability``, ``choice`` (``STAY`` or ``ADVANCE``), ``round`` that ended,
                         ``reason``, ``replayed``
``inframind.skip``       ``node`` that is left out, ``reason``; nothing was decided, so there is no id
``inframind.answer``     ``text`` and the account of the run: ``answer``, ``status``, ``topology``, ``team``,
                         ``rounds``, ``latency_s``, ``budget_s``, ``decisions`` (each with ``decision_id``, ``kind``,
                         ``action`` and ``probability``) and, of the step that answered, ``decision_id``, ``model``,
                         ``served_model``, ``strategy``, ``probability``, ``policy``, ``policy_version``,
                         ``endpoint``
======================== ============================================================================================

``probability`` is the behaviour policy's own, of the whole choice. ``replayed`` says that the decision was made
before, by the same call, and is taken over after an interrupt or a retry.

A ``custom`` stream shows the events of a graph inside another one only with ``subgraphs=True``, and then together
with their namespace: ``parent.stream(..., stream_mode="custom", subgraphs=True)`` gives ``(namespace, event)``.
"""

from __future__ import annotations

from typing import Any, Literal

from langgraph.config import get_stream_writer

EventName = Literal["plan", "step_start", "step_end", "pace", "skip", "answer"]


def announce(event: EventName, /, **data: Any) -> None:
    """Tell a custom stream what happens; silent when nobody streams or outside a graph."""
    try:
        writer = get_stream_writer()
    except RuntimeError:
        return
    writer({"type": f"inframind.{event}", **data})
