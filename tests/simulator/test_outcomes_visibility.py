import statistics

import numpy as np
from numpy.typing import NDArray

from inframind.router.encoder import HashingEncoder
from inframind.simulator.items import generate_items
from inframind.simulator.outcomes import LatentDifficultyModel
from inframind.simulator.prompt_reading import AnswerKey

ITEMS = generate_items(1200, seed=30)
N_TRAINING = 500
MODELS = ("llama-3.2-3b", "llama-3.1-8b", "qwen2.5-coder-14b", "mistral-small-24b", "deepseek-r1-32b")
RIDGE = 0.3

Floats = NDArray[np.float64]


def held_out_r2(columns: Floats) -> float:
    """Of a ridge regression of the models' mean probability, trained on the first items."""
    language = LatentDifficultyModel(AnswerKey())
    truth = np.array(
        [statistics.mean(language.solo_probability(i, model, "Plain") for model in MODELS) for i in ITEMS]
    )
    x, y = columns[:N_TRAINING], truth[:N_TRAINING]
    centred = x - x.mean(axis=0)
    weights = np.linalg.solve(centred.T @ centred + RIDGE * np.eye(x.shape[1]), centred.T @ (y - y.mean()))
    errors = truth[N_TRAINING:] - y.mean() - (columns[N_TRAINING:] - x.mean(axis=0)) @ weights
    return float(1 - errors.var() / truth[N_TRAINING:].var())


def test_a_question_embedding_tells_difficulty_in_part() -> None:
    encoder = HashingEncoder()
    vectors = np.stack([encoder.encode(item.question) for item in ITEMS]).astype(np.float64)
    assert 0.30 < held_out_r2(vectors) < 0.75


def test_the_level_alone_leaves_much_open() -> None:
    levels = np.eye(6)[[item.level for item in ITEMS]]
    assert 0.2 < held_out_r2(levels) < 0.65
