"""A trace in words: what was seen, what was masked, what was chosen with which probability, and what came of it.

One structure for both doors: `explanation` for a terminal, `explain_trajectory` the same without colour.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from inframind.graphs.recorder import BOOK, DEALT
from inframind.plugin.explain_seen import figure, what_was_seen
from inframind.plugin.fitted_table import Column, FittedTable, Row
from inframind.plugin.graphs.shadow import ShadowDecision, shadows_of
from inframind.plugin.terminal import latency_text, one_line, safe, seconds, solved_text
from inframind.router.shadow import KEY
from inframind.traces.records import Decision, Outcome, Step, Trajectory

TEXT_WIDTH = 120
"""Columns of `explain_trajectory`."""
CANDIDATES_SHOWN = 6
"""Allowed candidates that a cut table shows, the chosen one included."""

_INDENT = (0, 0, 0, 2)


def explain_trajectory(trajectory: Trajectory, *, show_all: bool = False) -> str:
    """The whole run as plain text, decision by decision; ``show_all`` cuts no table."""
    page = io.StringIO()
    console = Console(file=page, width=TEXT_WIDTH, color_system=None, highlight=False, emoji=False)
    console.print(explanation(trajectory, show_all=show_all))
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def explanation(trajectory: Trajectory, *, show_all: bool = False) -> Group:
    """The whole run for a terminal, decision by decision; ``show_all`` cuts no table."""
    steps = {step.decision_id: step for step in trajectory.steps if step.decision_id}
    undecided = [step for step in trajectory.steps if not step.decision_id]
    shares = [share for decision in trajectory.decisions if (share := _exploration_share(decision))]
    parts: list[RenderableType] = [_head(trajectory)]
    labels = next((one.actions for one in trajectory.decisions if one.kind == "step"), ())
    for decision in trajectory.decisions:
        step = steps.get(decision.decision_id)
        parts += ["", *_decision(decision, step, shares, labels, show_all=show_all)]
    shadows = shadows_of(trajectory)
    for step in undecided:
        parts += ["", _undecided(step, shadows.get(step.step_id)), *_came_of_it(step)]
    parts += ["", *_ending(trajectory)]
    return Group(*parts)


# The run as a whole ----------------------------------------------------------------------------------------


def _head(trajectory: Trajectory) -> Table:
    facts: dict[str, str | Text] = {
        "trace": trajectory.trace_id,
        "question": one_line(trajectory.question, 300),
        "domain": trajectory.domain,
        "plan": _plan(trajectory),
        **_served_by(trajectory),
        "status": _status(trajectory),
        "answer": one_line(trajectory.answer, 300) or "none",
    }
    if trajectory.question_id:
        facts["question id"] = one_line(trajectory.question_id, 100)
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        grid.add_row(Text(name, "bold"), value if isinstance(value, Text) else Text(value))
    return grid


def _served_by(trajectory: Trajectory) -> dict[str, str | Text]:
    """Which policy decided, and how the run came to it while another was being tried."""
    if not trajectory.decisions:
        return {}
    first, book = trajectory.decisions[0], trajectory.metadata.get(BOOK, {})
    policy = f"{first.policy} {first.policy_version}"
    dealt, watched = book.get(DEALT, {}), book.get(KEY, {})
    if dealt:
        part = "the candidate" if dealt["arm"] == "candidate" else "what serves beside a candidate"
        policy += f", {part} (version {dealt['candidate'][:12]} is tried on {dealt['share']:.0%} of runs)"
    if watched:
        made = {decision.decision_id: decision.action for decision in trajectory.decisions}
        choices = watched["choices"]
        others = sum(made.get(one) != choice for one, choice in choices.items())
        policy += (
            f"; {watched['version']}, in the shadow, prefers another choice in {others} of {len(choices)}"
        )
    return {"policy": Text(policy)}


def _plan(trajectory: Trajectory) -> str:
    if not trajectory.topology:
        nodes = ", ".join(dict.fromkeys(step.node for step in trajectory.steps))
        if nodes:
            return f"the application's own: {one_line(nodes, 300)}"
        return "none: the run ended before it was planned"
    team = ", ".join(trajectory.team)
    return f"{trajectory.topology} with {len(trajectory.team)} agent(s): {safe(team)}; rounds: {trajectory.rounds}"


def _status(trajectory: Trajectory) -> Text:
    is_open = trajectory.status == "open"
    is_late = trajectory.latency_s > trajectory.budget_s or trajectory.status not in ("ok", "open")
    text = Text("open: it goes on, or waits to be resumed; so far " if is_open else f"{trajectory.status}, ")
    text.append_text(latency_text(trajectory.latency_s, trajectory.budget_s, is_late=is_late))
    if trajectory.error:
        text.append(f"; {trajectory.error}: {one_line(trajectory.error_detail, 400)}", "red")
    return text


def _ending(trajectory: Trajectory) -> Iterator[RenderableType]:
    for skip in trajectory.skips:
        yield Text(f"{seconds(skip.at_s)}: {skip.node} left out ({skip.reason})")
    if not trajectory.outcomes:
        yield Text("No feedback so far: whether the answer is right is unknown.", "dim")
    for outcome in trajectory.outcomes:
        yield _outcome(outcome)


def _outcome(outcome: Outcome) -> Text:
    text = Text(f"feedback from {safe(outcome.source)}: ")
    if outcome.key == "solved" and outcome.score is not None:
        text.append_text(solved_text(outcome.score >= 0.5))
    else:
        said = outcome.value if outcome.score is None else f"{outcome.score:g}"
        text.append(f"{safe(outcome.key)} = {safe(str(said))}")
    return text.append(f"; {one_line(outcome.comment, 300)}" if outcome.comment else "")


# One decision ----------------------------------------------------------------------------------------------


def _decision(
    decision: Decision, step: Step | None, shares: Sequence[float], labels: Sequence[str], *, show_all: bool
) -> Iterator[RenderableType]:
    yield _title(decision)
    yield _indented(_why(decision, shares))
    yield from map(_indented, what_was_seen(decision, step, labels, show_all=show_all))
    yield _indented(_candidate_table(decision, show_all=show_all))
    if not show_all:
        yield from map(_indented, _left_out(decision))
    yield from _came_of_it(step) if step else ()


def _undecided(step: Step, shadow: ShadowDecision | None) -> Text:
    """A call that others decided on while we watched, or one that never came to a decision."""
    if shadow is None:
        return Text("A step that ended before anything was decided", "bold")
    text = Text(f"{seconds(step.started_s)}  Watched: {safe(step.model)}; we would have chosen ", "bold")
    return text.append(shadow.decision.action, "bold cyan").append(
        f": {safe(shadow.decision.reason)}", "not bold"
    )


def _title(decision: Decision) -> Text:
    what = {"plan": "Topology and team", "step": "Model and strategy", "pace": "Another round?"}
    text = Text(f"{seconds(decision.made_s)}  {what[decision.kind]}: ", "bold")
    text.append(decision.action, "bold cyan")
    roles = " (its roles included)" if "team_probability" in decision.seen else ""
    return text.append(f" with p = {decision.probability:.3f}{roles}")


def _why(decision: Decision, shares: Sequence[float]) -> Text:
    """The policy's reason is that of its favourite: it is not given for a candidate that chance took."""
    reason = safe(decision.reason) or "the policy gave no reason"
    likeliest = max(range(len(decision.actions)), key=lambda place: decision.probabilities[place])
    favourite, p = decision.actions[likeliest], decision.probabilities[likeliest]
    by = f"({decision.policy} {decision.policy_version}, features {decision.features_version})"
    if p <= decision.probabilities[decision.chosen]:
        return Text(f"why: {reason} {by}")
    if _is_explored(decision, shares):
        chance = f"drawn at random (exploration); the policy would have taken {favourite}"
    else:
        chance = f"drawn at random; the likeliest was {favourite}"
    return Text(f"why: {chance} (p = {p:.3f}): {reason} {by}", "yellow")


