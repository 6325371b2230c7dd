"""Checkpoints: what is written comes back, the same content is the same bytes, and doubt is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors import safe_open
from safetensors.numpy import save_file

from inframind.errors import CallerError, CheckpointError
from inframind.router.learning.checkpoint import Checkpoint, CheckpointMeta, load_checkpoint, save_checkpoint

ROOT = Path(__file__).resolve().parents[3]
META = CheckpointMeta(
    features_version="1",
    names={"models": ("small", "large"), "state_columns": ("log_remaining",)},
    created_from={"seed": 7, "runs": 1200, "reward": "on_time", "curve": [0.5, 0.75]},
)


def weights() -> dict[str, np.ndarray]:
    return {
        "head.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "head.bias": np.array([0.5, -0.5]),
        "scale": np.array(2.0),
        "none": np.zeros((0, 4)),
    }


def load(path: Path, **options: Any) -> Checkpoint:
    return load_checkpoint(path, **{"features_version": "1", **options})


def rewrite(path: Path, change: Any) -> None:
    """Change arrays or the entry of the header of a file that was written, as a stranger would."""
    with safe_open(path, framework="np") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        entry = json.loads(file.metadata()["inframind"])
    change(found, entry)
    save_file(found, path, {"inframind": json.dumps(entry)})


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path / "run", weights(), META)
    found = load(tmp_path / "run")
    assert path == tmp_path / "run" / "policy.safetensors" == found.path
    assert found.meta == META
    assert set(found.arrays) == set(weights())
    for name, array in weights().items():
        assert found.arrays[name].dtype == array.dtype and found.arrays[name].shape == array.shape
        assert (found.arrays[name] == array).all()


def test_a_view_into_a_larger_array_and_another_byte_order_keep_their_values(tmp_path: Path) -> None:
    square = np.arange(9.0).reshape(3, 3)
    views = {"transposed": square.T, "column": square[:, 1], "swapped": square.astype(">f8")}
    save_checkpoint(tmp_path, views, META)
    found = load(tmp_path).arrays
    assert all((found[name] == array).all() for name, array in views.items())


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.text("abc/._0", min_size=1, max_size=8),
        arrays(
            st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_]),
            array_shapes(max_dims=3, max_side=4),
            elements=st.integers(0, 1),
        ),
        max_size=4,
    )
)
def test_any_arrays_come_back(tmp_path_factory: pytest.TempPathFactory, given_arrays: Any) -> None:
    file = tmp_path_factory.mktemp("any") / "file.safetensors"
    save_checkpoint(file, given_arrays, META)
    found = load(file).arrays
    assert set(found) == set(given_arrays)
    assert all((found[name] == array).all() for name, array in given_arrays.items())


def test_the_same_content_is_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    first = save_checkpoint(tmp_path / "1.safetensors", weights(), META)
    backwards = dict(reversed(weights().items()))
    names = dict(reversed(META.names.items()))
    meta = CheckpointMeta(features_version="1", names=names, created_from=META.created_from)
    second = save_checkpoint(tmp_path / "2.safetensors", backwards, meta)
    assert first.read_bytes() == second.read_bytes()


def test_the_digest_tells_weights_and_names_apart(tmp_path: Path) -> None:
    other = weights() | {"scale": np.array(2.5)}
    renamed = CheckpointMeta(
        features_version="1", names={"models": ("large", "small")}, created_from=META.created_from
    )
    digests = {
        load(save_checkpoint(tmp_path / f"{number}.safetensors", arrays_of, meta)).sha256
        for number, (arrays_of, meta) in enumerate([(weights(), META), (other, META), (weights(), renamed)])
    }
    assert len(digests) == 3


def test_a_new_checkpoint_replaces_the_old_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, weights(), META)
    save_checkpoint(tmp_path, {"scale": np.array(3.0)}, META)
    assert load(tmp_path).arrays["scale"] == 3.0
    assert [path.name for path in tmp_path.iterdir()] == ["policy.safetensors"]


def test_a_reader_sees_one_whole_checkpoint_while_another_is_written(tmp_path: Path) -> None:
    versions = [{"weight": np.full(20_000, value)} for value in (1.0, 2.0)]
    save_checkpoint(tmp_path, versions[0], META)

    def write() -> None:
        for number in range(20):
            save_checkpoint(tmp_path, versions[number % 2], META)

    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write) for _ in range(2)]
        while not all(writer.done() for writer in writers):
            assert np.unique(load(tmp_path).arrays["weight"]) in (1.0, 2.0)
    assert [writer.result() for writer in writers] == [None, None]
    assert [path.name for path in tmp_path.iterdir()] == ["policy.safetensors"]


def test_a_write_that_fails_leaves_no_draft_behind(tmp_path: Path) -> None:
    (tmp_path / "policy.safetensors").mkdir()
    with pytest.raises(IsADirectoryError):
        save_checkpoint(tmp_path, weights(), META)
    assert [path.name for path in tmp_path.iterdir()] == ["policy.safetensors"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, weights(), META)
    with pytest.raises(CheckpointError, match="array scale is not finite"):
        save_checkpoint(tmp_path, {"scale": np.array(np.nan)}, META)
    assert load(tmp_path).arrays["scale"] == 2.0


@pytest.mark.parametrize("facts", [{"rate": float("nan")}, {"when": object()}, {"arrays": np.zeros(2)}])
def test_run_facts_that_are_no_plain_data_are_refused(tmp_path: Path, facts: dict[str, Any]) -> None:
    meta = CheckpointMeta(features_version="1", names={}, created_from=facts)
    with pytest.raises(CheckpointError, match="no plain data"):
        save_checkpoint(tmp_path, weights(), meta)


def test_weights_of_other_features_are_refused_with_both_versions(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, weights(), META)
    with pytest.raises(CheckpointError, match=r"features version '1', fed version '2'.*train anew"):
        load(tmp_path, features_version="2")


def test_weights_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, weights(), META)
    with pytest.raises(CheckpointError, match="holds a policy, not a quality"):
        load(path, kind="quality")


def test_a_missing_file_is_the_callers_mistake_and_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file") as raised:
        load(tmp_path / "absent")
    assert raised.value.path == str(tmp_path / "absent" / "policy.safetensors")
    assert isinstance(raised.value, CallerError)


@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_a_file_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    path = save_checkpoint(tmp_path, weights(), META)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="cut short"):
        load(path)


def test_no_single_changed_byte_goes_unnoticed(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, weights(), META)
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(CheckpointError):
            load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found, entry: found.update(scale=np.array(9.0)), "does not match its SHA-256"),
        (lambda found, entry: entry.update(header=entry["header"].replace("small", "tiny")), "SHA-256"),
        (lambda found, entry: found.pop("scale"), "missing: scale"),
        (lambda found, entry: found.update(more=np.zeros(1)), "too many: more"),
        (lambda found, entry: entry.update(format_version=99), "version 99, this release reads version 1"),
        (lambda found, entry: entry.pop("sha256"), "header is incomplete"),
        (lambda found, entry: entry.clear(), "header cannot be read"),
    ],
)
def test_a_file_that_was_tampered_with_is_refused_by_what_is_wrong(
    tmp_path: Path, change: Any, words: str
) -> None:
    path = save_checkpoint(tmp_path, weights(), META)
    rewrite(path, change)
    with pytest.raises(CheckpointError, match=words):
        load(path)


def test_a_safetensors_file_of_something_else_is_refused(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="something else"):
        load(tmp_path / "other.safetensors")


def test_arrays_that_do_not_fit_the_network_are_all_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, weights(), META)
    checkpoint = load(tmp_path)
    checkpoint.require({name: array.shape for name, array in weights().items()})
    with pytest.raises(CheckpointError) as raised:
        checkpoint.require({"head.weight": (2, 4), "head.bias": (2,), "tail": (1,), "scale": ()})
    said = str(raised.value)
    assert "head.weight is (2, 3), not (2, 4)" in said
    assert "tail is missing, not (1,)" in said
    assert "none is (0, 4), not wanted" in said
    assert "head.bias" not in said


def test_serving_reads_a_checkpoint_without_torch(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, weights(), META)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from inframind.router.learning.checkpoint import load_checkpoint\n"
        f"print(load_checkpoint(Path({str(path)!r}), features_version='1').arrays['scale'])\n"
        "print('torch' in sys.modules)\n"
    )
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    assert done.stdout.split() == ["2.0", "False"]
