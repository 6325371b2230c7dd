"""Responses and their judge scores, read off traces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from inframind.rewards.normalise import answers_agree
from inframind.router.learning.quality import BEST_SCORE, QualitySample, Response
from inframind.traces.records import Step, Trajectory

__all__ = ["JUDGE_KEY", "final_response", "response_of", "samples_of"]

JUDGE_KEY = "judge_score"
"""Key of an outcome that is a judge's score of the final answer, 0 to 10."""

_ONE_ANSWER = frozenset({"math", "knowledge"})
"""Domains in which two different final answers cannot both be right."""


def samples_of(trajectories: Iterable[Trajectory]) -> list[QualitySample]:
    """Every response whose score the outcomes tell; trajectories without any outcome give nothing.

    The final response has the latest `JUDGE_KEY` outcome, or else 10 or 0 as it ``solved`` the question or not.
    An earlier response of the same run shares the verdict of ``solved`` if it gives the same answer; if it
    gives another one than the right answer, and only one can be right, it has 0. The others tell nothing.

    Raises:
        ConfigError: a judge score is not in 0 to 10.
    """
    return [sample for trajectory in trajectories for sample in _samples(trajectory)]


def final_response(trajectory: Trajectory) -> Response | None:
    """The response that answered the question; None where none did."""
    final = _final_step(trajectory)
    return response_of(trajectory, final) if final else None


def response_of(trajectory: Trajectory, step: Step) -> Response:
    """One step's response; agreement is with the other agents' answers that had been given by then."""
    others = [
        other
        for other in trajectory.steps
        if other.step_id != step.step_id
        and other.kind == "agent"
        and other.text
        and other.finished_s <= step.finished_s
    ]
    agreeing = sum(answers_agree(step.answer, other.answer) for other in others)
    return Response(
        question=trajectory.question,
        text=step.text,
        answer=step.answer,
        finish_reason=step.finish_reason,
        tokens=step.completion_tokens,
        agreement=agreeing / len(others) if others else None,
        model=step.served_model or step.model,
        strategy=step.strategy,
        role=step.role,
    )


def _samples(trajectory: Trajectory) -> Iterator[QualitySample]:
    final = _final_step(trajectory)
    if final is None:
        return
    for step in trajectory.steps:
        if not step.text:
            continue
        score = _final_score(trajectory) if step is final else _draft_score(trajectory, step)
        if score is not None:
            yield QualitySample(response=response_of(trajectory, step), score=score)


def _final_step(trajectory: Trajectory) -> Step | None:
    return next((step for step in trajectory.steps if step.step_id == trajectory.final_step_id), None)


def _final_score(trajectory: Trajectory) -> float | None:
    judged = [o.score for o in trajectory.outcomes if o.key == JUDGE_KEY and o.score is not None]
    if judged:
        return judged[-1]
    return None if trajectory.solved is None else BEST_SCORE * trajectory.solved


def _draft_score(trajectory: Trajectory, step: Step) -> float | None:
    if trajectory.solved is None:
        return None
    if answers_agree(step.answer, trajectory.answer):
        return BEST_SCORE * trajectory.solved
    return 0.0 if trajectory.solved and trajectory.domain in _ONE_ANSWER else None
