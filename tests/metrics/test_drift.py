"""Score drift against figures computed from the raw scores of two versions of Perspective, and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from canonical_rows import START, add

from core.events import EventStore
from core.settings import Settings
from ingest.files import ingest_paths
from metrics.drift import population_stability_index
from metrics.query import Query
from metrics.run import run_report

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "perspective"


@pytest.mark.skipif(not FOLDER.exists(), reason=f"NOT RUN: the Perspective scores are not at {FOLDER}")
def test_two_versions_of_perspective_drift_as_computed(events: EventStore) -> None:
    ingest_paths(events, sorted(FOLDER.glob("*.jsonl.gz")), settings=Settings())
    expected = json.loads((FOLDER / "expected.json").read_text())
    (row,) = run_report(events, "drift", Query()).rows.to_dicts()
    assert (row["reference"], row["candidate"]) == ("5", "6")
    assert (row["reference_scores"], row["candidate_scores"]) == (expected["comments"], expected["comments"])
    means = [version["mean_score"] for version in expected["versions"]]
    assert [row["reference_mean"], row["candidate_mean"]] == pytest.approx(means, abs=5e-7)
    assert row["psi"] == pytest.approx(expected["drift"]["psi"], abs=5e-7)
    assert row["wasserstein"] == pytest.approx(expected["drift"]["wasserstein"], abs=5e-7)


def test_index_by_hand() -> None:
    same = np.array([5.0, 5.0])
    assert population_stability_index(same, same * 3) == 0
    moved = population_stability_index(np.array([8.0, 2.0]), np.array([5.0, 5.0]))
    assert moved == pytest.approx((0.5 - 0.8) * np.log(0.5 / 0.8) + (0.5 - 0.2) * np.log(0.5 / 0.2))
    assert np.isfinite(population_stability_index(np.array([10.0, 0.0]), np.array([0.0, 10.0])))


def test_each_version_is_compared_with_the_one_before_it(events: EventStore) -> None:
    versions = {"b": 0, "a": 1, "c": 2}
    add(
        events,
        checks=[
            {
                "request_id": f"{name}{score}",
                "filter_version": name,
                "score": score / 4,
                "ts": START.replace(hour=10 + hour),
            }
            for name, hour in versions.items()
            for score in range(4)
        ],
    )
    rows = run_report(events, "drift", Query()).rows
    assert rows.select("reference", "candidate").rows() == [("b", "a"), ("a", "c")]
    assert rows["psi"].to_list() == [0.0, 0.0]
