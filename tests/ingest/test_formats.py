"""Every format: what it yields from the sample logs, what it refuses, what it keeps."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
import zstandard

from core.errors import FormatError
from core.events import EventStore
from core.settings import Settings
from ingest.detect import detect_format, score_formats
from ingest.files import ingest_paths
from ingest.formats import FORMATS
from ingest.load import load_records
from ingest.quarantine import retry_rejects
from ingest.sources.files import read_sample, sniff_kind
from tests.ingest.logs import make_check, make_turn, to_jsonl

SAMPLES = Path(__file__).parents[2] / "sample_logs"
EXAMPLES = Path(__file__).parents[3] / "shared" / "format_examples"


def test_every_module_is_registered_under_its_name() -> None:
    folder = Path(__file__).parents[2] / "ingest" / "formats"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "base"}
    assert modules == set(FORMATS)


@pytest.mark.parametrize(
    "path", [path for path in SAMPLES.iterdir() if path.suffix != ".md"], ids=lambda path: path.name
)
def test_sample_log__detected_from_content_and_read_without_rejects(
    path: Path, events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    misnamed = tmp_path / "misnamed.bin"
    misnamed.write_bytes(path.read_bytes())
    summary = ingest_paths(events, [misnamed], settings=settings)
    assert summary.rejected == 0
    assert summary.read > 0
    assert summary.turns + summary.checks + summary.labels > 0
    assert events.read("SELECT format FROM ingests LIMIT 1").item() == path.name.split(".")[0]


@pytest.mark.parametrize(
    "path", [path for path in SAMPLES.iterdir() if path.suffix != ".md"], ids=lambda path: path.name
)
def test_detection_is_never_ambiguous(path: Path) -> None:
    kind = sniff_kind(path)
    assert kind is not None
    ranked = sorted(score_formats(read_sample(path, kind), settings=Settings()).values(), reverse=True)
    assert ranked[0] > 0.7
    assert ranked[1] < 0.3


@pytest.mark.skipif(not EXAMPLES.exists(), reason="the shared format examples are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "read", "checks", "triggered", "errors"),
    [
        ("flat_filter_log", 6, 6, 3, 1),
        ("openai_moderation", 4, 5, 2, 0),
        ("llama_guard", 6, 6, 3, 1),
        ("perspective", 3, 6, 2, 1),
    ],
)
def test_format_example__counts_by_hand(
    name: str, read: int, checks: int, triggered: int, errors: int, events: EventStore, settings: Settings
) -> None:
    summary = ingest_paths(events, [EXAMPLES / f"{name}.jsonl"], settings=settings)
    assert (summary.read, summary.checks, summary.rejected) == (read, checks, 0)
    counts = "SELECT count(*) FILTER (triggered), count(*) FILTER (status = 'error') FROM checks"
    assert events.read(counts).row(0) == (triggered, errors)
    wrong = "SELECT count(*) FROM checks WHERE status <> 'ok' AND triggered IS NOT NULL"
    assert events.read(wrong).item() == 0


def test_one_log_in_every_container__same_rows(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    records = [make_check(number, score=number / 8, metadata={"k": [1, 2]}) for number in range(12)]
    (tmp_path / "a.jsonl").write_bytes(to_jsonl(records))
    (tmp_path / "b.json").write_bytes(orjson.dumps(records, option=orjson.OPT_INDENT_2))
    frame = pl.DataFrame(records).with_columns(pl.lit('{"k":[1,2]}').alias("metadata"))
    frame.write_csv(tmp_path / "c.csv")
    frame.with_columns(pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ")).write_parquet(tmp_path / "d.parquet")
    (tmp_path / "e.jsonl.zst").write_bytes(
        zstandard.compress(to_jsonl(records[:6])) + zstandard.compress(to_jsonl(records[6:]))
    )
    for path in sorted(tmp_path.glob("[a-e].*")):
        summary = ingest_paths(events, [path], settings=settings)
        assert (summary.read, summary.rejected) == (12, 0), path.name
        assert summary.checks == (12 if path.name == "a.jsonl" else 0), path.name


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"ts": None}, "ts", "missing_field"),
        ({"ts": "yesterday"}, "ts", "invalid_time"),
        ({"ts": "3026-01-01"}, "ts", "invalid_time"),
        ({"ts": "infinity"}, "ts", "invalid_time"),
        ({"filter_name": ""}, "filter_name", "missing_field"),
        ({"triggered": None, "decision": None}, "triggered", "missing_field"),
        ({"triggered": "maybe"}, "triggered", "invalid_boolean"),
        ({"decision": "explode"}, "decision", "invalid_value"),
        ({"score": "high"}, "score", "invalid_number"),
        ({"latency_ms": -1}, "latency_ms", "invalid_number"),
        ({"outcome": "lost"}, "outcome", "invalid_value"),
    ],
)
def test_bad_field__quarantined_with_field_and_remedy_and_the_rest_kept(
    change: dict[str, Any], field: str, reason: str, events: EventStore, settings: Settings
) -> None:
    records = [make_check(1), make_check(2, **change), make_check(3)]
    summary = load_records(events, "filter_log", records, source="t", settings=settings)
    assert (summary.checks, summary.rejections) == (2, {reason: 1})
    reject = events.read("SELECT * FROM quarantine").row(0, named=True)
    assert (reject["field"], reject["line_no"], reject["reason"]) == (field, 2, reason)
    assert orjson.loads(reject["record"]) == records[1]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-02T10:14:05+01:00", "2026-03-02 09:14:05"),
        ("2026-03-02 09:14:05", "2026-03-02 09:14:05"),
        (1772442845, "2026-03-02 09:14:05"),
        (1772442845123, "2026-03-02 09:14:05.123"),
        (1772442845123456, "2026-03-02 09:14:05.123456"),
        ("1772442845123456000", "2026-03-02 09:14:05.123456"),
    ],
)
def test_time_in_every_notation__stored_as_utc(
    text: str | int, moment: str, events: EventStore, settings: Settings
) -> None:
    load_records(events, "filter_log", [make_check(1, ts=text)], source="t", settings=settings)
    assert events.read("SELECT abs(epoch_us(ts) - epoch_us(?::TIMESTAMP)) < 500 FROM checks", [moment]).item()


def test_error_is_neither_pass_nor_trigger(events: EventStore, settings: Settings) -> None:
    records = [
        make_check(1, triggered=False, decision="allow", error="timeout"),
        make_check(2, triggered=None, decision="skipped"),
        make_check(3, triggered=True, decision="block", error="late"),
    ]
    load_records(events, "filter_log", records, source="t", settings=settings)
    rows = events.read("SELECT triggered, status FROM checks ORDER BY ts").rows()
    assert rows == [(None, "error"), (None, "not_run"), (True, "ok")]


@pytest.mark.parametrize("unknown", [1, 4])
def test_unknown_keys_within_known_ones__kept_with_those_records_that_hold_them(
    unknown: int, events: EventStore, settings: Settings
) -> None:
    answer = {"createTime": "2026-03-02T09:00:00Z", "candidates": [{"finishReason": "STOP"}]}
    records = [
        {"request_id": f"r{number}", "response": answer | ({"region": number} if number < unknown else {})}
        for number in range(5)
    ]
    load_records(events, "gemini_safety", records, source="t", settings=settings)
    extras = events.read("SELECT extra FROM turns ORDER BY request_id")["extra"]
    kept = [f'{{"response":{{"region":{number}}}}}' if number < unknown else None for number in range(5)]
    assert list(extras) == kept


def test_unknown_keys_are_kept(events: EventStore, settings: Settings) -> None:
    records = [make_check(1), make_check(2, tenant={"id": 7})]
    load_records(events, "filter_log", records, source="t", settings=settings)
    load_records(events, "model_log", [make_turn(9, region="eu")], source="t", settings=settings)
    assert events.read("SELECT extra FROM checks ORDER BY ts").rows() == [(None,), ('{"tenant":{"id":7}}',)]
    assert events.read("SELECT extra FROM turns WHERE request_id = 'r9'").item() == '{"region":"eu"}'


def test_unknown_keys_of_nested_objects_are_kept_and_nothing_else(events: EventStore, settings: Settings) -> None:
    scores = {"TOXICITY": {"summaryScore": {"value": 0.9}}}
    record = {
        "timestamp": "2026-01-08T12:00:00Z",
        "request": {"comment": {"text": "hm"}, "requestedAttributes": {"TOXICITY": {}}},
        "response": {"attributeScores": scores},
    }
    odd = record | {"timestamp": "2026-01-08T12:00:01Z", "request": {"comment": {"text": "hm", "type": "PLAIN_TEXT"}}}
    load_records(events, "perspective", [record, odd], source="t", settings=settings)
    extras = events.read("SELECT extra FROM checks ORDER BY ts")["extra"].to_list()
    assert extras == [None, '{"request":{"comment":{"type":"PLAIN_TEXT"}}}']


def test_several_categories__one_check_and_a_score_row_each(events: EventStore, settings: Settings) -> None:
    record = make_check(3, category='["harassment","no-such-thing"]')
    load_records(events, "filter_log", [record], source="t", settings=settings)
    assert events.read("SELECT category, category_native FROM checks").row(0) == ("hate", "harassment")
    categories = events.read("SELECT category FROM check_scores ORDER BY 1")["category"].to_list()
    assert categories == ["hate", "unmapped:no-such-thing"]


def test_lines_that_complete_one_turn__contribute_and_a_copy_does_not(events: EventStore, settings: Settings) -> None:
    first, rest = make_turn(1, response=None), make_turn(1, prompt=None, outcome="pass")
    summary = load_records(events, "model_log", [first, rest, first], source="t", settings=settings)
    assert (summary.read, summary.turns, summary.duplicates) == (3, 1, 1)
    assert events.read("SELECT prompt, response, outcome FROM turns").row(0) == (
        "question 1 \N{SNOWMAN}",
        "answer 1",
        "pass",
    )


def test_messages__prompt_is_the_last_one(events: EventStore, settings: Settings) -> None:
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    load_records(events, "model_log", [make_turn(1, prompt=messages)], source="t", settings=settings)
    row = events.read("SELECT prompt, messages FROM turns").row(0)
    assert (row[0], orjson.loads(row[1])) == ("hi", messages)


def test_llama_guard__same_code_means_what_the_model_says(events: EventStore, settings: Settings) -> None:
    def generation(model: str) -> dict[str, Any]:
        return {"timestamp": "2026-01-08T12:00:00Z", "model": model, "output": "unsafe\nS5", "input": "x"}

    records = [generation("meta-llama/Meta-Llama-Guard-2-8B"), generation("meta-llama/Llama-Guard-3-8B")]
    load_records(events, "llama_guard", records, source="t", settings=settings)
    rows = dict(events.read("SELECT filter_version, category FROM checks").iter_rows())
    assert rows == {
        "meta-llama/Meta-Llama-Guard-2-8B": "specialized_advice",
        "meta-llama/Llama-Guard-3-8B": "defamation",
    }


def test_perspective__threshold_decides_and_changing_it_doubles_nothing(events: EventStore, settings: Settings) -> None:
    record = {
        "timestamp": "2026-01-08T12:00:00Z",
        "request": {"comment": {"text": "hm"}, "requestedAttributes": {"TOXICITY": {}, "INSULT": {}}},
        "response": {
            "attributeScores": {
                "TOXICITY": {"summaryScore": {"value": 0.9}},
                "INSULT": {"summaryScore": {"value": 0.7}},
            }
        },
    }
    with_threshold = settings.model_copy(update={"thresholds": {"perspective/TOXICITY": 0.8}})
    load_records(events, "perspective", [record], source="t", settings=with_threshold)
    rows = events.read("SELECT filter_name, triggered, status FROM checks ORDER BY 1").rows()
    assert rows == [("perspective/INSULT", None, "undecided"), ("perspective/TOXICITY", True, "ok")]
    again = load_records(events, "perspective", [record], source="t", settings=settings)
    assert (again.checks, again.duplicates) == (0, 1)


@pytest.mark.parametrize("asked", [{}, {"requestedAttributes": "TOXICITY"}, {"requestedAttributes": {}}])
@pytest.mark.parametrize("response", [{"attributeScores": {}}, {"error": {"code": 400}}])
def test_perspective__an_answer_that_names_no_attribute_is_rejected(
    asked: dict[str, Any], response: dict[str, Any], events: EventStore, settings: Settings
) -> None:
    told = {"TOXICITY": {"scoreThreshold": 0.5}}
    records = [
        {"timestamp": "2026-01-08T12:00:00Z", "request": {"comment": {"text": "hm"}, **request}, "response": response}
        for request in (asked, {"requestedAttributes": told})
    ]
    summary = load_records(events, "perspective", records, source="t", settings=settings)
    assert (summary.checks, summary.ignored, summary.rejections) == (1, 0, {"missing_field": 1})
    field, detail = events.read("SELECT field, detail FROM quarantine").row(0)
    assert field == "request.requestedAttributes"
    assert "hm" not in detail


def test_array_on_one_line__only_the_bad_element_is_rejected(
    events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(orjson.dumps([make_check(1), make_check(2, ts="?"), make_check(3), make_check(4)]))
    summary = ingest_paths(events, [path], settings=settings)
    assert (summary.read, summary.checks, summary.duplicates, summary.rejected) == (4, 3, 0, 1)
    assert events.read("SELECT line_no FROM quarantine").item() == 2


def test_one_object_over_several_lines__one_record(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(orjson.dumps(make_check(3), option=orjson.OPT_INDENT_2))
    assert ingest_paths(events, [path], settings=settings).checks == 1


@pytest.mark.parametrize("line", [b"[1,2]", b"7", b'"x"', b"null", b"{", b"\x00{}", b"\xff\xfe\x00", b"[" * 5000])
def test_line_that_is_no_object__quarantined(
    line: bytes, events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(to_jsonl([make_check(1)]) + line + b"\n\n" + to_jsonl([make_check(2)]))
    summary = ingest_paths(events, [path], settings=settings)
    assert (summary.read, summary.checks, summary.rejected) == (3, 2, 1)
    assert events.read("SELECT line_no FROM quarantine").item() == 2


def test_utf16__refused_with_remedy(events: EventStore, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(to_jsonl([make_check(1)]).decode().encode("utf-16"))
    with pytest.raises(FormatError) as error:
        ingest_paths(events, [path], settings=settings)
    assert "UTF-8" in error.value.hint


def test_detect__several_formats_fit() -> None:
    both = make_check(1) | make_turn(1) | {"reviewer": "a", "harmful": True}
    with pytest.raises(FormatError):
        detect_format(
            [both, make_check(1), {"request_id": "r", "prompt": "p", "response": "q"}], name="x", settings=Settings()
        )


def test_retry__stores_what_is_readable_now(
    events: EventStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_records(
        events, "filter_log", [make_check(1, stage="mid-air"), make_check(2, ts="?")], source="t", settings=settings
    )
    rules = tuple(rule for rule in FORMATS["filter_log"].rules if rule.field != "stage")
    monkeypatch.setattr(type(FORMATS["filter_log"]), "rules", rules)
    summary = retry_rejects(events, settings=settings)
    assert (summary.read, summary.checks, summary.rejected) == (2, 1, 1)
    states = events.read("SELECT field, state FROM quarantine ORDER BY 1").rows()
    assert states == [("stage", "resolved"), ("ts", "open")]


@pytest.mark.parametrize(
    ("key", "count"),
    [
        ("azure_openai_content_filter", "prompt_tokens"),
        ("bedrock_guardrails", "inputTokens"),
        ("gemini_safety", "prompt_?[tT]oken_?[cC]ount"),
    ],
)
def test_a_token_count_that_no_column_holds__is_unknown_and_the_verdict_stays(
    key: str, count: str, open_store: Callable[[], EventStore], settings: Settings, tmp_path: Path
) -> None:
    events = open_store()
    whole = ingest_paths(open_store(), [SAMPLES / f"{key}.jsonl"], settings=settings)
    sample = (SAMPLES / f"{key}.jsonl").read_text()
    damaged, times = re.subn(rf'("{count}"): \d+', rf"\1: {2**200}", sample)
    path = tmp_path / "damaged.jsonl"
    path.write_text(damaged)
    summary = ingest_paths(events, [path], settings=settings)
    assert (times > 0, summary.rejected, summary.checks, summary.turns) == (True, 0, whole.checks, whole.turns)
    assert events.read("SELECT count(input_tokens) FROM turns").item() == 0
