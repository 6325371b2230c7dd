"""From runs to imputed labels: nobody's favourite is believed, nor anybody without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inframind.errors import ConfigError
from inframind.router.encoder import HashingEncoder
from inframind.router.learning.calibration import CalibrationConfig
from inframind.router.learning.imputation import DriftConfig
from inframind.router.learning.imputing import Imputer, ImputingConfig, calibrate_imputer, fit_imputer
from inframind.router.learning.quality import BEST_SCORE, QualityConfig, Response
from inframind.traces.records import Outcome, Step, Trajectory

ABILITY = {"small": -0.8, "large": 0.8}
OVERRATED_BY = 2.2
GRADED = 1600
ENCODER = HashingEncoder(16)
SMALL = ImputingConfig(
    quality=QualityConfig(hidden=(8,), embedding=4, epochs=6), drift=DriftConfig(deviations=3.0)
)


def run(number: int, model: str = "small", text: str = "so 4", **values: Any) -> Trajectory:
    step = Step(
        step_id=0,
        node="agent",
        kind="agent",
        position=0,
        round=1,
        role="Solver",
        parents=(),
        decision_id="d",
        model=model,
        strategy="Flash",
        started_s=0.0,
        finished_s=1.0,
        text=text,
        answer=text,
    )
    given = {"steps": (step,), "answer": text, "text": text, "final_step_id": 0} | values
    return Trajectory(
        trace_id=f"{number:032x}", question=f"{number % 50}?", arrived_at_s=0.0, budget_s=9.0, **given
    )


def without_answer(number: int, model: str = "small") -> Trajectory:
    cut = run(number, model, text="")
    return replace(cut, steps=(replace(cut.steps[0], error="Timeout"),), final_step_id=None, status="late")


@dataclass(frozen=True)
class Favouring:
    """Knows each answer's chance, and overrates the small model."""

    bias: float = OVERRATED_BY

    def scores(self, responses: Sequence[Response]) -> NDArray[np.float64]:
        logits = [float(r.text) + self.bias * (r.model == "small") for r in responses]
        return BEST_SCORE / (1 + np.exp(-np.array(logits)))


@dataclass(frozen=True)
class World:
    """Runs in the order in which they came; the first `GRADED` have a label."""

    runs: list[Trajectory]
    solved: Mapping[str, bool]
    chances: Mapping[str, float]

    @property
    def labels(self) -> dict[str, bool]:
        return {one.trace_id: self.solved[one.trace_id] for one in self.runs[:GRADED]}

    @property
    def ungraded(self) -> list[Trajectory]:
        return self.runs[GRADED:]

    def mean_of(self, model: str, values: Mapping[str, float]) -> float:
        return float(np.mean([values[r.trace_id] for r in self.ungraded if r.steps[0].model == model]))


@pytest.fixture(scope="module")
def world() -> World:
    rng = np.random.default_rng(5)
    models = rng.choice(list(ABILITY), GRADED + 1000).tolist()
    logits = [ABILITY[model] + rng.normal() for model in models]
    runs = [run(n, m, f"{logit:.2f}") for n, (m, logit) in enumerate(zip(models, logits, strict=True))]
    chances = {r.trace_id: float(1 / (1 + np.exp(-x))) for r, x in zip(runs, logits, strict=True)}
    return World(runs, {key: bool(rng.random() < chance) for key, chance in chances.items()}, chances)


@pytest.fixture(scope="module")
def imputer(world: World) -> Imputer:
    return calibrate_imputer(Favouring(), world.runs, world.labels)


def test_an_overrated_model_is_imputed_as_it_is(world: World, imputer: Imputer) -> None:
    imputed = imputer.impute(world.ungraded)
    assert set(imputed.solved) == {one.trace_id for one in world.ungraded}
    assert imputed.refusals == {}
    for model in ABILITY:
        truth = world.mean_of(model, world.chances)
        assert world.mean_of(model, imputed.solved) == pytest.approx(truth, abs=0.06)
    raw = Favouring().scores(
        [Response(question="", text=r.text, model="small", strategy="") for r in world.runs]
    )
    assert raw.mean() / BEST_SCORE > world.mean_of("small", world.chances) + 0.25


def test_who_is_overrated_by_a_calibration_blind_to_names_has_no_labels(world: World) -> None:
    blind = ImputingConfig(calibration=CalibrationConfig(by_name=False))
    imputed = calibrate_imputer(Favouring(), world.runs, world.labels, blind).impute(world.ungraded)
    assert not any(one.trace_id in imputed.solved for one in world.ungraded if one.steps[0].model == "small")
    assert sum(imputed.refusals.values()) >= sum(one.steps[0].model == "small" for one in world.ungraded)


