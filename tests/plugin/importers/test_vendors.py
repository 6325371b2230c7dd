"""What is peculiar to one vendor: its odd values, older shapes, and what cannot be taken over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inframind.errors import ConfigError
from inframind.plugin.importers.langfuse import LangfuseFeedback
from inframind.plugin.importers.langsmith import LangSmithFeedback
from inframind.plugin.importers.otel import OtelEvaluations, OtlpJsonFile
from inframind.plugin.importers.source import START, ImportedFeedback, Page, Skipped

PAYLOADS = Path(__file__).parent / "payloads"
T1 = "11111111111141118111111111111111"


def payload(name: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads((PAYLOADS / name).read_text())
    return items


class Listed:
    """Recorded items, as a LangSmith client and as a Langfuse one give them."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items
        self.asked: dict[str, Any] = {}

    def list_feedback(self, *, limit: int | None = None, **asked: Any) -> list[dict[str, Any]]:
        self.asked = asked
        return self.items

    def get_many(self, **asked: Any) -> dict[str, Any]:
        self.asked = asked
        return {"data": self.items, "meta": {"limit": 100}}


def taken(page: Page) -> dict[str, ImportedFeedback]:
    return {item.outcome.feedback_id: item for item in page.items if isinstance(item, ImportedFeedback)}


def skipped(page: Page) -> dict[str, str]:
    return {item.item: item.reason for item in page.items if isinstance(item, Skipped)}


async def langsmith(*changes: dict[str, Any]) -> Page:
    first = payload("langsmith.json")[-1]
    return await LangSmithFeedback(Listed([first | change for change in changes])).read(START)


async def test_langfuse_scores_of_the_older_shape() -> None:
    page = await LangfuseFeedback(Listed(payload("langfuse_flat.json"))).read(START)
    said = {own_id: (f.outcome.key, f.outcome.score, f.outcome.value) for own_id, f in taken(page).items()}
    assert said == {
        "langfuse:score-6": ("accurate", 1.0, None),
        "langfuse:score-7": ("tone", None, "polite"),
    }
    assert {f.references for f in taken(page).values()} == {(f"otel:{T1}",)}
    assert skipped(page) == {
        "langfuse:score-8": "about a whole session, not about one run",
        "langfuse:score-9": "scores of type CORRECTION are not taken over",
        "langfuse:score-10": "names no run: neither a trace of 32 hex digits nor a run's UUID",
        "langfuse:score-11": "data_type: Field required",
    }


async def test_langfuse_is_asked_for_the_named_scores_alone() -> None:
    client = Listed([])
    await LangfuseFeedback(client, names=["thumbs", "csat"]).read(START)
    assert client.asked["name"] == "thumbs,csat"


async def test_a_langsmith_value_of_any_kind_is_kept_as_text() -> None:
    values: list[tuple[Any, str]] = [
        ("rude", "rude"),
        (True, "true"),
        (3, "3"),
        (0.5, "0.5"),
        ({"b": [1], "a": "é"}, '{"a":"é","b":[1]}'),
    ]
    page = await langsmith(*({"value": value, "score": None} for value, _ in values))
    assert [f.outcome.value for f in page.items if isinstance(f, ImportedFeedback)] == [t for _, t in values]


async def test_langsmith_feedback_is_found_by_its_run_then_by_the_root() -> None:
    page = await langsmith({"run_id": None}, {"trace_id": None}, {"run_id": None, "trace_id": None})
    found = [item.references for item in page.items if isinstance(item, ImportedFeedback)]
    assert found == [(f"otel:{T1}",), (f"run:{T1}",)]
    assert [reason[:12] for reason in skipped(page).values()] == ["names no run"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"score": None}, "feedback 'thumbs' needs a score=, a value= or a comment="),
        ({"score": float("nan")}, "score = nan: give a finite number"),
        ({"comment": "\ud800"}, "trace store, encode: outcome langsmith:"),
        ({"modified_at": "yesterday"}, "modified_at: Input should be a valid datetime"),
    ],
)
async def test_langsmith_feedback_that_cannot_be_kept_is_skipped_with_a_reason(
    change: dict[str, Any], reason: str
) -> None:
    ((item, said),) = skipped(await langsmith(change)).items()
    assert item == "langsmith:f0000000-0000-4000-8000-000000000001"
    assert said.startswith(reason)


async def test_langsmith_is_asked_for_the_named_keys_and_projects_alone() -> None:
    client = Listed([])
    await LangSmithFeedback(client, keys=["thumbs"]).read(START)
    assert client.asked == {"offset": 0, "feedback_key": ["thumbs"]}


def otlp_file(tmp_path: Path, tail: str = "") -> OtlpJsonFile:
    lines = [json.dumps(document) + "\n" for document in payload("otel.json")]
    (tmp_path / "evaluations.jsonl").write_text("".join(lines) + tail)
    return OtlpJsonFile(tmp_path / "evaluations.jsonl")


@pytest.mark.parametrize("page_documents", [1, 2, 5, 100])
async def test_a_file_of_telemetry_is_read_page_by_page(tmp_path: Path, page_documents: int) -> None:
    source = OtelEvaluations(otlp_file(tmp_path, '{"resourceLogs": [{"sc'), page_documents=page_documents)
    page, items = await source.read(START), list[ImportedFeedback | Skipped]()
    items += page.items
    while page.next_page is not None:
        page = await source.read(type(START)(page=page.next_page))
        items += page.items
    keys = [item.outcome.key for item in items if isinstance(item, ImportedFeedback)]
    assert keys == ["thumbs", "correctness", "tone", "helpful"]
    assert [item.reason for item in items if isinstance(item, Skipped)] == ["has no gen_ai.evaluation.name"]


async def test_a_damaged_line_of_telemetry_is_skipped(tmp_path: Path) -> None:
    page = await OtelEvaluations(otlp_file(tmp_path, '{"resourceLogs": [}\n')).read(START)
    assert len(taken(page)) == 4
    assert skipped(page)["otel:document"].startswith(": Invalid JSON")


def test_a_file_of_telemetry_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="that exists"):
        OtlpJsonFile(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"timeUnixNano": "0", "observedTimeUnixNano": "0"}, "has no time"),
        ({"traceId": ""}, "names no run"),
        ({"attributes": []}, "has no gen_ai.evaluation.name"),
    ],
)
async def test_an_evaluation_that_cannot_be_kept_is_skipped_with_a_reason(
    change: dict[str, Any], reason: str
) -> None:
    document = payload("otel.json")[0]
    record = document["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    record.update(change)

    class One:
        def read(self, place: int, limit: int) -> tuple[list[dict[str, Any]], None]:
            return [document], None

    (said,) = skipped(await OtelEvaluations(One()).read(START)).values()
    assert said.startswith(reason)
