"""The parts of the Sources page: sources, jobs, recent ingests, stores."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from dashboard.text import plain
from dashboard.theme import format_bytes, format_duration, localise

TextColumn = st.column_config.TextColumn
NumberColumn = st.column_config.NumberColumn


def build_source_table(freshness: pl.DataFrame, *, at: datetime) -> pl.DataFrame:
    """Rows of `metrics.freshness` with their lag as text; the one with the newest event first."""
    lag = (pl.lit(at) - pl.col("last_event_at")).dt.total_seconds()
    return freshness.sort("last_event_at", descending=True, nulls_last=True).select(
        source=_plain("source"),
        format=_plain("format"),
        lag=lag.map_elements(format_duration, return_dtype=pl.String),
        last_event_at="last_event_at",
        last_ingest_at="last_ingest_at",
        checks="checks",
        coverage=pl.col("evaluated_share"),
        errors="errors",
        rejected="rejected",
    )


def render_sources(freshness: pl.DataFrame, *, zone: ZoneInfo, at: datetime) -> None:
    """One row per source."""
    moment = st.column_config.DatetimeColumn
    st.dataframe(
        localise(build_source_table(freshness, at=at), zone),
        key="sources_table",
        hide_index=True,
        height="content",
        placeholder="–",
        alt="Sources with lag, coverage and rejected records",
        column_config={
            "source": TextColumn("Source", pinned=True),
            "format": TextColumn("Format"),
            "lag": TextColumn("Lag", help="Age of the newest event"),
            "last_event_at": moment(f"Last event ({zone.key})", format="YYYY-MM-DD HH:mm:ss"),
            "last_ingest_at": moment("Last ingest", format="YYYY-MM-DD HH:mm:ss"),
            "checks": NumberColumn("Checks", format="localized"),
            "coverage": st.column_config.ProgressColumn(
                "Coverage", format="percent", min_value=0, max_value=1, help="Checks that decided / checks"
            ),
            "errors": NumberColumn("Failed checks", format="localized", help="Neither a pass nor a trigger"),
            "rejected": NumberColumn("Rejected", format="localized", help="Open records in quarantine"),
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
