"""Traces leave in the shapes that fine-tuning and reinforcement-learning tools read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inframind.errors import ConfigError
from inframind.traces.content import HashedContent
from inframind.traces.export import export_rows
from inframind.traces.memory import MemoryStore
from inframind.traces.query import TraceQuery
from inframind.traces.records import Decision, Outcome, SolvedKeys, Step, Trajectory
from inframind.traces.training_rows import SHAPES, TrainingRows

EVERYTHING = TraceQuery(oldest_first=True)


def decision(trace_id: str, version: str) -> Decision:
    return Decision(
        decision_id=f"{trace_id}-0",
        kind="step",
        made_s=0.0,
        policy="learned",
        policy_version=version,
        features_version="9",
        actions=("small/Flash", "large/Plain"),
        probabilities=(0.25, 0.75),
        masked=("", ""),
        chosen=0,
        probability=0.25,
        choice={"model": "small", "strategy": "Flash"},
    )


def step(number: int, trace_id: str, text: str, parents: tuple[int, ...] = ()) -> Step:
    return Step(
        step_id=number,
        node="agent",
        kind="agent",
        position=number,
        round=1,
        role="Solver",
        parents=parents,
        decision_id=f"{trace_id}-{number}",
        model="small",
        strategy="Flash",
        served_model="small-v2",
        started_s=float(number),
        finished_s=number + 0.5,
        completion_tokens=7,
        text=text,
    )


def run(n: int, *, question: str = "1 + 1?", score: float | None = 1.0, latency_s: float = 1.0) -> Trajectory:
    trace_id = f"{n:032x}"
    said = [] if score is None else [Outcome(feedback_id="f", key="solved", score=score, recorded_at_s=1.0)]
    return Trajectory(
        trace_id=trace_id,
        question=question,
        domain="math",
        arrived_at_s=float(n),
        budget_s=2.0,
        topology="Chain",
        decisions=(decision(trace_id, f"v{n}"),),
        steps=(step(0, trace_id, "draft"), step(1, trace_id, f"answer {n}", parents=(0,))),
        text=f"answer {n}",
        final_step_id=1,
        latency_s=latency_s,
        outcomes=tuple(said),
    )


async def exported(tmp_path: Path, runs: Sequence[Trajectory], rows: TrainingRows) -> list[dict[str, Any]]:
    target = tmp_path / "rows.jsonl"
    async with MemoryStore() as store:
        for one in runs:
            await store.put(one)
        done = await export_rows(store, target, rows, EVERYTHING)
    found = [json.loads(line) for line in target.read_bytes().splitlines()]
    assert len(found) == done.rows
    return found


async def test_a_run_is_a_prompt_a_completion_a_reward_and_a_group(tmp_path: Path) -> None:
    (row,) = await exported(tmp_path, [run(1)], TrainingRows())
    assert (row["prompt"], row["completion"], row["reward"]) == ("1 + 1?", "answer 1", 1.0)
    assert (row["model"], row["policy_version"], row["completion_tokens"]) == ("small-v2", "v1", 14)


async def test_runs_of_one_question_share_a_group(tmp_path: Path) -> None:
    runs = [run(1), run(2), run(3, question="2 + 2?")]
    groups = [row["group_id"] for row in await exported(tmp_path, runs, TrainingRows())]
    assert groups[0] == groups[1] != groups[2]


async def test_missing_is_not_zero(tmp_path: Path) -> None:
    runs = [run(1, score=None), run(2, score=0.0)]
    assert [row["reward"] for row in await exported(tmp_path, runs, TrainingRows())] == [0.0]
    kept = await exported(tmp_path, runs, TrainingRows(unlabelled=True))
    assert [row["reward"] for row in kept] == [None, 0.0]


async def test_a_late_run_earns_nothing_by_on_time(tmp_path: Path) -> None:
    runs = [run(1), run(2, latency_s=3.0)]
    rewards = [row["reward"] for row in await exported(tmp_path, runs, TrainingRows(reward="on_time"))]
    assert rewards == [1.0, 0.0]


async def test_reward_by_key_takes_the_latest_score(tmp_path: Path) -> None:
    said = [Outcome(feedback_id=f"t{n}", key="tone", score=n / 10, recorded_at_s=float(n)) for n in (1, 2)]
    rated = replace(run(1), outcomes=tuple(said))
    (row,) = await exported(tmp_path, [rated, run(2)], TrainingRows(reward="key:tone"))
    assert row["reward"] == 0.2


async def test_the_configuration_says_what_solved_means(tmp_path: Path) -> None:
    thumb = Outcome(feedback_id="t", key="thumbs", score=1.0, recorded_at_s=1.0)
    rated = replace(run(1), outcomes=(thumb,))
    (row,) = await exported(tmp_path, [rated], TrainingRows(solved_keys=SolvedKeys({"thumbs": 0.5})))
    assert row["reward"] == 1.0


async def test_filters_by_reward_and_policy(tmp_path: Path) -> None:
    runs = [run(1), run(2, score=0.0), run(12)]
    assert [row["trace_id"][-1] for row in await exported(tmp_path, runs, TrainingRows(most=0.0))] == ["2"]
    of_v1 = await exported(tmp_path, runs, TrainingRows(policy="v1"))
    assert [row["policy_version"] for row in of_v1] == ["v1", "v12"]
    assert len(await exported(tmp_path, runs, TrainingRows(policy="learned"))) == 3
    assert await exported(tmp_path, runs, TrainingRows(policy="uniform")) == []


async def test_a_step_says_what_it_was_shown_and_with_which_propensity(tmp_path: Path) -> None:
    first, second = await exported(tmp_path, [run(1)], TrainingRows(shape="steps"))
    assert (first["completion"], first["shown"], first["propensity"]) == ("draft", [], 0.25)
    assert (second["completion"], second["shown"], second["propensity"]) == ("answer 1", ["draft"], None)


async def test_pairs_are_the_best_and_the_worst_of_a_question(tmp_path: Path) -> None:
    runs = [
        run(1, latency_s=1.5),
        run(2, latency_s=0.5),
        run(3, score=0.0),
        run(4, question="alone", score=0.0),
    ]
    (pair,) = await exported(tmp_path, runs, TrainingRows(shape="pairs"))
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ("1 + 1?", "answer 2", "answer 3")


async def test_chat_is_messages(tmp_path: Path) -> None:
    (row,) = await exported(tmp_path, [run(1)], TrainingRows(shape="chat", least=1.0))
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize("shape", SHAPES)
async def test_parquet_holds_the_same_rows(tmp_path: Path, shape: Any) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    runs = [run(1), run(2, score=0.0)]
    rows = TrainingRows(shape=shape)
    lines = await exported(tmp_path, runs, rows)
    async with MemoryStore() as store:
        for one in runs:
            await store.put(one)
        done = await export_rows(store, tmp_path / "rows.parquet", rows, EVERYTHING)
    assert done.rows == len(lines)
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == lines


async def test_an_export_of_nothing_is_a_file_with_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    async with MemoryStore() as store:
        done = await export_rows(store, tmp_path / "rows.parquet", TrainingRows(), EVERYTHING)
    assert done.rows == 0
    assert parquet.read_table(tmp_path / "rows.parquet").column_names == list(TrainingRows().columns)


async def test_traces_without_their_texts_are_left_out_and_counted(tmp_path: Path) -> None:
    read = {"difficulty": 0.0, "log_length": 0.0, "typical_logit": 0.0, "prompt_tokens": 3.0}
    hashed = HashedContent(key=b"0123456789abcdef", read_question=lambda text: read)(run(1))
    async with MemoryStore() as store:
        for one in (hashed, run(2)):
            await store.put(one)
        done = await export_rows(store, tmp_path / "rows.jsonl", TrainingRows(), EVERYTHING)
    assert (done.rows, done.without_texts) == (1, 1)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"shape": "rows"}, "shape"),
        ({"reward": "speed"}, "reward"),
        ({"reward": "key:"}, "reward"),
        ({"least": 1.0, "most": 0.0}, "most"),
        ({"unlabelled": True, "shape": "pairs"}, "unlabelled"),
        ({"unlabelled": True, "least": 0.5}, "unlabelled"),
    ],
)
def test_contradictions_are_refused(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        TrainingRows(**wrong)
