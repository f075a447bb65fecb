"""Records without a time of their own are the same records when their file has another time, and keep the first one."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import orjson
import pytest

from core.clock import from_epoch
from core.events import EventStore
from core.settings import Settings
from ingest.batch import IngestSummary
from ingest.files import ingest_paths
from ingest.formats.base import ENVELOPE_TIMES
from tests.ingest.logs import read_store, to_jsonl

SAMPLES = Path(__file__).parents[2] / "sample_logs"
FIRST, LATER = 1_750_000_000, 1_760_000_000


def ingest(events: EventStore, settings: Settings, log: Path, content: bytes, written_at: int) -> IngestSummary:
    """Ingests `content` as a file of that time."""
    log.write_bytes(content)
    os.utime(log, (written_at, written_at))
    return ingest_paths(events, [log], settings=settings, format_key=log.stem)


@pytest.mark.parametrize("key", ["automod_action", "cai_records", "granite_guardian", "hh_rlhf"])
def test_a_file_whose_time_and_head_changed__adds_only_what_is_new(
    key: str, events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    lines = (SAMPLES / f"{key}.jsonl").read_bytes().splitlines()[:6]
    records = [
        {name: value for name, value in orjson.loads(line).items() if name not in ENVELOPE_TIMES} for line in lines
    ]
    log = tmp_path / f"{key}.jsonl"
    ingest(events, settings, log, to_jsonl(records[:-1]), FIRST)
    stored = read_store(events)
    again = ingest(events, settings, log, to_jsonl([records[0], *records[:-1]]), LATER)
    assert read_store(events) == stored
    assert again.duplicates == again.read == len(records)
    # What a later file adds has that file's time, and keeps it too.
    ingest(events, settings, log, to_jsonl(records), LATER)
    ingest(events, settings, log, to_jsonl([*records, records[0]]), LATER + 100_000)
    assert list(events.read("SELECT DISTINCT ts FROM turns ORDER BY ts")["ts"]) == [
        from_epoch(FIRST),
        from_epoch(LATER),
    ]
    assert events.read("SELECT count(*) FROM undated").item() == len({orjson.dumps(record) for record in records})


def test_records_with_a_time_beside_some_without__keep_their_own(
    events: EventStore, settings: Settings, tmp_path: Path
) -> None:
    pair = {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}
    dated = {**pair, "timestamp": "2026-03-02T09:00:00Z"}
    log = tmp_path / "hh_rlhf.jsonl"
    for records, written_at in (([pair, dated], FIRST), ([dated, pair, dated], LATER)):
        ingest(events, settings, log, to_jsonl(records), written_at)
    moments = events.read("SELECT ts FROM turns ORDER BY ts")["ts"]
    assert list(moments) == [from_epoch(FIRST), datetime(2026, 3, 2, 9)]
    assert events.read("SELECT count(*) FROM labels").item() == 2