def _is_explored(decision: Decision, shares: Sequence[float]) -> bool:
    """Whether exploration alone can have taken the chosen candidate: the policy itself gave it no weight."""
    share = len(_allowed(decision)) * decision.probabilities[decision.chosen]
    return any(math.isclose(share, known, rel_tol=1e-6) for known in shares)


def _exploration_share(decision: Decision) -> float | None:
    """The share of uniform draws that a decision's probabilities give away, or None.

    Exploration adds the same probability to every allowed candidate, and those without any weight of the policy
    have just that: two or more share the lowest. With two candidates the lower one may as well be a policy's own
    weight, so that they give nothing away; the other decisions of the run, made with the same share, do.
    """
    probabilities = sorted(decision.probabilities[place] for place in _allowed(decision))
    if len(probabilities) < 3 or not 0 < probabilities[0] < probabilities[-1]:
        return None
    lowest, next_lowest = probabilities[:2]
    return len(probabilities) * lowest if math.isclose(lowest, next_lowest) else None


_QUANTILE_COLUMNS = (
    Column(name="q50", justify="right", leave_out=1),
    Column(name="q90", justify="right", leave_out=2),
)


def _candidate_table(decision: Decision, *, show_all: bool) -> FittedTable:
    columns = (
        Column(name="candidate"),
        Column(name="p", justify="right"),
        *(_QUANTILE_COLUMNS if decision.latency_q50_s else ()),
        Column(name="masked", leave_out=3, may_cut=True),
    )
    places = range(len(decision.actions)) if show_all else _shown_places(decision)
    return FittedTable(columns, [_candidate_row(decision, place) for place in places])


