"""A fictional stretch of traffic, straight in the canonical tables."""

from __future__ import annotations

from datetime import datetime

from core.clock import now
from core.events import Connection
from service.home import Home

HOSTILE = "<img src=x onerror=alert(1)> ![a](https://foreign.example/a.png) \u202e[b](javascript:alert(1))"

_TURNS = """INSERT INTO turns BY NAME
SELECT 'r' || $ingest || '-' || i AS request_id, $until::TIMESTAMP - to_seconds(10 * ($turns - 1 - i)) AS ts,
    'c' || (i // 4) AS conversation_id, 'model-a' AS model, ['tutor', 'shop'][(1 + i % 2)::INTEGER] AS app,
    'text' AS prompt, 'text' AS response, CASE WHEN i % 20 = 0 THEN 'refusal' ELSE 'pass' END AS outcome,
    'log' AS source, true AS is_logged, $ingest AS ingest_id
FROM range($turns) t(i)"""
_CHECKS = """INSERT INTO checks BY NAME
SELECT gen_random_uuid() AS check_id, ts, request_id, conversation_id, layer, 'input' AS stage, filter_name,
    '1' AS filter_version, CASE WHEN fired AND layer = 'keyword' THEN 'rule-1' END AS rule_id,
    CASE WHEN fired THEN 'hate' END AS category,
    CASE WHEN fired AND layer = 'keyword' THEN $hostile END AS matched_text, CASE WHEN fired THEN 0.9 ELSE 0.1 END AS score, 0.8 AS threshold,
    fired AS triggered, CASE WHEN fired THEN 'block' ELSE 'allow' END AS decision, fired AS enforced,
    'enforce' AS mode, 'ok' AS status, 12.0 AS latency_ms, 'log' AS source, $ingest AS ingest_id
FROM (
    SELECT *, outcome = 'refusal' AS fired FROM turns
    CROSS JOIN (VALUES ('keyword', $hostile), ('classifier', 'toxicity')) AS f(layer, filter_name)
    WHERE ingest_id = $ingest
)"""
_LABELS = """INSERT INTO labels BY NAME
SELECT gen_random_uuid() AS label_id, ts, request_id, conversation_id, 'ada' AS reviewer,
    outcome = 'refusal' AND hash(request_id) % 3 > 0 AS harmful, 'sample' AS selection, 'all' AS stratum,
    1.0 AS inclusion_probability, 'log' AS source, $ingest AS ingest_id
FROM turns WHERE ingest_id = $ingest"""
_CHECK_ROLLUP = """INSERT INTO check_rollup BY NAME
SELECT date_trunc('minute', ts) AS minute, filter_name, filter_version, layer, stage, mode, rule_id, category, model,
    source, count(*) AS evaluated, count(*) FILTER (triggered) AS triggered, count(*) FILTER (enforced) AS enforced,
    0 AS errors, 0 AS not_run, 0 AS undecided
FROM checks WHERE ingest_id = $ingest GROUP BY ALL"""
_TURN_ROLLUP = """INSERT INTO turn_rollup BY NAME
SELECT date_trunc('minute', ts) AS minute, outcome, model, app, language, count(*) AS turns, 0 AS orphans, 0 AS stopped
FROM turns WHERE ingest_id = $ingest GROUP BY ALL"""
_INGEST = """INSERT INTO ingests BY NAME
SELECT $ingest AS ingest_id, $at AS ingested_at, 'log' AS source, 'filter_log' AS format, 'a.jsonl' AS file,
    $turns AS read_count, $turns AS turn_count, 2 * $turns AS check_count, $turns AS label_count,
    0 AS duplicate_count, 1 AS reject_count, $until::TIMESTAMP AS last_event_at, 0.5 AS seconds"""
_REJECT = """INSERT INTO quarantine BY NAME
SELECT gen_random_uuid() AS reject_id, $at AS rejected_at, 'log' AS source, 'filter_log' AS format,
    $hostile AS file, 7 AS line_no, 'missing_field' AS reason, 'ts' AS field, $hostile AS detail,
    $hostile AS record, 'open' AS state, $ingest AS ingest_id"""


def fill(home: Home, *, until: datetime, turns: int = 600, ingest_id: int = 1) -> None:
    """Stores `turns` turns, ten seconds apart, the last one at `until`, with checks, verdicts, rejects and job runs."""

    def work(connection: Connection) -> None:
        connection.execute(_TURNS, {"until": until, "turns": turns, "ingest": ingest_id})
        connection.execute(_CHECKS, {"hostile": HOSTILE, "ingest": ingest_id})
        connection.execute(_LABELS, {"ingest": ingest_id})
        connection.execute(_CHECK_ROLLUP, {"ingest": ingest_id})
        connection.execute(_TURN_ROLLUP, {"ingest": ingest_id})
        connection.execute(_INGEST, {"ingest": ingest_id, "at": now(), "turns": turns, "until": until})
        connection.execute(_REJECT, {"hostile": HOSTILE, "ingest": ingest_id, "at": now()})
        connection.execute("INSERT INTO job_runs VALUES ('ingest', $at, 0.1, 'read 600 records', '')", {"at": now()})
        connection.execute("INSERT INTO job_runs VALUES ('cases', $at, 0.1, '', $why)", {"at": now(), "why": HOSTILE})

    home.events.write(work)
