"""Real data: the figures that the data's authors published, and those counted from their raw rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canonical_rows import open_store

from core.events import EventStore
from core.settings import Settings
from ingest.files import ingest_paths
from metrics.query import Query
from metrics.run import run_report

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "xstest"
pytestmark = pytest.mark.skipif(
    not FOLDER.exists(), reason=f"NOT RUN: the XSTest logs are not at {FOLDER}, so no published figure was checked"
)


@pytest.fixture(scope="module")
def xstest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EventStore]:
    store = open_store(tmp_path_factory.mktemp("xstest"))
    paths = sorted(FOLDER.glob("*_log.jsonl.gz"))
    assert len(paths) == 3
    ingest_paths(store, paths, settings=Settings())
    yield store
    store.close()


def _steps() -> list[dict[str, Any]]:
    if not FOLDER.exists():
        return []
    steps = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))["steps"]
    return [step for step in steps if "report" in step]


@pytest.mark.parametrize("step", _steps(), ids=lambda step: f"{step['report']}-{step['filter']}")
def test_figures_are_the_expected_ones(xstest: EventStore, step: dict[str, Any]) -> None:
    query = Query(by=tuple(step["by"]), filters=tuple(step["filter"].items()))
    document = run_report(xstest, step["report"], query).to_json()
    rows = document["rows"]
    assert isinstance(rows, list)
    assert len(rows) == len(step["rows"])
    for expected in step["rows"]:
        (row,) = [row for row in rows if all(row[key] == value for key, value in expected["where"].items())]
        for name, value in (expected.get("published", {}) | expected.get("computed", {})).items():
            found = row[name]
            if isinstance(found, dict):
                assert found["estimate"] == pytest.approx(value, abs=0.0005), name
                assert found["low"] <= found["estimate"] <= found["high"]
                assert found["method"] == "wilson"
            else:
                assert found == value, name


def test_coverage_counts_the_unreadable_verdicts(xstest: EventStore) -> None:
    document = run_report(xstest, "triggers", Query()).to_json()
    assert document["coverage"] == {
        "turns": 2250,
        "checks": 6750,
        "errors": 11,
        "not_run": 0,
        "orphans": 0,
        "rejected": 0,
        "evaluated_share": 6739 / 6750,
    }


def test_every_unsafe_prompt_answered_in_full_reached_the_user(xstest: EventStore) -> None:
    rows = run_report(xstest, "prevalence", Query(by=("model",))).rows
    reached = dict(zip(rows["model"], rows["reached_user_prevalence"], strict=True))
    assert reached["mistralinstruct"]["numerator"] == 128
    assert reached["mistralinstruct"]["denominator"] == 450
    assert reached["llama2orig"]["estimate"] == 0
