from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from inframind.arena.results.archive import read_evaluation, write_evaluation
from inframind.arena.results.judgement import judge
from inframind.arena.results.tables import Evaluation
from inframind.errors import ConfigError

Synthetic = Callable[..., Evaluation]
FILES = ("episodes.parquet", "calls.parquet", "load.parquet", "summary.json")


def test_what_is_written_is_read_again(synthetic: Synthetic, tmp_path: Path) -> None:
    evaluation = synthetic(seeds=2)

    write_evaluation(evaluation, tmp_path / "runs" / "first")

    assert read_evaluation(tmp_path / "runs" / "first") == evaluation


def test_an_evaluation_without_calls_samples_facts_and_bounds_is_read_again(
    synthetic: Synthetic, tmp_path: Path
) -> None:
    full = synthetic(seeds=1, rates=(10,))
    runs = tuple(
        replace(run, timeline=(), episodes=tuple(replace(one, calls=()) for one in run.episodes))
        for run in full.runs
    )

    write_evaluation(Evaluation(runs=runs), tmp_path)

    assert read_evaluation(tmp_path) == Evaluation(runs=runs)


def test_tables_have_a_row_per_question_call_and_sample(synthetic: Synthetic, tmp_path: Path) -> None:
    evaluation = synthetic(seeds=1)
    write_evaluation(evaluation, tmp_path)

    episodes = [episode for run in evaluation.runs for episode in run.episodes]
    table = pq.read_table(tmp_path / "episodes.parquet")
    assert table.num_rows == len(episodes)
    assert table["on_time_success"].to_pylist() == [one.is_on_time and one.solved for one in episodes]
    assert table["completion_tokens"].to_pylist() == [one.completion_tokens for one in episodes]
    assert table["rate_per_min"].to_pylist() == [
        run.rate_per_min for run in evaluation.runs for _ in run.episodes
    ]
    assert pq.read_table(tmp_path / "calls.parquet").num_rows == sum(len(one.calls) for one in episodes)
    samples = sum(len(run.timeline) for run in evaluation.runs)
    assert pq.read_table(tmp_path / "load.parquet").num_rows == samples


def test_the_summary_has_every_figure_with_its_interval(synthetic: Synthetic, tmp_path: Path) -> None:
    evaluation = synthetic()
    judgement = judge(evaluation)
    write_evaluation(evaluation, tmp_path, judgement=judgement)

    summary = json.loads((tmp_path / "summary.json").read_text())

    assert summary["facts"] == dict(evaluation.facts)
    assert len(summary["figures"]) == len(judgement.columns.contenders) * (1 + 3 + 4)
    first = summary["figures"][0]
    success = judgement.overall.on_time_success
    assert (first["contender"], first["rate_per_min"], first["budget_tier"]) == ("ours", None, None)
    assert first["on_time_success"]["value"] == success.value_C[0]
    assert first["on_time_success"]["low"] == success.low_C[0]
    assert first["on_time_success"]["per_seed"] == success.per_seed_CS[0].tolist()
    assert first["models"].keys() == {"qwen-1.5b", "qwen-7b", "qwen-32b"}
    assert first["difference_to_baseline"]["low"] == judgement.overall.difference.low_C[0]
    ranks = {row["contender"]: row["rank"] for row in summary["ranking"]}
    assert (ranks["oracle"], ranks["ours"]) == (None, 1)
    assert summary["baseline"] == summary["best_constant_in_hindsight"] == "always-small"
    assert summary["best_constant"] is None


def test_figures_that_do_not_exist_are_null(synthetic: Synthetic, tmp_path: Path) -> None:
    write_evaluation(synthetic(seeds=2, rates=(10,)), tmp_path)

    figures = json.loads((tmp_path / "summary.json").read_text())["figures"][0]

    assert figures["on_time_success"]["low"] is None
    assert figures["on_time_success"]["value"] is not None


def test_an_evaluation_replaces_the_one_before(synthetic: Synthetic, tmp_path: Path) -> None:
    write_evaluation(synthetic(seeds=2), tmp_path)
    write_evaluation(synthetic(seeds=1), tmp_path)

    assert read_evaluation(tmp_path) == synthetic(seeds=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_a_folder_without_summary_was_not_finished(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no finished evaluation"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(name: str, synthetic: Synthetic, tmp_path: Path) -> None:
    write_evaluation(synthetic(seeds=1, rates=(10,)), tmp_path)
    (tmp_path / name).write_bytes(b"not what it was")

    with pytest.raises(ConfigError, match=f"{name} cannot be read"):
        read_evaluation(tmp_path)


def test_a_missing_table_and_a_missing_column_are_named(synthetic: Synthetic, tmp_path: Path) -> None:
    write_evaluation(synthetic(seeds=1, rates=(10,)), tmp_path)
    load = tmp_path / "load.parquet"
    pq.write_table(pq.read_table(load).drop_columns(["slots"]), load)
    with pytest.raises(ConfigError, match=r"load\.parquet cannot be read \(no column 'slots'\)"):
        read_evaluation(tmp_path)

    load.unlink()
    with pytest.raises(ConfigError, match=r"load\.parquet cannot be read"):
        read_evaluation(tmp_path)


def test_calls_of_another_evaluation_are_refused(synthetic: Synthetic, tmp_path: Path) -> None:
    write_evaluation(synthetic(seeds=1), tmp_path / "a")
    write_evaluation(synthetic(seeds=2), tmp_path / "b")
    (tmp_path / "b" / "calls.parquet").replace(tmp_path / "a" / "calls.parquet")

    with pytest.raises(ConfigError, match="does not belong to episodes"):
        read_evaluation(tmp_path / "a")


def test_another_version_of_the_format_is_refused(synthetic: Synthetic, tmp_path: Path) -> None:
    write_evaluation(synthetic(seeds=1, rates=(10,)), tmp_path)
    path = tmp_path / "summary.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 99'))

    with pytest.raises(ConfigError, match="schema_version = 99"):
        read_evaluation(tmp_path)


def test_without_pyarrow_the_error_says_what_to_install(
    synthetic: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = synthetic(seeds=1, rates=(10,))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)

    with pytest.raises(ConfigError, match=r"pyarrow.*pip install 'inframind\[arena\]'"):
        write_evaluation(evaluation, tmp_path)
    assert not list(tmp_path.iterdir())
