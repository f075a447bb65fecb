"""A million broken lines (`WEIR_SOAK=1`; a thousand by default) over the samples of all formats: no crash, and every line is somewhere."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.files import ingest_file
from ingest.formats import FORMATS
from tests.ingest.fuzz import write_lines
from tests.ingest.kill_worker import count_rows
from tests.soak import repeats

SAMPLES = Path(__file__).parents[2] / "sample_logs"
KEYS = sorted(FORMATS)
# Parts of ten thousand, so that one store's quarantine stays small.
LINES, PARTS = repeats(40, full=10_000), repeats(1, full=-(-1_000_000 // (10_000 * len(KEYS))))
# Traces tell of much else. In the other logs only a damaged record tells of nothing: one whose key is spelt wrong, say.
TRACES = {"langfuse_observations", "openinference_spans", "otlp_genai_logs", "otlp_genai_spans"}


@pytest.mark.parametrize("key", KEYS)
def test_broken_lines__each_stored_quarantined_or_counted(key: str, events: EventStore, tmp_path: Path) -> None:
    sample = (SAMPLES / f"{key}.jsonl").read_bytes().splitlines()
    settings = Settings().model_copy(update={"home": tmp_path})
    turns = checks = labels = rejected = 0
    for part in range(PARTS):
        chance = random.Random(f"{key} {part}")
        path = tmp_path / f"{key}-{part}.jsonl"
        text = b"".join(write_lines(sample, LINES, chance)).removeprefix(b"\xef\xbb\xbf")
        path.write_bytes(text)
        summary = ingest_file(events, path, settings=settings, format_key=key)
        lines = sum(1 for line in text.split(b"\n") if line.strip())
        assert summary.read == lines
        assert summary.rejected == sum(summary.rejections.values())
        turns, checks, labels = turns + summary.turns, checks + summary.checks, labels + summary.labels
        rejected += summary.rejected
        kept = events.read(
            "SELECT count(*) AS n, count(DISTINCT line_no) AS lines FROM quarantine WHERE file = ?", [path.name]
        )
        assert kept.row(0) == (summary.rejected, summary.rejected)
        assert key in TRACES or summary.ignored <= max(2, lines // 50)
        # One empty line more, and no chunk is recognised as a whole: every record is looked up. The time is that of records without one.
        written_at = path.stat().st_mtime_ns
        path.write_bytes(text + b"\n")
        os.utime(path, ns=(written_at, written_at))
        again = ingest_file(events, path, settings=settings, format_key=key)
        assert (again.read, again.rejected, again.ignored) == (summary.read, summary.rejected, summary.ignored)
        assert (again.turns, again.checks, again.labels) == (0, 0, 0)
        assert again.duplicates == summary.read - summary.rejected - summary.ignored
    stored_checks, evaluated, stored_turns, counted = count_rows(events)
    by_status = "evaluated + errors + not_run + undecided + hits"
    assert (
        stored_checks == checks == events.read(f"SELECT coalesce(sum({by_status}), 0)::BIGINT FROM check_rollup").item()
    )
    assert evaluated <= stored_checks
    assert stored_turns == counted
    assert events.read("SELECT count(*) FROM labels").item() == labels
    assert events.read("SELECT count(*) FROM quarantine").item() == rejected
    assert events.read("SELECT sum(read_count)::BIGINT FROM ingests").item() >= rejected
