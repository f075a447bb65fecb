"""The parts of the Sources page: sources, jobs, recent ingests, stores."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from dashboard import data
from dashboard.text import inert, plain
from dashboard.theme import format_bytes, format_duration, localise
from metrics.telemetry import MEANINGS

_SHARES = {
    "join_rate": "Joined",
    "late": "Late",
    "duplicates": "Known",
    "quarantined": "Rejected",
    "unmapped": "Unknown category",
}
_WIDTHS = {"join_rate": 60, "late": 60, "duplicates": 65, "quarantined": 70}
TextColumn = st.column_config.TextColumn
NumberColumn = st.column_config.NumberColumn


def build_source_table(freshness: pl.DataFrame, rates: pl.DataFrame, *, at: datetime) -> pl.DataFrame:
    """Rows of `metrics.freshness` with lag as text and records per minute (columns source, per_minute); the one with the newest event first."""
    lag = (pl.lit(at) - pl.col("last_event_at")).dt.total_seconds()
    rows = freshness.join(rates, on="source", how="left", nulls_equal=True)
    return rows.sort("last_event_at", descending=True, nulls_last=True).select(
        source=_plain("source"),
        format=_plain("format"),
        lag=lag.map_elements(format_duration, return_dtype=pl.String),
        last_event_at="last_event_at",
        last_ingest_at="last_ingest_at",
        rate="per_minute",
        checks="checks",
        coverage=pl.col("evaluated_share"),
        errors="errors",
        rejected="rejected",
        last_error=_plain("last_error"),
    )


def render_sources(freshness: pl.DataFrame, rates: pl.DataFrame, *, zone: ZoneInfo, at: datetime) -> None:
    """One row per source."""
    moment = st.column_config.DatetimeColumn
    st.dataframe(
        localise(build_source_table(freshness, rates, at=at), zone),
        key="sources_table",
        hide_index=True,
        height="content",
        placeholder="–",
        alt="Sources with lag, coverage and rejected records",
        column_config={
            "source": TextColumn("Source", pinned=True),
            "format": TextColumn("Format"),
            "lag": TextColumn("Lag", help="Age of the newest event"),
            "last_event_at": moment(f"Last event ({zone.key})", width=130, format="MM-DD HH:mm:ss"),
            "last_ingest_at": moment("Last ingest", width=110, format="MM-DD HH:mm:ss"),
            "rate": NumberColumn("Records/min", width=85, format="%.1f", help="Read in the last hour, on average"),
            "checks": NumberColumn("Checks", width=70, format="localized"),
            "coverage": st.column_config.ProgressColumn(
                "Coverage", width=110, format="percent", min_value=0, max_value=1, help="Checks that decided / checks"
            ),
            "errors": NumberColumn(
                "Failed", width=60, format="localized", help="Checks that failed: neither a pass nor a trigger"
            ),
            "rejected": NumberColumn("Rejected", width=65, format="localized", help="Open records in quarantine"),
            "last_error": TextColumn("Last error", help="The file that failed last, else the record rejected last"),
        },
    )


def render_loads() -> None:
    """How far the long files are that are being stored now; nothing when none is."""
    if data.home().loads.list():
        st.fragment(_draw_loads, run_every=1.0)()


def _draw_loads() -> None:
    loads = data.home().loads.list()
    if not loads:
        st.rerun()
    for load in loads:
        st.progress(load.share, text=f"{inert(load.path.name)}: {load.share:.0%} of {format_bytes(load.size)} stored")


def render_joining(measured: pl.DataFrame) -> None:
    """What joined, how late it came and what could not be used, a row per source (`metrics.telemetry`)."""
    rows = measured.with_columns(
        _plain("source"),
        *(pl.col(name).struct.field("estimate").alias(name) for name in _SHARES),
        *(
            pl.col(name).map_elements(format_duration, return_dtype=pl.String).alias(name)
            for name in ("lateness_p50_s", "lateness_p95_s")
        ),
    )
    st.dataframe(
        rows,
        key="joining_table",
        hide_index=True,
        height="content",
        placeholder="–",
        alt="Sources with join rate, orphans, lateness, duplicates and rejected records",
        column_config={
            "source": TextColumn("Source", pinned=True),
            # At 1024 pixels all of them fit; the last one takes what is left.
            "turns": NumberColumn("Turns", width=65, format="localized", help=MEANINGS["turns"].capitalize()),
            "orphans": NumberColumn(
                "No model log", width=90, format="localized", help=MEANINGS["orphans"].capitalize()
            ),
            "unchecked": NumberColumn(
                "No filter log", width=90, format="localized", help=MEANINGS["unchecked"].capitalize()
            ),
            "lateness_p50_s": TextColumn("Late by p50", width=90, help=MEANINGS["lateness_p50_s"].capitalize()),
            "lateness_p95_s": TextColumn("p95", width=85, help=MEANINGS["lateness_p95_s"].capitalize()),
            **{
                name: NumberColumn(title, width=_WIDTHS.get(name), format="percent", help=MEANINGS[name].capitalize())
                for name, title in _SHARES.items()
            },
        },
    )


def render_filter_coverage(rows: pl.DataFrame) -> None:
    """On how many of the turns that it was due on each filter ran, by model and application; the lowest first."""
    shown = rows.with_columns(
        *(_plain(name) for name in ("filter_name", "model", "app")), share=pl.col("ran") / pl.col("due")
    )
    st.dataframe(
        shown.sort("share", "filter_name"),
        key="filter_coverage_table",
        hide_index=True,
        height=min(390, 38 + 36 * rows.height),
        placeholder="–",
        alt="Filters with the share of due turns that they ran on",
        column_order=["filter_name", "model", "app", "due", "ran", "missed", "share"],
        column_config={
            "filter_name": TextColumn("Filter", pinned=True),
            "model": TextColumn("Model"),
            "app": TextColumn("App"),
            "due": NumberColumn("Turns due", format="localized"),
            "ran": NumberColumn("Ran on", format="localized"),
            "missed": NumberColumn("Missed", format="localized", help="Failed, skipped, or nothing was logged"),
            "share": st.column_config.ProgressColumn("Coverage", format="percent", min_value=0, max_value=1),
        },
    )


def render_jobs(runs: pl.DataFrame, *, zone: ZoneInfo) -> None:
    """The latest runs of scheduled jobs that did something or failed."""
    failed = pl.col("error").fill_null("") != ""
    rows = localise(runs, zone).select(
        state=pl.when(failed).then(pl.lit("✕ failed")).otherwise(pl.lit("✓ done")),
        job=_plain("job"),
        started_at="started_at",
        seconds="seconds",
        said=pl.when(failed).then(_plain("error")).otherwise(_plain("message")),
    )
    st.dataframe(
        rows,
        key="jobs_table",
        hide_index=True,
        height=min(420, 38 + 36 * max(rows.height, 1)),
        alt="Runs of scheduled jobs",
        column_config={
            "state": TextColumn("State", width=75),
            "job": TextColumn("Job", width=110),
            "started_at": st.column_config.DatetimeColumn(
                f"Started ({zone.key})", format="YYYY-MM-DD HH:mm:ss", width=150
            ),
            "seconds": NumberColumn("Took", format="%.2f s", width=75),
            "said": TextColumn("What it did, or what went wrong"),
        },
    )


def render_ingests(ingests: pl.DataFrame, *, zone: ZoneInfo) -> None:
    """The latest committed batches."""
    rows = localise(ingests, zone).with_columns(_plain("source"), _plain("format"), _plain("file"))
    count = {
        f"{name}_count": NumberColumn(title, format="localized", width=85)
        for name, title in (
            ("read", "Read"),
            ("turn", "Turns"),
            ("check", "Checks"),
            ("label", "Labels"),
            ("duplicate", "Known"),
            ("reject", "Rejected"),
        )
    }
    st.dataframe(
        rows,
        key="ingests_table",
        hide_index=True,
        height=min(420, 38 + 36 * max(rows.height, 1)),
        placeholder="–",
        alt="Latest ingests",
        column_order=["ingested_at", "source", "format", "file", *count, "seconds"],
        column_config={
            "ingested_at": st.column_config.DatetimeColumn(
                f"Stored ({zone.key})", format="YYYY-MM-DD HH:mm:ss", width=150
            ),
            "source": TextColumn("Source"),
            "format": TextColumn("Format"),
            "file": TextColumn("File"),
            **count,
            "seconds": NumberColumn("Took", format="%.2f s", width=75),
        },
    )


def render_stores(rows: pl.DataFrame, *, files: dict[str, Path]) -> None:
    """Sizes of the stores' files and the number of rows in each table."""
    columns = st.columns(max(len(files), 1))
    for column, (title, path) in zip(columns, files.items(), strict=False):
        size = path.stat().st_size if path.exists() else 0
        column.metric(title, format_bytes(size), border=True)
    st.dataframe(
        rows,
        key="stores_table",
        hide_index=True,
        height="content",
        alt="Rows per table of the event store",
        column_config={
            "table": TextColumn("Table", width=120),
            "rows": NumberColumn("Rows", format="localized", width=100),
            "meaning": TextColumn("What it holds"),
        },
        column_order=["table", "rows", "meaning"],
    )


def _plain(name: str) -> pl.Expr:
    return pl.col(name).map_elements(lambda value: plain(value, limit=300), return_dtype=pl.String).alias(name)