def _candidate_row(decision: Decision, place: int) -> Row:
    is_chosen = place == decision.chosen
    quantiles_s = (decision.latency_q50_s, decision.latency_q90_s) if decision.latency_q50_s else ()
    cells = (
        f"{'> ' if is_chosen else '  '}{decision.actions[place]}",
        f"{decision.probabilities[place]:.3f}",
        *(seconds(column_s[place]) for column_s in quantiles_s),
        decision.masked[place],
    )
    return Row(tuple(Text(cell) for cell in cells), style="bold" if is_chosen else "")


def _shown_places(decision: Decision) -> Sequence[int]:
    """The chosen candidate and the likeliest other ones."""
    others = [place for place in _allowed(decision) if place != decision.chosen]
    others.sort(key=lambda place: -decision.probabilities[place])
    return [decision.chosen, *others[: CANDIDATES_SHOWN - 1]]


def _left_out(decision: Decision) -> Iterator[Text]:
    """What a cut table does not show."""
    shown = set(_shown_places(decision))
    rest = sum(place not in shown for place in _allowed(decision))
    if rest:
        yield Text(f"and {rest} more that were allowed", "dim")
    reasons = Counter(reason for reason in decision.masked if reason)
    if reasons:
        counts = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        yield Text(f"masked: {counts}", "dim")


def _allowed(decision: Decision) -> list[int]:
    return [place for place, reason in enumerate(decision.masked) if not reason]


# What came of it -------------------------------------------------------------------------------------------


def _came_of_it(step: Step) -> Iterator[RenderableType]:
    for attempt in step.attempts:
        yield _indented(
            Text(
                f"failed over: {attempt.endpoint} ({attempt.model}) after {seconds(attempt.elapsed_s)}: "
                f"{attempt.error}: {one_line(attempt.detail, 200)}",
                "yellow",
            )
        )
    yield _indented(_step(step))
    if step.error:
        yield _indented(Text(f"{step.error}: {one_line(step.error_detail, 400)}", "red"))


def _seat(step: Step) -> str:
    """Who made the call: a judge, an agent of a team, or a node of an application's own graph."""
    if step.kind == "judge":
        return "judge"
    if step.node != step.kind:
        return f"node {safe(step.node)}" + (f" as {safe(step.role)}" if step.role else "")
    return f"agent {step.position + 1} ({safe(step.role)}), round {step.round}"


def _step(step: Step) -> Text:
    parts = [f"-> step {step.step_id}, {_seat(step)}", _server(step), f"took {seconds(step.latency_s)}"]
    if step.sent_s is not None and step.sent_s - step.started_s > 0.001:
        parts.append(f"sent after {seconds(step.sent_s - step.started_s)}")
    parts.append(f"first token {'unknown' if step.ttft_s is None else 'after ' + seconds(step.ttft_s)}")
    if step.queue_s is not None:
        parts.append(f"queued {seconds(step.queue_s)} there")
    parts.append(
        f"tokens {figure(step.prompt_tokens)} in ({figure(step.cached_tokens)} cached), "
        f"{figure(step.completion_tokens)} out"
    )
    if step.priority is not None:
        parts.append(f"priority {step.priority}")
    if step.parents:
        parts.append(f"saw step(s) {', '.join(map(str, step.parents))}")
    if step.finish_reason not in ("", "stop"):
        parts.append(f"finish reason {safe(step.finish_reason)}")
    parts.append(f"answer {one_line(step.answer, 100) or 'none'}")
    return Text("; ".join(parts))


def _server(step: Step) -> str:
    if not step.endpoint:
        return (
            "no endpoint answered"
            if step.error or not step.served_model
            else "asked by the application itself"
        )
    served = f", which serves {safe(step.served_model)}" if step.served_model not in ("", step.model) else ""
    return f"at {step.endpoint}{served}"


def _indented(part: RenderableType) -> Padding:
    return Padding(part, _INDENT)
