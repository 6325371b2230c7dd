from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inframind.arena.replay.columns import ColumnMap, columns_from, prices_from
from inframind.arena.replay.table import ReplayTable
from inframind.errors import ConfigError, InvalidItems
from inframind.router.replies import UNREADABLE

DATA = Path(__file__).resolve().parents[3].parent / "shared/data"
NAN = float("nan")
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*lines: str, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


FULL = (
    "question_id,benchmark,question,model,strategy,is_solved,prompt_tokens,completion_tokens,latency_s,cost_usd",
    "q2,math,two?,small,Plain,1,10,5,1.5,0.1",
    "q2,math,two?,small,Flash,0,10,1,0.5,0.1",
    "q1,code,one?,big,Plain,1,8,,3.0,0.4",
    "q1,code,one?,small,Plain,,8,4,9.0,0.1",
)


def test_known_names_need_no_options(write: Write) -> None:
    table = ReplayTable.read(write(*FULL))

    assert table.question_ids == ("q2", "q1")
    assert table.questions == ("two?", "one?")
    assert table.strata == ("math", "code")
    assert table.arms == ("big/Plain", "small/Flash", "small/Plain")
    np.testing.assert_array_equal(table.quality, [[NAN, 0, 1], [1, NAN, NAN]])
    np.testing.assert_array_equal(table.recorded, [[False, True, True], [True, False, False]])
    np.testing.assert_array_equal(table.seconds, [[NAN, 0.5, 1.5], [3, NAN, 9]])
    np.testing.assert_array_equal(table.tokens, [[NAN, 11, 15], [NAN, NAN, 12]])


def test_other_names_are_mapped(write: Write) -> None:
    path = write("nr,who,right,took", "1,a,1,2.5", "1,b,0,3.5")

    table = ReplayTable.read(path, ColumnMap(question_id="nr", arm=("who",), quality="right", seconds="took"))

    assert (table.question_ids, table.arms, table.questions) == (("1",), ("a", "b"), (None,))
    np.testing.assert_array_equal(table.seconds, [[2.5, 3.5]])


def test_maps_and_prices_are_read_as_they_are_written() -> None:
    assert columns_from(["seconds=took", "arm=model,prompt"]) == ColumnMap(
        seconds="took", arm=("model", "prompt")
    )
    assert columns_from([]) == ColumnMap()
    assert prices_from(["a/b=2", "c=d=0.5"]) == {"a/b": 2.0, "c=d": 0.5}


@pytest.mark.parametrize("text", ["took", "speed=took", "seconds=", "=took"])
def test_a_map_that_makes_no_sense_is_answered_with_the_meanings(text: str) -> None:
    with pytest.raises(ConfigError, match=r"give MEANING=COLUMN; meanings: question_id, .*seconds"):
        columns_from([text])


@pytest.mark.parametrize("text", ["gpt-4", "gpt-4=", "gpt-4=much"])
def test_a_price_that_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="give ARM=PRICE"):
        prices_from([text])


def test_parquet_holds_the_same_as_csv(write: Write, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(
        pa.table({"question_id": [1, 1], "arm": ["a", "b"], "solved": [True, None], "cost": pa.nulls(2)}),
        path,
    )

    table = ReplayTable.read(path)

    np.testing.assert_array_equal(table.quality, [[1, NAN]])
    assert table.cost is None


def test_parts_of_an_arm_that_never_differ_are_left_out(write: Write) -> None:
    table = ReplayTable.read(
        write("id,model,strategy,config,solved", "1,a,cot,x,1", "1,b,cot,x,0", "1,b,cot,y,0")
    )

    assert table.arms == ("a/x", "b/x", "b/y")


def test_context_is_what_was_known_at_dispatch(write: Write) -> None:
    table = ReplayTable.read(write("id,model,quality,running,waiting", "1,a,0.5,3,1", "1,b,0.7,9,"))

    assert table.context_names == ("running", "waiting")
    np.testing.assert_array_equal(table.context, [[[3, 1], [9, NAN]]])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("id,model,solved",), "holds no rows"),
        (
            ("id,model", "1,a"),
            r"no column for the quality \(looked for is_solved, solved, quality.*rename or map one of: id, model",
        ),
        (("id,solved", "1,1"), r"no column for the arm \(looked for arm, model"),
        (("model,solved", "a,1"), "no column for the question id"),
        (("id,model,solved", "1,a,1", "2,a,2"), "row 2: solved = 2 is not from 0 to 1; give 0 or 1"),
        (("id,model,solved", "1,a,1", "2,a,-0.5"), r"row 2: solved = -0\.5 is not from 0 to 1"),
        (("id,model,solved", "1,a,yes", "2,a,no"), "'solved' does not hold numbers"),
        (("id,model,solved", "1,a,", "2,a,"), "'solved' is empty"),
        (("id,model,solved,seconds", "1,a,1,-3"), "row 1: seconds = -3 is negative"),
        (("id,model,solved,seconds", "1,a,1,inf"), "row 1: seconds = inf is not finite"),
        (
            ("id,model,solved", "1,a,1", "2,a,1", "1,a,0"),
            r"question '1' is answered twice by arm 'a' \(rows 1 and 3\)",
        ),
        (("id,question,model,solved", "1,x?,a,1", "1,y?,b,1"), "row 2: question '1' has another text"),
        (("id,benchmark,model,solved", "1,x,a,1", "1,y,b,1"), "row 2: question '1' has another benchmark"),
    ],
)
def test_a_table_that_cannot_be_replayed_is_refused(write: Write, lines: Sequence[str], message: str) -> None:
    with pytest.raises(InvalidItems, match=message):
        ReplayTable.read(write(*lines))


