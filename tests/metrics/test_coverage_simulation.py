"""Intervals hold the truth as often as they say; `WEIR_SOAK=1` runs the thousand populations of docs/statistics.md."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET

import polars as pl
import pytest

from benchmarks.coverage import MEASURES, run, summarise
from benchmarks.coverage_picture import draw_picture

POPULATIONS = 1000 if os.environ.get("WEIR_SOAK") else 40


@pytest.fixture(scope="module")
def results() -> pl.DataFrame:
    return run(POPULATIONS)


def test_intervals_hold_the_truth_as_often_as_they_say(results: pl.DataFrame) -> None:
    summary = {row["measure"]: row for row in summarise(results).to_dicts()}
    assert 0.008 < summary["harm_prevalence"]["truth"] < 0.012
    for measure in MEASURES:
        assert summary[measure]["populations"] == POPULATIONS
        assert summary[measure]["held"] >= 0.93, measure
        # They do so by being right, not by saying nothing.
        assert summary[measure]["width"] < 0.8


def test_estimates_are_unbiased_where_the_raw_ratio_is_not(results: pl.DataFrame) -> None:
    summary = {row["measure"]: row for row in summarise(results).to_dicts()}
    for measure in ("harm_prevalence", "wrong_block_share", "benign_blocked_rate"):
        assert summary[measure]["estimate"] == pytest.approx(summary[measure]["truth"], rel=0.1), measure
    # The share of the reviewed, which ignores how they were drawn, is not even near.
    assert summary["harm_prevalence"]["raw"] > 10 * summary["harm_prevalence"]["truth"]
    assert summary["benign_blocked_rate"]["raw"] > 10 * summary["benign_blocked_rate"]["truth"]
    assert summary["missed_harm_rate"]["raw"] < 0.5 * summary["missed_harm_rate"]["truth"]


def test_the_picture_is_whole(results: pl.DataFrame) -> None:
    picture = ET.fromstring(draw_picture(results, summarise(results)))
    words = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert sum(word == "×" for word in words) == min(POPULATIONS, 60)
    assert {"harm prevalence", "wrong-block share", "benign-blocked rate", "missed-harm rate"} <= set(words)
