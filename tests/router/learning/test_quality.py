"""The quality predictor: what it reads off traces, what it learns, and that serving computes what was trained."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inframind.errors import CheckpointError, ConfigError
from inframind.router.encoder import HashingEncoder
from inframind.router.learning.quality import QualityConfig, QualityPredictor, QualitySample, Response
from inframind.router.learning.quality_samples import final_response, response_of, samples_of
from inframind.router.learning.quality_training import quality_logits, train_quality
from inframind.traces.records import Outcome, Step, Trajectory

ROOT = Path(__file__).resolve().parents[3]
ENCODER = HashingEncoder(32)
SMALL = QualityConfig(hidden=(16, 8), epochs=12, embedding=4)
EASY, HARD = "add two numbers", "prove the lemma"
ABILITY = {"large": 1.5, "small": -1.0}


def response(**values: Any) -> Response:
    return Response(
        **{
            "question": EASY,
            "text": "it is 4",
            "answer": "4",
            "model": "large",
            "strategy": "Flash",
            **values,
        }
    )


def world(count: int, seed: int) -> list[QualitySample]:
    """Scores by model, question and truncation, with the noise of a coin."""
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        model = ["large", "small"][rng.integers(2)]
        is_hard, is_cut = rng.random() < 0.5, rng.random() < 0.3
        logit = ABILITY[model] + (-1.0 if is_hard else 1.0) - 2.5 * is_cut
        seen = response(
            question=HARD if is_hard else EASY,
            text=f"answer {number % 7}",
            finish_reason="length" if is_cut else "stop",
            model=model,
            role=["Solver", "Checker"][rng.integers(2)],
        )
        samples.append(QualitySample(response=seen, score=10.0 * (rng.random() < 1 / (1 + np.exp(-logit)))))
    return samples


@pytest.fixture(scope="module")
def trained() -> QualityPredictor:
    return train_quality(world(1500, 0), SMALL, seed=0, encoder=ENCODER)


@pytest.mark.parametrize("model", ["large", "small"])
@pytest.mark.parametrize("question", [EASY, HARD])
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_scores_come_near_the_expected_score_of_each_kind(
    trained: QualityPredictor, model: str, question: str, finish: str
) -> None:
    logit = ABILITY[model] + (1.0 if question == EASY else -1.0) - 2.5 * (finish == "length")
    score = trained.score(response(model=model, question=question, finish_reason=finish, text="answer 3"))
    assert score == pytest.approx(10 / (1 + np.exp(-logit)), abs=1.5)


def test_an_unknown_model_scores_between_the_known_ones(trained: QualityPredictor) -> None:
    large, unknown, small = (trained.score(response(model=name)) for name in ("large", "brand-new", "small"))
    assert large > unknown > small


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    samples = world(200, 1)
    first, again, other = (train_quality(samples, SMALL, seed=seed, encoder=ENCODER) for seed in (3, 3, 4))
    assert all((first.weights[name] == again.weights[name]).all() for name in first.weights)
    assert any((first.weights[name] != other.weights[name]).any() for name in first.weights)


def test_training_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    train_quality(world(50, 1), SMALL, seed=3, encoder=ENCODER)
    assert torch.equal(before, torch.get_rng_state())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_numpy_serves_what_torch_trains(trained: QualityPredictor, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(5, trained.weights["weight_0"].shape[1] - 3 * SMALL.embedding))
    places = rng.integers(0, 2, size=(5, 3))
    weights = {name: torch.from_numpy(array) for name, array in trained.weights.items()}
    served = trained.logits(rows.astype(np.float32), places)
    taught = quality_logits(weights, torch.from_numpy(rows.astype(np.float32)), torch.from_numpy(places))
    assert served == pytest.approx(taught.numpy(), abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(
    text=st.text(max_size=40),
    tokens=st.none() | st.integers(0, 10**6),
    agreement=st.none() | st.floats(0, 1),
    model=st.sampled_from(["large", "small", "new"]),
)
def test_any_response_scores_between_0_and_10(trained: QualityPredictor, **values: Any) -> None:
    assert 0 <= trained.score(response(**values)) <= 10


def test_no_responses_have_no_scores(trained: QualityPredictor) -> None:
    assert trained.scores([]).shape == (0,)


def test_a_saved_predictor_scores_as_before(trained: QualityPredictor, tmp_path: Path) -> None:
    path = trained.save(tmp_path, {"seed": 0})
    assert path == tmp_path / "quality.safetensors"
    found = QualityPredictor.load(tmp_path, ENCODER)
    asked = [response(), response(model="small", text=""), response(model="new")]
    assert (found.scores(asked) == trained.scores(asked)).all()
    assert (found.names, found.config) == (trained.names, trained.config)


def test_a_predictor_of_another_encoder_is_refused(trained: QualityPredictor, tmp_path: Path) -> None:
    trained.save(tmp_path, {})
    with pytest.raises(CheckpointError, match="trained with encoder"):
        QualityPredictor.load(tmp_path, HashingEncoder(64))


def test_scoring_loads_no_torch(trained: QualityPredictor, tmp_path: Path) -> None:
    path = trained.save(tmp_path, {})
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from inframind.router.encoder import HashingEncoder\n"
        "from inframind.router.learning.quality import QualityPredictor, Response\n"
        f"predictor = QualityPredictor.load(Path({str(path)!r}), HashingEncoder(32))\n"
        "print(predictor.score(Response(question='q', text='t', model='large', strategy='Flash')) >= 0)\n"
        "print('torch' in sys.modules)\n"
    )
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize("score", [-0.1, 10.5, float("nan")])
def test_a_score_off_the_scale_is_refused(score: float) -> None:
    with pytest.raises(ConfigError, match="scores from 0 to 10"):
        QualitySample(response=response(), score=score)


def test_training_on_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="collect judged responses"):
        train_quality([], SMALL, seed=0, encoder=ENCODER)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("quality.hidden", {"hidden": ()}),
        ("quality.epochs", {"epochs": 0}),
        ("quality.name_dropout", {"name_dropout": 0.0}),
        ("quality.weight_decay", {"weight_decay": -1.0}),
    ],
)
def test_a_config_that_cannot_work_names_the_field(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        QualityConfig(**values)
    assert raised.value.field == field


def step(step_id: int, answer: str, **values: Any) -> Step:
    return Step(
        **{
            "step_id": step_id,
            "node": "agent",
            "kind": "agent",
            "position": step_id,
            "round": 1,
            "role": "Solver",
            "parents": (),
            "decision_id": f"d{step_id}",
            "model": "small",
            "strategy": "Flash",
            "started_s": 0.0,
            "finished_s": 1.0 + step_id,
            "completion_tokens": 12,
            "finish_reason": "stop",
            "text": f"so {answer}",
            "answer": answer,
            **values,
        }
    )


def outcome(key: str, score: float) -> Outcome:
    return Outcome(feedback_id=f"{key}{score}", key=key, score=score, recorded_at_s=0.0)


def trajectory(*outcomes: Outcome, **values: Any) -> Trajectory:
    steps = (step(0, "4"), step(1, "5"), step(2, "", text=""), step(3, "4.0", kind="judge", model="large"))
    return Trajectory(
        **{
            "trace_id": "0" * 32,
            "question": "2 + 2?",
            "domain": "math",
            "arrived_at_s": 0.0,
            "budget_s": 30.0,
            "steps": steps,
            "answer": "4.0",
            "final_step_id": 3,
            "outcomes": outcomes,
            **values,
        }
    )


def scores(run: Trajectory) -> list[tuple[str, float]]:
    return [(sample.response.text, sample.score) for sample in samples_of([run])]


def test_a_right_final_answer_marks_equal_drafts_right_and_others_wrong() -> None:
    assert scores(trajectory(outcome("solved", 1.0))) == [("so 4", 10.0), ("so 5", 0.0), ("so 4.0", 10.0)]


def test_a_wrong_final_answer_says_nothing_of_drafts_that_differ() -> None:
    assert scores(trajectory(outcome("solved", 0.0))) == [("so 4", 0.0), ("so 4.0", 0.0)]


def test_where_many_answers_may_be_right_a_differing_draft_has_no_score() -> None:
    run = trajectory(outcome("solved", 1.0), domain="code")
    assert scores(run) == [("so 4", 10.0), ("so 4.0", 10.0)]


def test_a_judges_score_is_the_final_responses_alone() -> None:
    assert scores(trajectory(outcome("judge_score", 3.0), outcome("judge_score", 7.5))) == [("so 4.0", 7.5)]
    both = trajectory(outcome("solved", 1.0), outcome("judge_score", 7.5))
    assert scores(both) == [("so 4", 10.0), ("so 5", 0.0), ("so 4.0", 7.5)]


def test_runs_without_outcome_or_answer_give_nothing() -> None:
    assert scores(trajectory()) == []
    assert scores(trajectory(outcome("solved", 0.0), final_step_id=None)) == []


def test_a_judge_score_off_the_scale_is_refused() -> None:
    with pytest.raises(ConfigError, match="scores from 0 to 10"):
        samples_of([trajectory(outcome("judge_score", 85.0))])


def test_a_response_is_read_off_the_step_that_answered() -> None:
    assert final_response(trajectory()) == Response(
        question="2 + 2?",
        text="so 4.0",
        answer="4.0",
        finish_reason="stop",
        tokens=12,
        agreement=0.5,
        model="large",
        strategy="Flash",
        role="Solver",
    )
    assert final_response(trajectory(final_step_id=None)) is None


def test_agreement_counts_only_what_had_been_answered_by_then() -> None:
    run = trajectory()
    assert response_of(run, run.steps[0]).agreement is None
    assert response_of(run, run.steps[1]).agreement == 0.0
    assert response_of(run, replace(run.steps[1], answer="8/2")).agreement == 1.0


def test_the_model_is_the_one_that_answered_after_a_failover() -> None:
    run = trajectory()
    assert response_of(run, replace(run.steps[0], served_model="large")).model == "large"
