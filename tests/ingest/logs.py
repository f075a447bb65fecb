"""Log records and what a store holds of them, for the tests of this folder."""

from __future__ import annotations

from typing import Any

import orjson

from core.events import EventStore


def make_check(number: int, **changes: Any) -> dict[str, Any]:
    """A filter_log record; every third one triggers."""
    is_hit = number % 3 == 0
    return {
        "ts": f"2026-03-02T09:{number // 60 % 60:02d}:{number % 60:02d}.120Z",
        "request_id": f"r{number // 2}",
        "conversation_id": f"c{number // 4}",
        "layer": "keyword",
        "filter_name": "blocklist",
        "category": "harassment" if is_hit else None,
        "triggered": is_hit,
        "decision": "block" if is_hit else "allow",
        "enforced": is_hit,
        "outcome": "refusal" if is_hit else None,
        **changes,
    }


def make_turn(number: int, **changes: Any) -> dict[str, Any]:
    """A model_log record."""
    return {
        "ts": f"2026-03-02T09:{number // 60 % 60:02d}:{number % 60:02d}Z",
        "request_id": f"r{number}",
        "conversation_id": f"c{number // 2}",
        "model": "m-1",
        "language": "en",
        "prompt": f"question {number} \N{SNOWMAN}",
        "response": f"answer {number}",
        **changes,
    }


def make_rated(number: int, rating: float) -> dict[str, Any]:
    """An hh_rlhf record: a red-team attempt with its rating."""
    return {
        "timestamp": f"2026-03-02T09:{number // 60 % 60:02d}:{number % 60:02d}Z",
        "request_id": f"r{number}",
        "transcript": f"\n\nHuman: Attempt {number}\n\nAssistant: No.",
        "min_harmlessness_score_transcript": 1.4,
        "rating": rating,
    }


def to_jsonl(records: list[dict[str, Any]]) -> bytes:
    """Records as JSON lines."""
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


def read_store(events: EventStore) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that must not depend on how the logs arrived; ids of ingests and the time of day left out."""
    return {
        table: events.read(f"SELECT * EXCLUDE ({hidden}) FROM {table} ORDER BY ALL").rows()
        for table, hidden in {
            "turns": "ingest_id, source",
            "checks": "ingest_id, source",
            "check_scores": "ts",
            "labels": "ingest_id, source",
            "quarantine": "ingest_id, rejected_at, source",
        }.items()
    } | {
        "check_rollup": events.read(
            "SELECT minute, filter_name, layer, mode, rule_id, category, model, sum(evaluated)::INT, sum(triggered)::INT, "
            "sum(enforced)::INT, sum(errors)::INT, sum(not_run)::INT FROM check_rollup GROUP BY ALL ORDER BY ALL"
        ).rows(),
        "turn_rollup": events.read(
            "SELECT minute, outcome, model, app, language, filters, sum(turns)::INT, sum(orphans)::INT, sum(stopped)::INT FROM turn_rollup "
            "GROUP BY ALL HAVING sum(turns) <> 0 ORDER BY ALL"
        ).rows(),
    }
