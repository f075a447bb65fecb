"""Reports as files: every report, and text that neither a spreadsheet nor a browser acts on."""

from __future__ import annotations

import csv
import io
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from incidents.response.document import write_html
from metrics import REPORTS
from metrics.estimate import RATE
from metrics.query import Query
from metrics.report import ReportResult
from metrics.run import run_report
from service.home import Home
from service.report_files import build_document, write_csv
from tests.service.commands import run

HOSTILE = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", 'a,b\n"c"', "<img src=x>", "\x1b[31m")
RATE_ROW = {"estimate": 0.25, "low": 0.1, "high": 0.5, "numerator": 1.0, "denominator": 4.0, "method": "wilson", "n": 4}


def result_of(*categories: str | None) -> ReportResult:
    rows = pl.DataFrame(
        {"category": categories, "turns": range(len(categories)), "wrong_block_share": [RATE_ROW] * len(categories)},
        schema={"category": pl.String, "turns": pl.Int64, "wrong_block_share": RATE},
    )
    coverage = {"turns": 9, "checks": 9, "evaluated_share": 1.0}
    at = datetime.fromisoformat("2026-03-02T09:00:00")
    return ReportResult("transparency", at, (at, None), rows, coverage, ["A note."])


def test_csv_spreads_rates_and_disarms_every_cell() -> None:
    rows = list(csv.DictReader(io.StringIO(write_csv(result_of(*HOSTILE, None)))))
    assert rows[0]["wrong_block_share_estimate"] == "0.25"
    assert rows[0]["wrong_block_share_n"] == "4"
    assert [row["turns"] for row in rows] == [str(number) for number in range(8)]
    assert not [row["category"] for row in rows if row["category"][:1] in ("=", "+", "-", "@", "\t", "\r")]
    assert rows[0]["category"] == "'" + HOSTILE[0]
    assert "\x1b" not in write_csv(result_of(*HOSTILE))
    assert rows[-1]["category"] == ""


def test_csv_without_rows_has_its_header() -> None:
    assert write_csv(result_of()).strip() == "category,turns,wrong_block_share"


def test_html_says_window_figures_and_meanings() -> None:
    page = write_html(build_document(result_of(*HOSTILE), REPORTS["transparency"]))
    assert "<img" not in page
    assert "25.0% (10.0% to 50.0%), n 4" in page
    assert "2026-03-02 09:00 UTC to the last" in page
    assert REPORTS["transparency"].columns["wrong_block_share"] in page
    assert "A note." in page


@pytest.mark.parametrize("name", list(REPORTS))
def test_every_report_can_be_written(library: Home, name: str) -> None:
    filters = (("filter_name", "tox-clf"),) if name == "thresholds" else ()
    result = run_report(library.events, name, Query(pair=("word-list", "tox-clf"), filters=filters))
    assert write_csv(result).count("\r\n") == result.rows.height + 1
    assert "</html>" in write_html(build_document(result, REPORTS[name]))


def test_the_command_writes_both_files(library: Home, tmp_path: Path) -> None:
    paths = tmp_path / "t.csv", tmp_path / "t.html"
    outcome = run("report", "transparency", "--csv", str(paths[0]), "--html", str(paths[1]), "--json", home=library)
    assert outcome.status == 0
    rows = list(csv.DictReader(io.StringIO(paths[0].read_text(encoding="utf-8-sig"))))
    assert len(rows) == len(outcome.document["rows"]) > 0
    assert "Transparency report" in paths[1].read_text(encoding="utf-8")
