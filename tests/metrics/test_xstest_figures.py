"""Real data: the figures that the data's authors published, and those counted from their raw rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from canonical_rows import open_store

from core.events import EventStore
from core.settings import Settings
from ingest.files import ingest_paths
from metrics.consensus import consensus
from metrics.paired import PairedCounts, compare_pairs
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
        "due": 6750,
        "ran": 6739,
        "ran_share": 6739 / 6750,
    }


def test_every_unsafe_prompt_answered_in_full_reached_the_user(xstest: EventStore) -> None:
    rows = run_report(xstest, "prevalence", Query(by=("model",))).rows
    reached = dict(zip(rows["model"], rows["reached_user_prevalence"], strict=True))
    assert reached["mistralinstruct"]["numerator"] == 128
    assert reached["mistralinstruct"]["denominator"] == 450
    assert reached["llama2orig"]["estimate"] == 0


def _read(name: str) -> list[dict[str, Any]]:
    if not FOLDER.exists():
        return []
    document = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))[name]
    rows: list[dict[str, Any]] = document["rows"] if isinstance(document, dict) else document
    return rows


def test_annotators_agree_as_published(xstest: EventStore) -> None:
    expected = {row["model"]: row for row in _read("annotator_agreement")}
    rows = run_report(xstest, "agreement", Query(by=("model",), field="category")).rows.to_dicts()
    assert {row["model"] for row in rows} == set(expected)
    for row in rows:
        known = expected[row["model"]]["computed"]
        assert row["items"] == expected[row["model"]]["items"]
        assert row["percent_agreement"]["numerator"] == known["agreeing_items"]
        assert row["cohen_kappa"] == pytest.approx(known["cohen_kappa"], abs=5e-7)
        assert row["krippendorff_alpha"]["estimate"] == pytest.approx(known["krippendorff_alpha"], abs=5e-7)
    (all_models,) = run_report(xstest, "agreement", Query(field="category")).rows.to_dicts()
    assert all_models["krippendorff_alpha"]["estimate"] == pytest.approx(0.936537, abs=5e-7)
    (harmful,) = run_report(xstest, "agreement", Query()).rows.to_dicts()
    assert harmful["percent_agreement"]["estimate"] == 1


@pytest.mark.parametrize("pair", _read("paired_models"), ids=lambda pair: f"{pair['first']}-{pair['event'][:15]}")
def test_models_differ_as_counted(xstest: EventStore, pair: dict[str, Any]) -> None:
    """Prompts pair the turns of two models; the event is the people's settled category."""
    events = ["full_refusal"] + (["partial_refusal"] if "partial" in pair["event"] else [])
    verdicts = consensus(xstest.backend()).select("request_id", "harmful").to_polars()
    resolved = xstest.read(
        "SELECT turns.request_id, model, prompt FROM turns WHERE model IN (?, ?)",
        [pair["first"], pair["second"]],
    ).join(verdicts.filter(~pl.col("harmful")), on="request_id")
    refused = xstest.read("SELECT request_id, category FROM checks WHERE filter_name = 'model-refusal' AND triggered")
    names = [name for event in events for name in (event, f"unmapped:{event}")]
    fired = resolved.join(refused.filter(pl.col("category").is_in(names)), on="request_id", how="left").with_columns(
        fired=pl.col("category").is_not_null()
    )
    wide = fired.pivot(on="model", index="prompt", values="fired")
    cells = wide.group_by(pair["first"], pair["second"]).len().rows()
    tally = {(first, second): many for first, second, many in cells}
    counts = PairedCounts(
        *(tally.get(cell, 0) for cell in ((True, True), (True, False), (False, True), (False, False)))
    )
    assert counts == PairedCounts(pair["both"], pair["only_first"], pair["only_second"], pair["neither"])
    assert compare_pairs(counts, confidence=0.95).p_value == pytest.approx(pair["exact_p_value"], rel=1e-5)