def test_a_mapped_column_that_is_not_there_is_named_with_those_that_are(write: Write) -> None:
    for columns in (ColumnMap(seconds="lat"), ColumnMap(arm=("lat",)), ColumnMap(context=("lat",))):
        with pytest.raises(ConfigError, match=r"columns\..* = 'lat': choose one of .*question_id, benchmark"):
            ReplayTable.read(write(*FULL), columns)


@pytest.mark.parametrize("name", ["nowhere.parquet", "nowhere.csv"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidItems, match=rf"{name}: cannot be read \(no such file\)"):
        ReplayTable.read(tmp_path / name)


def test_a_file_of_another_kind_is_refused(write: Write) -> None:
    with pytest.raises(InvalidItems, match="give a Parquet file, or a CSV file"):
        ReplayTable.read(write("not parquet", name="table.parquet"))


def test_some_benchmarks_can_be_selected(write: Write) -> None:
    table = ReplayTable.read(write(*FULL)).select(["math"])

    assert table.question_ids == ("q2",)
    assert table.arms == ("small/Flash", "small/Plain")
    with pytest.raises(ConfigError, match="benchmark = 'art': choose some of: math"):
        table.select(["art"])


def test_the_cost_is_the_one_that_most_outcomes_come_with(write: Write) -> None:
    assert ReplayTable.read(write(*FULL)).best_cost() == "cost"
    assert (
        ReplayTable.read(write("id,model,solved,seconds,cost", "1,a,1,2,", "1,b,1,3,4")).best_cost()
        == "seconds"
    )
    assert ReplayTable.read(write("id,model,solved", "1,a,1")).best_cost() == "none"


def test_a_cost_that_is_not_recorded_is_refused(write: Write) -> None:
    table = ReplayTable.read(write("id,model,solved,seconds", "1,a,1,2"))

    assert table.costs("none") is None
    with pytest.raises(ConfigError, match=r"cost = 'tokens': .* records: seconds, none"):
        table.costs("tokens")


def test_prices_go_by_the_longest_name_that_fits(write: Write) -> None:
    table = ReplayTable.read(write(*FULL)).priced({"small": 2.0, "small/Flash": 3.0, "big": 5.0})

    np.testing.assert_array_equal(table.cost, [[NAN, 33, 30], [NAN, NAN, 24]])


@pytest.mark.parametrize(
    ("prices", "message"),
    [({"small": 1.0}, r"prices\.big/Plain"), ({"small": 1.0, "big": -1.0}, "give 0 or more")],
)
def test_every_arm_needs_a_price(write: Write, prices: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ReplayTable.read(write(*FULL)).priced(prices)


def test_prices_need_tokens(write: Write) -> None:
    with pytest.raises(ConfigError, match="records no tokens"):
        ReplayTable.read(write("id,model,solved", "1,a,1")).priced({"a": 1.0})


@pytest.mark.skipif(not (DATA / "outcomes").exists(), reason="needs ../shared/data/outcomes")
@pytest.mark.parametrize(
    ("path", "shape", "cost"),
    [
        ("concise_cot/outcomes.parquet", (1000, 24), "tokens"),
        ("llmrouter/outcomes.parquet", (5296, 9), "none"),
        ("medagents/full_zero_shot.parquet", (6502, 10), "seconds"),
        ("medagents/hard_topologies.parquet", (532, 40), "seconds"),
        ("self_reflection/outcomes.parquet", (1000, 18), "tokens"),
        ("slm_debate/outcomes.parquet", (40, 51), "tokens"),
        ("zeroeval/outcomes.parquet", (2840, 55), "tokens"),
    ],
)
def test_recorded_outcomes_are_recognised(path: str, shape: tuple[int, int], cost: str) -> None:
    table = ReplayTable.read(DATA / "outcomes" / path)

    assert table.quality.shape == shape
    assert table.best_cost() == cost


@pytest.mark.skipif(
    not (DATA / "hw_router_telemetry").exists(), reason="needs ../shared/data/hw_router_telemetry"
)
def test_recorded_telemetry_is_recognised() -> None:
    table = ReplayTable.read(DATA / "hw_router_telemetry/telemetry.csv.gz")

    assert table.quality.shape == (875, 5)
    assert table.context_names == ("running", "waiting", "kv_cache_usage")
    assert int(table.recorded.sum()) == 4334


def test_answers_are_numbered_and_an_empty_one_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "answers.csv"
    path.write_text("question_id,arm,solved,read\nq1,a,1,42\nq1,b,1,42\nq2,a,0,\nq2,b,0,7\n")

    found = ReplayTable.read(path, ColumnMap(answer="read")).answers

    assert found is not None
    assert found[0, 0] == found[0, 1] >= 0
    assert found[1].tolist()[0] == UNREADABLE
    assert found[1, 1] not in (found[0, 0], UNREADABLE)
