"""A training stopped and taken up again goes on as if it had never stopped."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inframind.errors import CheckpointError
from inframind.router.learning.checkpoint import CheckpointMeta, save_checkpoint
from inframind.router.learning.training_state import TrainingState, load_tensors, save_tensors


def test_nested_trees_keep_keys_containers_and_types(tmp_path: Path) -> None:
    tree = {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2, 3)}, 1: {}},
        "betas": (0.9, 0.999),
        "params": [0, 1],
        "rng": {"state": 2**127 + 1, "has_uint32": 0},
        "best": -float("inf"),
        "name": "policy",
        "none": None,
        "on": True,
        "a/b": np.arange(3, dtype=np.int8),
        "a": {"b": np.arange(4.0)},
    }
    save_tensors(tmp_path / "tree.safetensors", tree)
    found = load_tensors(tmp_path / "tree.safetensors")
    assert list(found) == list(tree)
    assert torch.equal(found["state"][0]["exp_avg"], torch.ones(2, 3))
    assert found["state"][0]["step"].shape == ()
    assert found["state"][1] == {}
    assert (found["a/b"] == np.arange(3)).all() and (found["a"]["b"] == np.arange(4.0)).all()
    plain = ("betas", "params", "rng", "best", "name", "none", "on")
    assert {name: found[name] for name in plain} == {name: tree[name] for name in plain}


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"a": [1, object()]}, "/a/1 is a object"),
        ({"a": {1.5: 2}}, "/a has the key 1.5"),
        ({"score": np.float64(1.0)}, "/score is a float64"),
    ],
)
def test_what_cannot_come_back_is_refused_by_its_place(tmp_path: Path, tree: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        save_tensors(tmp_path / "tree.safetensors", tree)
    assert list(tmp_path.iterdir()) == []


class Training:
    """Fits a line by Adam on noise of its own."""

    def __init__(self) -> None:
        self.rng, self.chance = np.random.default_rng(5), torch.Generator().manual_seed(5)
        self.module = torch.nn.Linear(2, 1)
        torch.nn.init.ones_(self.module.weight)
        torch.nn.init.zeros_(self.module.bias)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=0.1)

    def update(self) -> None:
        rows = torch.randn(8, 2, generator=self.chance)
        targets = torch.from_numpy(self.rng.normal(size=(8, 1)).astype(np.float32))
        self.optimizer.zero_grad()
        (self.module(rows) - targets).square().mean().backward()
        self.optimizer.step()

    def state(self) -> TrainingState:
        return TrainingState(
            modules={"line": self.module.state_dict()},
            optimizers={"line": self.optimizer.state_dict()},
            generators={"numpy": self.rng.bit_generator.state, "torch": self.chance.get_state()},
            progress={"epoch": 3},
        )

    def resume(self, state: TrainingState) -> None:
        self.module.load_state_dict(OrderedDict(state.modules["line"]))
        self.optimizer.load_state_dict(dict(state.optimizers["line"]))
        self.rng.bit_generator.state = state.generators["numpy"]
        self.chance.set_state(state.generators["torch"])


def test_a_resumed_training_ends_where_an_unbroken_one_does(tmp_path: Path) -> None:
    unbroken, stopped, resumed = Training(), Training(), Training()
    for _ in range(6):
        unbroken.update()
    for _ in range(3):
        stopped.update()
    stopped.state().save(tmp_path / "state.safetensors")
    state = TrainingState.load(tmp_path / "state.safetensors")
    resumed.resume(state)
    for _ in range(3):
        resumed.update()
    assert state.progress == {"epoch": 3}
    assert torch.equal(unbroken.module.weight, resumed.module.weight)
    assert unbroken.rng.random() == resumed.rng.random()


def test_a_file_of_something_else_is_not_resumed_from(tmp_path: Path) -> None:
    meta = CheckpointMeta(features_version="1", names={}, created_from={})
    policy = save_checkpoint(tmp_path, {"weight": np.zeros(2)}, meta)
    with pytest.raises(CheckpointError, match="not a tree of tensors"):
        TrainingState.load(policy)
    save_tensors(tmp_path / "tree.safetensors", {"epoch": 3})
    with pytest.raises(CheckpointError, match="not the state of a training"):
        TrainingState.load(tmp_path / "tree.safetensors")