def test_the_latest_labels_check_what_the_older_ones_said(world: World) -> None:
    half = ImputingConfig(checked=0.25)
    groups = calibrate_imputer(Favouring(), world.runs, world.labels, half).drift.groups
    assert groups[0].labels == GRADED // 4
    # The small model got better since: what calibrated does not hold for what checks.
    flipped = {
        one.trace_id: world.solved[one.trace_id]
        or (place >= GRADED * 3 // 4 and one.steps[0].model == "small")
        for place, one in enumerate(world.runs[:GRADED])
    }
    changed = calibrate_imputer(Favouring(), world.runs, flipped, half)
    assert changed.drift.groups[0].refusal.startswith("all is off by -")


def test_runs_without_an_answer_are_unsolved_if_their_model_is_believed_of(
    world: World, imputer: Imputer
) -> None:
    cut, unknown = without_answer(9001), without_answer(9002, "new")
    never_called = replace(run(9003), steps=(), final_step_id=None, status="failed")
    scored = Imputer(scorer=Constant(), calibration=imputer.calibration, drift=imputer.drift)
    imputed = scored.impute([cut, unknown, never_called])
    assert imputed.solved == {cut.trace_id: 0.0}
    assert imputed.refusals == {"model new has no fresh labels": 1, "no call was made": 1}


class Constant:
    """Says the same of everybody."""

    def scores(self, responses: Sequence[Response]) -> NDArray[np.float64]:
        return np.full(len(responses), 9.0)


def test_without_labels_nothing_is_imputed(world: World) -> None:
    imputed = calibrate_imputer(Favouring(), world.runs, {}).impute(world.ungraded[:3])
    assert imputed.solved == {}
    assert imputed.refusals == {"all has 0 fresh labels, not 30": 3}
    assert calibrate_imputer(Favouring(), [], {}).impute([]).solved == {}


def test_a_predictor_is_trained_on_the_oldest_labels_and_calibrated_on_later_ones(world: World) -> None:
    graded = [
        replace(one, outcomes=(Outcome(feedback_id="j", key="judge_score", score=judged, recorded_at_s=0.0),))
        for one in world.runs[:GRADED]
        for judged in Favouring().scores(
            [Response(question="", text=one.text, model=one.steps[0].model, strategy="Flash")]
        )
    ]
    one, again = (fit_imputer(graded, world.labels, SMALL, encoder=ENCODER, seed=0) for _ in range(2))
    imputed = one.impute(world.ungraded)
    assert imputed == again.impute(world.ungraded)
    assert one.drift.groups[0].labels == GRADED // 4
    assert len(imputed.solved) == len(world.ungraded)
    # The judge overrated the small model, and so does the predictor; labels say otherwise.
    small = [Response(question="", text="0.0", model="small", strategy="Flash", role="Solver")]
    assert one.scorer.scores(small)[0] > BEST_SCORE * (world.mean_of("small", world.chances) + 0.15)
    truth = world.mean_of("small", world.chances)
    assert world.mean_of("small", imputed.solved) == pytest.approx(truth, abs=0.08)


def test_a_run_counts_by_the_label_that_is_given_not_by_what_was_recorded_before(world: World) -> None:
    said = Outcome(feedback_id="o", key="solved", score=0.0, recorded_at_s=0.0)
    runs = [replace(one, outcomes=(said,)) for one in world.runs[:GRADED]]
    given = calibrate_imputer(Favouring(), runs, world.labels)
    assert given.calibration == calibrate_imputer(Favouring(), world.runs, world.labels).calibration


def test_a_predictor_needs_labels_to_be_trained(world: World) -> None:
    with pytest.raises(ConfigError, match="collect judged responses"):
        fit_imputer(world.runs, {}, encoder=ENCODER, seed=0)


@pytest.mark.parametrize("values", [{"trained": 0.0}, {"trained": 1.0}, {"checked": 1.5}])
def test_parts_that_leave_no_runs_to_the_others_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"imputing.{next(iter(values))}"):
        ImputingConfig(**values)  # type: ignore[arg-type]


def test_a_label_is_believed_at_the_bound_of_the_check_only_with_enough_of_them(world: World) -> None:
    strict = ImputingConfig(drift=DriftConfig(fewest=GRADED))
    imputed = calibrate_imputer(Favouring(), world.runs, world.labels, strict).impute(world.ungraded)
    assert imputed.solved == {}
    assert imputed.refusals == {f"all has {GRADED // 2} fresh labels, not {GRADED}": len(world.ungraded)}
