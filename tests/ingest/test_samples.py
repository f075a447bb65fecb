"""The sample logs: what the day says is what is committed, and what the README counts is what ingest stores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.demo.samples import write_samples
from ingest.files import ingest_paths
from ingest.schema import create_tables

SAMPLES = Path(__file__).parents[2] / "sample_logs"
COUNTS = ("records", "turns", "checks", "triggers", "errors", "labels")


def read_readme() -> dict[str, dict[str, str]]:
    """Rows of the README's table by file."""
    lines = [line for line in (SAMPLES / "README.md").read_text().splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(header, row, strict=True)) for row in rows}


@pytest.fixture
def events(tmp_path: Path) -> Iterator[EventStore]:
    store = EventStore(tmp_path / "home" / "events.duckdb", threads=1)
    create_tables(store)
    yield store
    store.close()


def test_committed_files_are_what_the_day_says(tmp_path: Path) -> None:
    written = write_samples(tmp_path)
    assert {path.name for path in written} < {path.name for path in SAMPLES.iterdir()}
    for path in written:
        if path.suffix == ".parquet":
            assert pl.read_parquet(SAMPLES / path.name).equals(pl.read_parquet(path))
        elif path.suffix in (".gz", ".zst"):
            # The compressed bytes depend on the library; the text does not.
            assert pl.read_ndjson(SAMPLES / path.name).equals(pl.read_ndjson(path))
        else:
            assert (SAMPLES / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.parametrize("name", sorted(read_readme()))
def test_each_file_yields_what_the_readme_counts(events: EventStore, tmp_path: Path, name: str) -> None:
    row = read_readme()[name]
    summary = ingest_paths(events, [SAMPLES / name], settings=Settings(home=tmp_path / "home"))
    assert events.read("SELECT DISTINCT format FROM ingests").item() == row["format"]
    checks = events.read(
        "SELECT count(*) FILTER (triggered) AS triggers, count(*) FILTER (status = 'error') AS errors FROM checks"
    ).row(0, named=True)
    stored = {
        "records": summary.read,
        "turns": summary.turns,
        "checks": summary.checks,
        "labels": summary.labels,
        **checks,
    }
    assert {count: int(row[count]) for count in COUNTS} == stored
    wrong = "SELECT count(*) FROM checks WHERE (status IN ('ok', 'hit')) <> (triggered IS NOT NULL)"
    assert events.read(wrong).item() == 0
    # AutoMod logs an event per action: the alert beside a block is no second trigger.
    assert (summary.rejected, summary.duplicates) == (0, 1 if name == "automod_action.jsonl" else 0)


def test_the_day_joins(events: EventStore, tmp_path: Path) -> None:
    ingest_paths(events, [SAMPLES], settings=Settings(home=tmp_path / "home"))
    text = (SAMPLES / "README.md").read_text()
    turns, conversations = map(int, re.findall(r"(\d+) turns in (\d+) conversations", text)[0])
    assert events.read("SELECT count(*), count(DISTINCT conversation_id) FROM turns").row(0) == (turns, conversations)
    assert events.read("SELECT count(*) FROM turns WHERE NOT is_logged").item() == 0
    unknown = "SELECT count(*) FROM labels WHERE request_id NOT IN (SELECT request_id FROM turns)"
    assert events.read(unknown).item() == 0
    unmapped = "SELECT DISTINCT category FROM checks WHERE starts_with(category, 'unmapped:')"
    assert events.read(unmapped).height == 0


def test_inclusion_probabilities_add_up_to_the_strata() -> None:
    labels = pl.read_ndjson(SAMPLES / "label_log.jsonl").filter(pl.col("selection") == "sample")
    outcomes = pl.read_ndjson(SAMPLES / "model_log.jsonl")["outcome"]
    stratum_of = {"refusal": "stopped", "modified": "refined", "human_escalation": "refined"}
    sizes = Counter(stratum_of.get(outcome, "passed") for outcome in outcomes)
    drawn = labels.unique("request_id").group_by("stratum").agg((1 / pl.col("inclusion_probability")).sum())
    assert dict(drawn.iter_rows()) == pytest.approx(dict(sizes))
